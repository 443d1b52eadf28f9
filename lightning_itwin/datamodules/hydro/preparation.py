"""Standardise blocks of series in place: inputs, and the target's anomaly."""

# n series of a block, T days, V columns, K centres of the climatology, P drought percentiles

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.statistics import HydroStatistics
from lightning_itwin.datamodules.hydro.year_weights import centre_weights
from lightning_itwin.hydrology.climatology import Climatology

DROUGHT_LEVELS = (0.20, 0.10, 0.05)
_VALUES_AT_ONCE = 2**18


class Preparation:
    """Makes what a model sees out of values in the variables' units.

    Args:
        statistics: of the training.
        grid: of the data.
        climatology: of the cells of the grid, in their order; None for a target that is standardised over all
            cells.
    """

    def __init__(self, statistics: HydroStatistics, grid: Grid, climatology: Climatology | None) -> None:
        columns = statistics.columns
        self.climatology = climatology
        self.cells = grid.cells
        self.inputs = len(columns.inputs)
        self._logarithms = [columns.inputs.index(name) for name in columns.logarithms]
        target_mean, target_deviation = statistics.target_scale
        mean = torch.cat([statistics.mean, torch.tensor([target_mean])])
        deviation = torch.cat([statistics.deviation, torch.tensor([target_deviation])])
        if climatology is not None:
            mean[-1], deviation[-1] = 0.0, 1.0
        self._shift, self._scale = -mean / deviation, 1 / deviation
        self._weights: Tensor | None = None
        if climatology is not None:
            self._weights = centre_weights(grid.axis.year_fraction(), climatology.mean.shape[1])

    def __call__(self, values: Tensor, series: np.ndarray, first: int) -> None:
        """Standardise a block in place; a gap in an input becomes 0, in target and weather it stays NaN.

        Args:
            values: (n, T, V) float32, contiguous.
            series: which they are, (n,).
            first: the first of the days.
        """
        days, width = values.shape[1:]
        scale, shift = self._scale.repeat(days), self._shift.repeat(days)
        cells = torch.from_numpy(series % self.cells)
        for begin in range(0, len(values), max(1, _VALUES_AT_ONCE // (days * width))):
            rows = slice(begin, begin + max(1, _VALUES_AT_ONCE // (days * width)))
            block = values[rows]
            for column in self._logarithms:
                amount = block[:, :, column]
                amount.copy_(amount.clamp(min=0.0).log1p_())
            flat = block.view(len(block), days * width)
            torch.addcmul(shift, flat, scale, out=flat)
            target = block[:, :, -1].clone()
            if self.climatology is not None and self._weights is not None:
                weights = self._weights[:, first : first + days]
                some = cells[rows]
                target -= self.climatology.mean[some] @ weights
                target /= self.climatology.standard_deviation[some] @ weights
            weather = block[:, :, self.inputs : -1].clone()
            flat.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
            block[:, :, self.inputs : -1] = weather
            block[:, :, -1] = target

    def thresholds(self, series: np.ndarray, fraction: Tensor, out: Tensor) -> None:
        """Lay out the drought thresholds of some series for every day, (n, T, P).

        Args:
            series: which, (n,).
            fraction: of the year, (T,).
            out: where to put them.
        """
        climatology = self.climatology
        if climatology is None:
            return
        weights = centre_weights(fraction.numpy(), climatology.mean.shape[1])
        columns = [
            next(at for at, known in enumerate(climatology.levels) if abs(known - level) < 1e-6)
            for level in DROUGHT_LEVELS
        ]
        cells = torch.from_numpy(series % self.cells)
        for rows in torch.arange(len(cells)).split(max(1, _VALUES_AT_ONCE // (4 * len(fraction)))):
            some = cells[rows]
            mean, deviation = climatology.mean[some] @ weights, climatology.standard_deviation[some] @ weights
            for place, column in enumerate(columns):
                percentile = climatology.percentiles[some, :, column] @ weights
                out[rows[0] : rows[-1] + 1, :, place] = percentile.sub_(mean).div_(deviation)
