"""Channels that carry the strain itself: to subtract what they saw would subtract signals too."""

# F features, N frequencies

from __future__ import annotations

import itertools

import numpy as np

from lightning_itwin.subtraction.cross_sums import INDEPENDENT, CoherenceSums

_PARTS = 16
_LEAST = 0.02


def broadband_coherence(
    sums: CoherenceSums, frequency_hz: np.ndarray, band_hz: tuple[float, float]
) -> np.ndarray:
    """Give the least coherence with the strain that each channel has anywhere in the band.

    A witness of noise is coherent where its noise reaches the strain, and nowhere else; a channel that
    carries the strain is coherent with it everywhere. The band is cut into 16 parts of equal width in the
    logarithm; the mean coherence in the part where it is least is given, less what chance gives.

    Args:
        sums: of channels alone with the whitened strain.
        frequency_hz: of the bins, (N,).
        band_hz: lower and upper edge of the band.

    Returns:
        (F,).
    """
    edges_hz = np.geomspace(band_hz[0], band_hz[1], _PARTS + 1)
    coherence = sums.coherence
    parts = [
        coherence[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].mean(axis=0)
        for low_hz, high_hz in itertools.pairwise(edges_hz)
        if ((frequency_hz >= low_hz) & (frequency_hz < high_hz)).any()
    ]
    return np.min(parts, axis=0) - 1 / max(1.0, INDEPENDENT * sums.segments)


def unsafe(sums: CoherenceSums, frequency_hz: np.ndarray, band_hz: tuple[float, float]) -> np.ndarray:
    """Tell which channels are coherent with the strain everywhere in the band, (F,) bool."""
    return broadband_coherence(sums, frequency_hz, band_hz) > _LEAST
