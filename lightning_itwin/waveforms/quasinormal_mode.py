"""Frequency and damping of the l = m = 2 quasinormal mode that a black hole rings down with."""

# B batch, K knots

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.waveforms.device_tables import DeviceTables
from lightning_itwin.waveforms.quasinormal_table import DAMPING_FREQUENCY, FINAL_SPIN, RING_FREQUENCY


class QuasinormalMode:
    """Natural cubic splines through a table of ringdown modes, in float64 on any device."""

    def __init__(self) -> None:
        knots = np.array(FINAL_SPIN)
        values = np.array([RING_FREQUENCY, DAMPING_FREQUENCY]).T * np.array([1e-7, 1e-8])
        tables = (knots, values, natural_spline_bends(knots) @ values)
        self._tables = DeviceTables(*tables)

    def __call__(self, final_spin: Tensor) -> tuple[Tensor, Tensor]:
        """Give the mode of a black hole of unit mass.

        Args:
            final_spin: dimensionless spin, -1 to 1, (B,).

        Returns:
            frequency and damping frequency, (B,) each.
        """
        knots, values, bends = self._tables.on(final_spin.device)
        right = torch.searchsorted(knots, final_spin.detach().contiguous()).clamp(1, len(knots) - 1)
        left = right - 1
        width = (knots[right] - knots[left])[:, None]
        above = (final_spin - knots[left])[:, None] / width
        below = 1 - above
        mode = (
            below * values[left]
            + above * values[right]
            + ((below**3 - below) * bends[left] + (above**3 - above) * bends[right]) * width**2 / 6
        )
        return mode[:, 0], mode[:, 1]


def natural_spline_bends(knots: np.ndarray) -> np.ndarray:
    """Give the matrix from values at the knots to the second derivatives of the natural cubic spline there.

    Args:
        knots: ascending, (K,).

    Returns:
        matrix, (K, K).
    """
    count, gaps = len(knots), np.diff(knots)
    inner = np.arange(1, count - 1)
    curve, slope = np.zeros((count, count)), np.zeros((count, count))
    curve[0, 0] = curve[-1, -1] = 1.0
    curve[inner, inner - 1] = gaps[:-1] / 6
    curve[inner, inner] = (gaps[:-1] + gaps[1:]) / 3
    curve[inner, inner + 1] = gaps[1:] / 6
    slope[inner, inner - 1] = 1 / gaps[:-1]
    slope[inner, inner] = -1 / gaps[:-1] - 1 / gaps[1:]
    slope[inner, inner + 1] = 1 / gaps[1:]
    return np.linalg.solve(curve, slope)
