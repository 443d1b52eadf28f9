"""Waveforms on few frequencies, brought to all of them: the higher the frequency, the coarser the steps.

What a binary still emits above a frequency f is short: it lasts from the moment at which its modes sweep
through f to the end of the ringdown. Its spectrum above f is therefore smooth on a scale of one over that
time, and can be computed there on a coarser grid and interpolated. The steps double from band to band.

Reference:
    The same idea as in Vinciguerra et al. 2017, arXiv:1703.02062.
"""

# F frequencies, N nodes

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lightning_itwin.waveforms.constants import SOLAR_MASS_S

STENCIL = 12  # nodes that a value is interpolated from, by Lagrange's polynomial
_COARSEST = 64


@dataclass(frozen=True, kw_only=True)
class Multibanding:
    """How dense the nodes stand.

    Args:
        samples_per_cycle: nodes for each turn of the phase of the earliest part of the signal.
        earliest: how much earlier than the dominant mode the earliest mode that counts sweeps through a
            frequency: the ratio of times to the merger. A mode of order m is earlier by (m / 2)^(8/3).
        around_merger: how long merger and ringdown last, in units of the total mass.
    """

    samples_per_cycle: float = 8.0
    earliest: float = 3.0
    around_merger: float = 75.0

    def steps_hz(
        self, frequency_hz: np.ndarray, chirp_mass_msun: float, total_mass_msun: float
    ) -> np.ndarray:
        """Give the largest distance of nodes at frequencies.

        Args:
            frequency_hz: frequencies, (F,).
            chirp_mass_msun: chirp mass.
            total_mass_msun: total mass.

        Returns:
            distances, (F,), growing with the frequency.

        Reference:
            Time to the merger: Cutler and Flanagan 1994, gr-qc/9402014, equation 2.19.
        """
        mass_s = chirp_mass_msun * SOLAR_MASS_S
        left_s = 5 / 256 * mass_s * (np.pi * mass_s * frequency_hz) ** (-8 / 3)
        around_s = self.around_merger * total_mass_msun * SOLAR_MASS_S
        return 1 / (self.samples_per_cycle * (self.earliest * left_s + around_s))


@dataclass(frozen=True)
class Band:
    """Frequencies from ``start``, a node every ``stride``, ``intervals`` times; counted in fine steps."""

    start: int
    stride: int
    intervals: int

    @property
    def stop(self) -> int:
        """The last node, from which the next band goes on."""
        return self.start + self.intervals * self.stride


def plan_bands(first: int, last: int, starts: dict[int, int]) -> list[Band]:
    """Divide a stretch of frequencies into bands, coarser ones above.

    Args:
        first: number of the first frequency.
        last: number of the last one.
        starts: stride to the lowest frequency at which it will do; strides are 2, 4, 8 ...

    Returns:
        bands in ascending order; each starts where the one before stops, and the first has stride 1.
    """
    bands: list[Band] = []
    end = last
    for stride in sorted(starts, reverse=True):
        # Left of a band, half a stencil of nodes comes out of the finer band.
        lowest = max(starts[stride], first + STENCIL * stride)
        intervals = (end - lowest) // stride
        if intervals >= 2 * STENCIL:
            bands.append(Band(end - intervals * stride, stride, intervals))
            end = bands[-1].start
    bands.append(Band(first, 1, end - first))
    return bands[::-1]


def on_bands(evaluate: Callable[[np.ndarray], np.ndarray], bands: list[Band]) -> np.ndarray:
    """Evaluate a function at the nodes of bands and interpolate it to all frequencies.

    Args:
        evaluate: takes numbers of frequencies, (N,) ascending, and gives values, (C, N) float64.
        bands: as :func:`plan_bands` makes them.

    Returns:
        values at all frequencies from the first band's start to the last one's stop, (C, F).
    """
    half = STENCIL // 2
    first, last = bands[0].start, bands[-1].stop
    wanted = []
    for band in bands:
        beyond = 0 if band.stride == 1 or band.stop == last else half - 1
        wanted.append(band.start + band.stride * np.arange(band.intervals + 1 + beyond))
        wanted[-1] = wanted[-1][wanted[-1] <= last]
    nodes = np.unique(np.concatenate(wanted))
    values = evaluate(nodes)
    out = np.empty((len(values), last - first + 1))
    for band, numbers in zip(bands, wanted):
        here = values[:, np.searchsorted(nodes, numbers)]
        begin, stride = band.start - first, band.stride
        out[:, begin] = here[:, 0]
        if stride == 1:
            out[:, begin : begin + len(numbers)] = here
            continue
        before = out[:, begin - (half - 1) * stride : begin : stride]
        points = np.concatenate([before, here], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(points, STENCIL, axis=1)
        middle = windows[:, : band.intervals] @ _weights(stride, half - 1)
        fine = out[:, begin + 1 : begin + 1 + band.intervals * stride].reshape(len(out), -1, stride)
        fine[:, : middle.shape[1]] = middle
        # At the very end the nodes on the right are missing: the last stencil serves several intervals.
        for interval in range(middle.shape[1], band.intervals):
            place = half - 1 + interval - (middle.shape[1] - 1)
            fine[:, interval] = windows[:, -1] @ _weights(stride, place)
    return out


def band_starts(
    multibanding: Multibanding, step_hz: float, first: int, last: int, masses_msun: tuple[float, float]
) -> dict[int, int]:
    """Give for every stride the lowest frequency at which it will do.

    Args:
        multibanding: how dense nodes stand.
        step_hz: spacing of the frequencies.
        first: number of the first frequency.
        last: number of the last one.
        masses_msun: the two masses.
    """
    total = sum(masses_msun)
    chirp = (masses_msun[0] * masses_msun[1]) ** 0.6 / total**0.2
    # Steps grow with the frequency: on few frequencies, evenly spaced, one sees well enough where they
    # double.
    numbers = np.linspace(first, last, 257)
    steps = multibanding.steps_hz(numbers * step_hz, chirp, total) / step_hz
    starts = {}
    stride = 2
    while stride <= _COARSEST and steps[-1] >= stride:
        starts[stride] = int(np.ceil(numbers[np.searchsorted(steps, stride)]))
        stride *= 2
    return starts


@lru_cache(maxsize=256)
def _weights(stride: int, place: int) -> np.ndarray:
    # From a stencil of nodes 0, 1, ... to the places behind node `place`, 1/stride, 2/stride, ..., 1 further.
    nodes = np.arange(STENCIL, dtype=np.float64)
    targets = place + np.arange(1, stride + 1) / stride
    weights = np.ones((STENCIL, stride))
    for node in range(STENCIL):
        for other in range(STENCIL):
            if other != node:
                weights[node] *= (targets - nodes[other]) / (nodes[node] - nodes[other])
    return weights
