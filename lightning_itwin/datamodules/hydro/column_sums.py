"""Sums over streams of blocks: means and deviations of columns, and means of the domain."""

# V columns, R realizations, T days, C context series, n series of a block

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class ColumnSums:
    """Adds up mean, deviation and range of columns, block by block, in double precision.

    Args:
        width: number of columns, V.
    """

    def __init__(self, width: int) -> None:
        self.count, self.sum, self.squares = np.zeros((3, width))
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        self._shift: np.ndarray | None = None

    def add(self, values: np.ndarray) -> None:
        """Add values, NaN is missing, (..., V)."""
        flat = values.reshape(-1, values.shape[-1])
        for begin in range(0, len(flat), 2**18):
            some = flat[begin : begin + 2**18]
            if self._shift is None:
                with np.errstate(invalid="ignore"):
                    total, present = np.nansum(some, axis=0), np.isfinite(some).sum(axis=0)
                self._shift = total / np.maximum(present, 1)  # near the mean, so that squares lose no digits
            missing = ~np.isfinite(some)
            present = (~missing).sum(axis=0)
            self.low = np.fmin(self.low, np.where(missing, np.inf, some).min(axis=0))
            self.high = np.fmax(self.high, np.where(missing, -np.inf, some).max(axis=0))
            centred = np.where(missing, 0.0, some - self._shift)
            self.count += present
            self.sum += centred.sum(axis=0)
            self.squares += np.einsum("ij,ij->j", centred, centred)

    def mean_and_deviation(self) -> tuple[np.ndarray, np.ndarray]:
        """Give both, (V,); a column that is constant or empty has deviation 1."""
        count = np.maximum(self.count, 1)
        shift = 0.0 if self._shift is None else self._shift
        mean = self.sum / count
        variance = np.maximum(self.squares / count - mean**2, 0.0)
        deviation = np.sqrt(variance)
        mean = mean + shift
        constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-12)
        return mean, np.where(constant, 1.0, deviation)


class DomainMeans:
    """Adds up the mean of the domain for each day and realization.

    Args:
        realizations, days, width: R, T and C.
    """

    def __init__(self, realizations: int, days: int, width: int) -> None:
        self.sum = np.zeros((realizations, days, width))
        self.count = np.zeros((realizations, days, width))

    def add(self, realization: np.ndarray, values: np.ndarray) -> None:
        """Add a block of standardised values, NaN is missing, (n, T, C), of some realizations, (n,)."""
        for one in np.unique(realization):
            some = values[realization == one]
            missing = np.isnan(some)
            self.sum[one] += np.where(missing, 0.0, some).sum(axis=0)
            self.count[one] += (~missing).sum(axis=0)

    def result(self) -> Tensor:
        """Give the means, 0 on days without a value, (R, T, C) float32."""
        return torch.from_numpy((self.sum / np.maximum(self.count, 1)).astype(np.float32))
