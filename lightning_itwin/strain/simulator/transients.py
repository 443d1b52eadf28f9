"""Transients of the simulated detector: glitches of three families, and signals of binary black holes."""

# T samples

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lightning_itwin.strain.chirp import binary_chirp
from lightning_itwin.strain.simulator.background import Background
from lightning_itwin.strain.simulator.scene import Scene

KINDS = ("blip", "tomte", "whistle")
HALF_S = 0.5  # a glitch lies within so much of its centre
# What a monitor sees of a glitch, in units of the saturation, so that families are of like loudness.
_AMPLITUDES = {"blip": (0.7, 4.0), "tomte": (0.5, 3.0), "whistle": (0.3, 2.0)}
_LOWEST_HZ = 15.0


@dataclass(frozen=True, kw_only=True)
class Event:
    """One transient.

    Args:
        gps_s: GPS time of its centre; of a signal's merger.
        kind: ``"blip"``, ``"tomte"``, ``"whistle"`` or ``"binary"``.
        snr: optimal signal-to-noise ratio in the strain, against the background.
        witnessed: whether a channel sees it.
    """

    gps_s: float
    kind: str
    snr: float
    witnessed: bool


@dataclass(frozen=True, kw_only=True)
class Glitch(Event):
    """One glitch.

    Args:
        frequency_hz: its frequency; of a whistle, at its centre.
        width_s: time from its centre to where its envelope has fallen to 1/e.
        amplitude: what the monitor sees, in units of the saturation; without a witness, 0.
    """

    frequency_hz: float
    width_s: float
    amplitude: float


@dataclass(frozen=True, kw_only=True)
class Injection(Event):
    """One signal of a binary black hole.

    Args:
        mass_1_msun, mass_2_msun: masses in solar masses, detector frame.
        distance_mpc: distance at which it would be as loud, straight above and face on.
    """

    mass_1_msun: float
    mass_2_msun: float
    distance_mpc: float


@dataclass(frozen=True, kw_only=True)
class GlitchShape:
    """A glitch of unit amplitude: an oscillation in a Gaussian envelope.

    A blip is a few oscillations of 60 to 250 Hz, a tomte of 30 to 70 Hz; a whistle sweeps over some
    100 Hz between 60 and 320 Hz.

    Args:
        kind: one of :data:`KINDS`.
        frequency_hz: at its centre.
        sweep_hz_per_s: change of the frequency.
        width_s: time from its centre to where its envelope has fallen to 1/e.
        phase_rad: at its centre.

    Reference:
        The families: Cabero et al. 2019, arXiv:1901.05093 (blips); Buikema et al. 2020, arXiv:2008.01301
        (tomtes); Nuttall et al. 2015, arXiv:1508.07316 (whistles).
    """

    kind: str
    frequency_hz: float
    sweep_hz_per_s: float
    width_s: float
    phase_rad: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> GlitchShape:
        """Draw a glitch of any family.

        Args:
            rng: random numbers; each glitch takes as many of them.
        """
        kind = str(rng.choice(KINDS))
        at, quality, sweep = rng.random(3)
        phase_rad = rng.uniform(0, 2 * np.pi)
        if kind == "whistle":
            width_s = 0.12 + 0.13 * quality
            # by 40 to 60 Hz, up or down, while its envelope falls to 1/e
            swept_hz = math.copysign(40.0 + 40.0 * abs(sweep - 0.5), sweep - 0.5)
            return cls(
                kind=kind,
                frequency_hz=130.0 + 100.0 * at,
                sweep_hz_per_s=swept_hz / width_s,
                width_s=width_s,
                phase_rad=phase_rad,
            )
        low_hz, high_hz, least, most = (60.0, 250.0, 2.0, 5.0) if kind == "blip" else (30.0, 70.0, 3.0, 7.0)
        frequency_hz = low_hz + (high_hz - low_hz) * at
        width_s = (least + (most - least) * quality) / (math.sqrt(2) * np.pi * frequency_hz)
        return cls(
            kind=kind, frequency_hz=frequency_hz, sweep_hz_per_s=0.0, width_s=width_s, phase_rad=phase_rad
        )

    def __call__(self, time_s: np.ndarray) -> np.ndarray:
        """Give its values.

        Args:
            time_s: time since its centre, (T,).
        """
        turns = self.frequency_hz * time_s + 0.5 * self.sweep_hz_per_s * time_s**2
        return np.exp(-((time_s / self.width_s) ** 2)) * np.cos(2 * np.pi * turns + self.phase_rad)


class Timeline:
    """The time of the data, on which transients are laid.

    Args:
        samples: samples T.
        sample_rate_hz: sample rate.
        gps_start_s: GPS time of the first sample.
    """

    def __init__(self, samples: int, sample_rate_hz: float, gps_start_s: float) -> None:
        self.samples, self.rate_hz, self.gps_start_s = samples, sample_rate_hz, gps_start_s

    def times(self, per_hour: float, rng: np.random.Generator) -> Iterator[float]:
        """Give a random number of random times, in seconds: one in the middle of each of as many slots.

        Args:
            per_hour: mean number an hour.
            rng: random numbers.
        """
        duration_s = self.samples / self.rate_hz
        count = int(rng.poisson(per_hour * duration_s / 3600))
        for slot in range(count):
            yield (slot + rng.uniform(0.2, 0.8)) * duration_s / count

    def add_glitch(self, series: np.ndarray, shape: GlitchShape, at_s: float, amplitude: float) -> None:
        """Add a glitch to a series, (T,), in place."""
        first = max(0, math.ceil((at_s - HALF_S) * self.rate_hz))
        last = min(self.samples, math.floor((at_s + HALF_S) * self.rate_hz))
        time_s = np.arange(first, last) / self.rate_hz - at_s
        series[first:last] += amplitude * shape(time_s)

    def around(self, series: np.ndarray, at_s: float) -> np.ndarray:
        """Give what a series, (T,), holds within half a second of a time."""
        first, last = round((at_s - HALF_S) * self.rate_hz), round((at_s + HALF_S) * self.rate_hz)
        return series[max(0, first) : last]


def monitored_glitches(
    timeline: Timeline, per_hour: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, GlitchShape, float]]]:
    """Draw glitches as a monitor sees them.

    Args:
        timeline: of the data.
        per_hour: mean number an hour.
        rng: random numbers.

    Returns:
        Their sum in units of the saturation, (T,); and of each its time in seconds, its shape and its
        amplitude.
    """
    series, found = np.zeros(timeline.samples), []
    for at_s in timeline.times(per_hour, rng):
        shape, quiet = GlitchShape.draw(rng), rng.random()
        least, most = _AMPLITUDES[shape.kind]
        amplitude = least * (most / least) ** quiet
        timeline.add_glitch(series, shape, at_s, amplitude)
        found.append((at_s, shape, amplitude))
    return series, found


def witnessed_events(
    timeline: Timeline,
    found: list[tuple[float, GlitchShape, float]],
    coupled: np.ndarray,
    background: Background,
) -> list[Event]:
    """Give glitches that a monitor sees, as the strain holds them.

    Args:
        timeline: of the data.
        found: what :func:`monitored_glitches` gives.
        coupled: part of the strain that they make, (T,).
        background: of the strain.
    """
    return [
        _glitch(timeline, at_s, shape, amplitude, timeline.around(coupled, at_s), background)
        for at_s, shape, amplitude in found
    ]


def unwitnessed_glitches(
    timeline: Timeline, scene: Scene, rng: np.random.Generator, background: Background
) -> tuple[np.ndarray, list[Event]]:
    """Draw glitches that no channel sees.

    Args:
        timeline: of the data.
        scene: how many and how loud.
        rng: random numbers.
        background: of the strain.

    Returns:
        Their sum in the strain, (T,), and the events.
    """
    series: np.ndarray = np.zeros(timeline.samples)
    events: list[Event] = []
    span_s = np.arange(-HALF_S, HALF_S, 1 / timeline.rate_hz)
    least, most = scene.unwitnessed_snr
    for at_s in timeline.times(scene.unwitnessed_glitches_per_hour, rng):
        shape, loud = GlitchShape.draw(rng), rng.random()
        wanted = least * (most / least) ** loud
        size = wanted / background.optimal_snr(shape(span_s), timeline.rate_hz)
        timeline.add_glitch(series, shape, at_s, size)
        events.append(_glitch(timeline, at_s, shape, 0.0, timeline.around(series, at_s), background))
    return series, events


def injections(
    timeline: Timeline, scene: Scene, rng: np.random.Generator, background: Background
) -> tuple[np.ndarray, list[Event]]:
    """Draw signals of binary black holes without spin, from 15 Hz on.

    Args:
        timeline: of the data; of a signal that begins before it, the rest is there.
        scene: how many, how loud and how heavy.
        rng: random numbers.
        background: of the strain.

    Returns:
        Their sum in the strain, (T,), and the events.
    """
    series: np.ndarray = np.zeros(timeline.samples)
    events: list[Event] = []
    for at_s in timeline.times(scene.injections_per_hour, rng):
        mass_1, mass_2 = rng.uniform(*scene.injection_mass_msun, size=2)
        wanted, phase_rad = rng.uniform(*scene.injection_snr), rng.uniform(0, 2 * np.pi)
        values, merger = binary_chirp(
            mass_1, mass_2, timeline.rate_hz, lowest_hz=_LOWEST_HZ, phase_rad=phase_rad, distance_mpc=100.0
        )
        size = wanted / background.optimal_snr(values, timeline.rate_hz)
        first = round(at_s * timeline.rate_hz) - merger
        begin, end = max(0, first), min(timeline.samples, first + len(values))
        there = size * values[begin - first : end - first]
        series[begin:end] += there
        events.append(
            Injection(
                gps_s=timeline.gps_start_s + (first + merger) / timeline.rate_hz,
                kind="binary",
                snr=background.optimal_snr(there, timeline.rate_hz),
                witnessed=False,
                mass_1_msun=float(max(mass_1, mass_2)),
                mass_2_msun=float(min(mass_1, mass_2)),
                distance_mpc=100.0 / size,
            )
        )
    return series, events


def _glitch(
    timeline: Timeline,
    at_s: float,
    shape: GlitchShape,
    amplitude: float,
    values: np.ndarray,
    background: Background,
) -> Glitch:
    return Glitch(
        gps_s=timeline.gps_start_s + at_s,
        kind=shape.kind,
        snr=background.optimal_snr(values, timeline.rate_hz),
        witnessed=amplitude > 0,
        frequency_hz=shape.frequency_hz,
        width_s=shape.width_s,
        amplitude=amplitude,
    )
