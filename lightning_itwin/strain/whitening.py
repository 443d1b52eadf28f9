"""Filters that flatten a channel's spectrum, built from one stretch of data and used on all of it."""

# T samples, F frequencies, K taps

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.spectra import median_asd

# Slow channels (angles, positions) act by what they do below this; the band-pass begins above it.
SLOW_BELOW_HZ = 3.0
TAPER_HZ = 2.0
LOWEST_BAND_HZ = SLOW_BELOW_HZ + 2 * TAPER_HZ  # where the two parts do not touch


@dataclass(frozen=True, kw_only=True)
class ZeroPhaseFilter:
    """A symmetric finite impulse response: it delays nothing and keeps the sign of what it passes.

    Args:
        offset: value taken off the samples first.
        taps: impulse response, odd length, (K,).
    """

    offset: float
    taps: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Filter a series.

        Args:
            values: samples, (T,) with T >= K.

        Returns:
            The samples that see the whole filter, (T - K + 1,); the first belongs to ``values[K // 2]``.
        """
        signal = require("scipy.signal", extra="virgo")
        return signal.oaconvolve(values - self.offset, self.taps, mode="valid")


def whitening_filter(
    values: np.ndarray, sample_rate_hz: float, band_hz: tuple[float, float], length_s: float
) -> ZeroPhaseFilter:
    """Build the filter that whitens a series inside a band, takes away the rest, and gives unit variance.

    The wanted response, ``band(f) / ASD(f)``, is turned into a time series, cut to ``length_s`` and tapered
    with a Hann window, so that a line in the ASD rings no longer than that.

    Args:
        values: the stretch that sets ASD, mean and variance, (T,).
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band.
        length_s: length of the filter.

    Reference:
        Inverse spectrum truncation: Allen et al. 2012, arXiv:gr-qc/0509116, section VII.
    """
    frequency_hz, asd = median_asd(values - values.mean(), sample_rate_hz, length_s)
    # The ends of the spectrum may hold nothing at all, and lie outside the band anyhow.
    response = _band(frequency_hz, band_hz) / np.maximum(asd, 1e-12 * asd.max())
    return _unit_variance(values, _taps(response))


def equalising_filter(
    values: np.ndarray,
    sample_rate_hz: float,
    band_hz: tuple[float, float],
    length_s: float,
    bandwidth_hz: float,
) -> ZeroPhaseFilter:
    """Build the filter that gives a witness unit variance twice: whitened in the band, and below 3 Hz.

    A witness may act by its waveform in the band of the strain, or by slowly changing what another does.
    Seismic spectra fall by many orders of magnitude in between, so that neither part would be seen beside
    the other without this.

    Args:
        values: the stretch that sets the filter, (T,).
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band.
        length_s: length of the filter.
        bandwidth_hz: frequency up to which the channel carries anything; what is above is not amplified.
    """
    frequency_hz = np.fft.rfftfreq(round(length_s * sample_rate_hz), 1 / sample_rate_hz)
    slow = _unit_variance(values, _taps(_edge(SLOW_BELOW_HZ + TAPER_HZ - frequency_hz)))
    highest_hz = min(band_hz[1], 0.8 * bandwidth_hz)
    if highest_hz <= band_hz[0] + TAPER_HZ:
        return slow
    fast = whitening_filter(values, sample_rate_hz, (band_hz[0], highest_hz), length_s)
    return ZeroPhaseFilter(offset=slow.offset, taps=slow.taps + fast.taps)


def _band(frequency_hz: np.ndarray, band_hz: tuple[float, float]) -> np.ndarray:
    return _edge(frequency_hz - band_hz[0] + TAPER_HZ) * _edge(band_hz[1] + TAPER_HZ - frequency_hz)


def _edge(distance_hz: np.ndarray) -> np.ndarray:
    return np.sin(np.pi / 2 * np.clip(distance_hz / TAPER_HZ, 0.0, 1.0)) ** 2


def _taps(response: np.ndarray) -> np.ndarray:
    impulse = np.fft.fftshift(np.fft.irfft(response))[1:]  # without its first sample the length is odd
    return impulse * np.hanning(len(impulse) + 2)[1:-1]


def _unit_variance(values: np.ndarray, taps: np.ndarray) -> ZeroPhaseFilter:
    offset = float(values.mean())
    deviation = ZeroPhaseFilter(offset=offset, taps=taps)(values).std()
    return ZeroPhaseFilter(offset=offset, taps=taps / deviation if deviation > 0 else taps)
