"""The mass that a posterior of the sky position has near each of a source's possible places."""

# N samples, M modes

from __future__ import annotations

import numpy as np


def unit_vectors(ra_rad: np.ndarray, dec_rad: np.ndarray) -> np.ndarray:
    """Give directions as unit vectors, (..., 3)."""
    ra, dec = np.asarray(ra_rad), np.asarray(dec_rad)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def mode_mass(
    samples: np.ndarray, modes: np.ndarray, weights: np.ndarray | None = None, radius_rad: float = np.pi
) -> np.ndarray:
    """Share samples out among the nearest modes on the sky.

    A triangle such as the Einstein Telescope's sees a short signal from eight directions alike, so that a
    posterior that misses some of them is wrong by a factor, however well it fits the others.

    Args:
        samples: right ascension and declination, (N, 2).
        modes: right ascension and declination of the modes, (M, 2).
        weights: (N,); equal if None.
        radius_rad: samples further than this from every mode count for none.

    Returns:
        Mass of every mode, (M,); it sums to 1 if all samples are near some mode.

    Reference:
        The triangle's eight modes under a flow: arXiv:2504.21087.

    >>> samples = np.array([[0.1, 0.0], [3.0, 0.1], [3.2, 0.0]])
    >>> mode_mass(samples, np.array([[0.0, 0.0], [np.pi, 0.0]])).round(3)
    array([0.333, 0.667])
    """
    samples_N2, modes_M2 = np.asarray(samples), np.asarray(modes)
    weights_N = np.ones(len(samples_N2)) if weights is None else np.asarray(weights)
    cosine_NM = unit_vectors(*samples_N2.T) @ unit_vectors(*modes_M2.T).T
    nearest_N = cosine_NM.argmax(axis=1)
    near_N = cosine_NM.max(axis=1) >= np.cos(min(radius_rad, np.pi)) - 1e-12
    mass_M = np.bincount(nearest_N[near_N], weights=weights_N[near_N], minlength=len(modes_M2))
    return mass_M / weights_N.sum()
