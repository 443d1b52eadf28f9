"""Sums over streams of blocks: means and deviations of columns, and means of the domain."""

# V columns, R realizations, T days, C context series, n series of a block

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_VALUES_AT_ONCE = 2**18


class ColumnSums:
    """Adds up mean, deviation and range of columns, block by block.

    Sums over the series of a block are taken day by day, about a value near the mean; days and blocks add up
    in double precision.

    Args:
        width: number of columns, V.
    """

    def __init__(self, width: int) -> None:
        self.count, self.sum, self.squares = np.zeros((3, width))
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        self._shift: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Add values, NaN is missing, (n, T, V) float32, contiguous."""
        days, width = values.shape[1:]
        flat = values.view(len(values), days * width)
        if self._shift is None:
            self._shift = values.nanmean(dim=(0, 1)).nan_to_num(0.0)
        shift = self._shift.repeat(days)
        total = torch.zeros(3, days * width, dtype=torch.float64)
        for begin in range(0, len(flat), max(1, _VALUES_AT_ONCE // (days * width))):
            some = flat[begin : begin + max(1, _VALUES_AT_ONCE // (days * width))]
            low, high = some.amin(0), some.amax(0)
            centred = some - shift
            if bool(low.isnan().any()):
                missing = some.isnan()
                low = torch.where(missing, torch.inf, some).amin(0)
                high = torch.where(missing, -torch.inf, some).amax(0)
                centred = torch.where(missing, 0.0, centred)
                total[0] += (~missing).sum(0)
            else:
                total[0] += len(some)
            total[1] += centred.sum(0)
            total[2] += centred.square_().sum(0)
            self.low = np.minimum(self.low, low.view(days, width).amin(0).numpy())
            self.high = np.maximum(self.high, high.view(days, width).amax(0).numpy())
        count, summed, squares = total.view(3, days, width).sum(1).numpy()
        self.count, self.sum, self.squares = self.count + count, self.sum + summed, self.squares + squares

    def mean_and_deviation(self) -> tuple[np.ndarray, np.ndarray]:
        """Give both, (V,); a column that is constant or empty has deviation 1."""
        count = np.maximum(self.count, 1)
        shift = 0.0 if self._shift is None else self._shift.double().numpy()
        mean = self.sum / count
        deviation = np.sqrt(np.maximum(self.squares / count - mean**2, 0.0))
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

    def add(self, realization: np.ndarray, values: Tensor, missing: Tensor) -> None:
        """Add standardised values, (n, T, C), of some realizations, (n,); missing ones do not count."""
        for one in np.unique(realization):
            rows = torch.from_numpy(np.flatnonzero(realization == one))
            gaps = missing[rows]
            self.sum[one] += torch.where(gaps, 0.0, values[rows]).sum(0).numpy()
            self.count[one] += (~gaps).sum(0).numpy()

    def result(self) -> Tensor:
        """Give the means, 0 on days without a value, (R, T, C) float32."""
        return torch.from_numpy((self.sum / np.maximum(self.count, 1)).astype(np.float32))
