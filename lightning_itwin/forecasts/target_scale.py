"""From the standardised numbers that a model forecasts to values in the unit of the target."""

# B batch, L leads, N series, D days from the first of the time axis to the last that a forecast reaches

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lightning_itwin.hydrology.climatology import Climatology


class TargetScale(Protocol):
    """Turns what a model forecasts into values in the unit of the target."""

    def values(self, standardised: Tensor, series: Tensor, days: Tensor) -> Tensor:
        """Give values in the unit of the target.

        Args:
            standardised: (B, L) or (B, L, Q).
            series: which series, (B,) int64.
            days: index of the valid day on the time axis, (B, L) int64; it may lie beyond the axis' end as
                far as the year fractions reach.

        Returns:
            Values, of the shape of ``standardised``.
        """
        ...


class ClimatologyScale:
    """Standardised anomalies by a climatology.

    Args:
        climatology: per cell or per series.
        year_fraction: of every day of the time axis and of the days beyond it that a forecast reaches, (D,).
        cell: of each series, the row of the climatology, (N,) int64; None: series and rows are the same.
    """

    def __init__(self, climatology: Climatology, year_fraction: Tensor, cell: Tensor | None = None) -> None:
        self.climatology = climatology
        self.year_fraction = torch.as_tensor(year_fraction)
        self.cell = None if cell is None else torch.as_tensor(cell)

    def values(self, standardised: Tensor, series: Tensor, days: Tensor) -> Tensor:
        """See :meth:`TargetScale.values`."""
        device = self.climatology.mean.device
        series, days = series.to(device), days.to(device)
        cells = series if self.cell is None else self.cell.to(device)[series]
        batch, leads = days.shape
        flat = standardised.to(device).reshape(batch * leads, -1)
        # one row a forecast day, so that cells and fractions are of one length
        cells = cells.unsqueeze(-1).expand(batch, leads).reshape(-1)
        fraction = self.year_fraction.to(device)[days.reshape(-1)].unsqueeze(-1)
        found = self.climatology.value(flat, cells, fraction)
        return found.reshape(standardised.shape).to(standardised.device)


class LinearScale:
    """Values that were standardised with one mean and deviation over all cells.

    >>> scale = LinearScale(0.3, 0.1)
    >>> scale.values(torch.tensor([[1.0]]), torch.tensor([0]), torch.tensor([[0]]))
    tensor([[0.4000]])
    """

    def __init__(self, mean: float, standard_deviation: float) -> None:
        self.mean, self.standard_deviation = float(mean), float(standard_deviation)

    def values(self, standardised: Tensor, series: Tensor, days: Tensor) -> Tensor:
        """See :meth:`TargetScale.values`."""
        return standardised * self.standard_deviation + self.mean
