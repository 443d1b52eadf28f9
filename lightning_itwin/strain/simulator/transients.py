"""Transients of the simulated detector: glitches of three families, and chirps of binary black holes."""

# T samples, F frequencies

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lightning_itwin.strain.simulator.virgo_instrument import virgo_asd
from lightning_itwin.waveforms.constants import SOLAR_MASS_S

KINDS = ("blip", "tomte", "whistle")
_HALF_S = 0.5  # a glitch lies within so much of its centre
_CHIRP_S = 16.0
_CHIRP_AFTER_S = 1.0
_CHIRP_LOW_HZ = 15.0


@dataclass(frozen=True, kw_only=True)
class Event:
    """One transient.

    Args:
        gps_s: GPS time of its centre, of a chirp's merger.
        kind: ``"blip"``, ``"tomte"``, ``"whistle"`` or ``"chirp"``.
        snr: optimal signal-to-noise ratio in the strain, against the background.
        witnessed: whether a channel sees it.
    """

    gps_s: float
    kind: str
    snr: float
    witnessed: bool


def glitch_shape(kind: str, rng: np.random.Generator, sample_rate_hz: float) -> np.ndarray:
    """Draw a glitch of a family, of unit amplitude, one second long.

    A blip is a sine-Gaussian of 60 to 250 Hz and quality 2 to 5, a tomte one of 30 to 70 Hz and quality 3 to
    7, a whistle sweeps between 80 and 300 Hz within some tenths of a second.

    Args:
        kind: one of :data:`KINDS`.
        rng: random numbers.
        sample_rate_hz: sample rate.

    Reference:
        The families: Cabero et al. 2019, arXiv:1901.05093 (blips); Buikema et al. 2020, arXiv:2008.01301
        (tomtes); Nuttall et al. 2015, arXiv:1508.07316 (whistles).
    """
    half = round(_HALF_S * sample_rate_hz)
    time_s = np.arange(-half, half) / sample_rate_hz
    phase = rng.uniform(0, 2 * np.pi)
    if kind == "whistle":
        begin_hz, end_hz = rng.uniform(80, 200), rng.uniform(80, 300)
        width_s = rng.uniform(0.05, 0.12)
        sweep = begin_hz * time_s + 0.5 * (end_hz - begin_hz) / 0.4 * time_s**2
        return np.exp(-(time_s**2) / (2 * width_s**2)) * np.cos(2 * np.pi * sweep + phase)
    (low_hz, high_hz), qualities = {
        "blip": ((60.0, 250.0), (2.0, 5.0)),
        "tomte": ((30.0, 70.0), (3.0, 7.0)),
    }[kind]
    frequency_hz = rng.uniform(low_hz, high_hz)
    width_s = rng.uniform(*qualities) / (math.sqrt(2) * np.pi * frequency_hz)
    return np.exp(-(time_s**2) / width_s**2) * np.cos(2 * np.pi * frequency_hz * time_s + phase)


def glitch_train(
    samples: int, sample_rate_hz: float, per_hour: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Draw glitches at random times, with amplitudes of 0.3 to 3, uniform in their logarithm.

    Args:
        samples: samples T.
        sample_rate_hz: sample rate.
        per_hour: mean number an hour.
        rng: random numbers.

    Returns:
        Their sum, (T,), and the centre sample and the kind of each, in order of time.
    """
    series = np.zeros(samples)
    half = round(_HALF_S * sample_rate_hz)
    found = []
    for _ in range(rng.poisson(per_hour * samples / sample_rate_hz / 3600)):
        kind = str(rng.choice(KINDS))
        shape = math.exp(rng.uniform(math.log(0.3), math.log(3.0))) * glitch_shape(kind, rng, sample_rate_hz)
        centre = int(rng.integers(0, samples))
        if half <= centre < samples - half:  # one at an end is left out
            series[centre - half : centre + half] += shape
            found.append((centre, kind))
    return series, sorted(found)


def optimal_snr(values: np.ndarray, sample_rate_hz: float) -> float:
    """Give the optimal signal-to-noise ratio of a short series, (T,), in strain, against the background."""
    frequency_hz = np.fft.rfftfreq(len(values), 1 / sample_rate_hz)
    spectrum = np.fft.rfft(values) / sample_rate_hz
    band = frequency_hz >= 10.0
    power = np.abs(spectrum[band]) ** 2 / virgo_asd(frequency_hz[band]) ** 2
    return float(np.sqrt(4 * power.sum() * sample_rate_hz / len(values)))


def snr_at(series: np.ndarray, centre: int, sample_rate_hz: float) -> float:
    """Give the optimal signal-to-noise ratio of what a series, (T,), holds within 0.5 s of a sample."""
    half = round(_HALF_S * sample_rate_hz)
    return optimal_snr(series[max(0, centre - half) : centre + half], sample_rate_hz)


def chirp(chirp_mass_msun: float, phase_rad: float, sample_rate_hz: float) -> np.ndarray:
    """Give the inspiral of a binary at leading order, from 15 Hz, one second before the end of 16 s.

    ``h(f) = f^(-7/6) exp(i (2 pi f t - phase - pi/4 + 3/128 (pi G M_c f / c^3)^(-5/3)))`` up to the last
    stable orbit of two equal masses; the amplitude is arbitrary.

    Args:
        chirp_mass_msun: chirp mass of the detector's frame.
        phase_rad: phase at coalescence.
        sample_rate_hz: sample rate.

    Reference:
        Finn and Chernoff 1993, arXiv:gr-qc/9301003, eq. 3.19: the stationary phase approximation.
    """
    samples = round(_CHIRP_S * sample_rate_hz)
    frequency_hz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    mass_s = chirp_mass_msun * SOLAR_MASS_S
    isco_hz = 1 / (6**1.5 * np.pi * mass_s * 2**1.2)
    band = (frequency_hz >= _CHIRP_LOW_HZ) & (frequency_hz < min(isco_hz, 0.45 * sample_rate_hz))
    inside = frequency_hz[band]
    phase = 3 / 128 * (np.pi * mass_s * inside) ** (-5 / 3) - phase_rad - np.pi / 4
    phase += 2 * np.pi * inside * (_CHIRP_S - _CHIRP_AFTER_S)
    spectrum = np.zeros(len(frequency_hz), dtype=complex)
    # numpy's sign of the Fourier transform is the opposite of the source's
    spectrum[band] = inside ** (-7 / 6) * np.exp(-1j * phase)
    return np.fft.irfft(spectrum, samples)


def chirps(
    samples: int,
    sample_rate_hz: float,
    per_hour: float,
    snr: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[tuple[int, float]]]:
    """Draw chirps of binary black holes, chirp masses of 8 to 30 suns, at random times.

    Args:
        samples: samples T.
        sample_rate_hz: sample rate.
        per_hour: mean number an hour.
        snr: least and most optimal signal-to-noise ratio.
        rng: random numbers.

    Returns:
        Their sum, (T,), and the sample of the merger and the signal-to-noise ratio of each, in order of time.
    """
    series = np.zeros(samples)
    found = []
    for _ in range(rng.poisson(per_hour * samples / sample_rate_hz / 3600)):
        shape = chirp(rng.uniform(8.0, 30.0), rng.uniform(0, 2 * np.pi), sample_rate_hz)
        wanted = rng.uniform(*snr)
        shape *= wanted / optimal_snr(shape, sample_rate_hz)
        start = int(rng.integers(0, max(1, samples - len(shape))))
        if start + len(shape) <= samples:
            series[start : start + len(shape)] += shape
            merger = start + len(shape) - round(_CHIRP_AFTER_S * sample_rate_hz)
            found.append((merger, float(wanted)))
    return series, sorted(found)


def events_of(
    found: list[tuple[int, str]],
    series: np.ndarray,
    time_of: Callable[[int], float],
    sample_rate_hz: float,
    *,
    witnessed: bool,
) -> list[Event]:
    """Give the glitches of a train as events, with what a series of the strain, (T,), holds of them."""
    return [
        Event(
            gps_s=time_of(centre),
            kind=kind,
            snr=snr_at(series, centre, sample_rate_hz),
            witnessed=witnessed,
        )
        for centre, kind in found
    ]
