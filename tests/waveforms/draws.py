"""Binaries drawn over a wide prior, for tests of waveforms and detectors."""

from __future__ import annotations

import math

import numpy as np
import torch

from lightning_itwin.waveforms import Binary

NAMES = [
    *("chirp_mass", "mass_ratio", "luminosity_distance", "ra", "dec", "psi", "theta_jn", "phase"),
    *("a_1", "a_2", "tilt_1", "tilt_2", "phi_12", "phi_jl", "geocent_time"),
]


def draw_table(number: int, seed: int, chirp_mass: tuple[float, float] = (20.0, 60.0)) -> torch.Tensor:
    """Mass ratios down to 1/8, spins to 0.99 in all directions; times are multiples of 1/1024 s."""
    rng = np.random.default_rng(seed)

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, number)

    def polar() -> np.ndarray:
        return np.arccos(uniform(-1, 1))

    columns = [
        *(uniform(*chirp_mass), uniform(0.125, 1), uniform(300, 5000), uniform(0, 2 * math.pi)),
        *(math.pi / 2 - polar(), uniform(0, math.pi), polar(), uniform(0, 2 * math.pi)),
        *(uniform(0, 0.99), uniform(0, 0.99), polar(), polar()),
        *(uniform(0, 2 * math.pi), uniform(0, 2 * math.pi)),
        np.round(uniform(-0.1, 0.1) * 1024) / 1024,
    ]
    return torch.from_numpy(np.stack(columns, axis=1))


def draw_binaries(number: int, seed: int, chirp_mass: tuple[float, float] = (20.0, 60.0)) -> Binary:
    return Binary.from_table(NAMES, draw_table(number, seed, chirp_mass))
