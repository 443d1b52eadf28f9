"""Sums of many scores at once, per group and output, and what was forecast last."""

# R rows, O outputs, G groups, S kinds of scores, M cells, X numbers of a cell

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_itwin.metrics import GroupedMetric


class SampleSums(GroupedMetric):
    """Sums of several scores per group and output, added in place: a batch costs what it holds alone.

    Args:
        kinds: names of the scores.
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    >>> sums = SampleSums(["a", "b"], num_outputs=1, num_groups=2)
    >>> sums.update(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2), torch.tensor([1, 1]))
    >>> sums.compute()["a"], sums.compute()["count"]
    (tensor([[0.],
            [4.]], dtype=torch.float64), tensor([[0.],
            [2.]], dtype=torch.float64))
    """

    sums: Tensor

    def __init__(
        self, kinds: Sequence[str], num_outputs: int | Sequence[int], num_groups: int, **kwargs: Any
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.kinds = ("count", *kinds)
        self.sizes = (num_outputs,) if isinstance(num_outputs, int) else tuple(num_outputs)
        self.add_sums("sums", len(self.kinds))

    def update(self, scores: Tensor, target: Tensor, groups: Tensor) -> None:
        """Add scores, (..., outputs, S); samples whose target, (..., outputs), is NaN are left out."""
        slots = self.slots(target, groups)
        used = slots >= 0
        found = scores.to(torch.float64).reshape(*slots.shape, len(self.kinds) - 1)[used]
        found = torch.cat([found.new_ones(len(found), 1), found], dim=1)
        self.sums.view(-1, len(self.kinds)).index_add_(0, slots[used], found)

    def compute(self) -> dict[str, Tensor]:
        """Give the sums by name, (groups, outputs) each, and the number of samples as ``count``."""
        shape = (self._group_count, *self.sizes)
        return {kind: self.sums[..., number].reshape(shape) for number, kind in enumerate(self.kinds)}


def latest_of(stacked: Tensor) -> Tensor:
    """Take for each cell what is latest, (parts, M, 1 + X) to (M, 1 + X); the first number is the day."""
    part = stacked[..., 0].argmax(0)
    return stacked[part, torch.arange(stacked.shape[1], device=stacked.device)]


class LatestForecast(Metric):
    """What was forecast last for each cell.

    Args:
        cells: M.
        numbers: X of each cell.

    >>> latest = LatestForecast(cells=2, numbers=1)
    >>> latest.update(torch.tensor([1, 1]), torch.tensor([7, 5]), torch.tensor([[0.7], [0.5]]))
    >>> latest.compute()
    (7, tensor([[   nan],
            [0.7000]]))
    """

    full_state_update = False
    latest: Tensor

    def __init__(self, cells: int, numbers: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        default = torch.full((cells, 1 + numbers), torch.nan)
        default[:, 0] = -1
        self.add_state("latest", default, dist_reduce_fx=latest_of)

    def update(self, cell: Tensor, day: Tensor, values: Tensor) -> None:
        """Add what was forecast: cell (B,), day of issue (B,), values (B, X)."""
        newest = torch.full((len(self.latest),), -1, dtype=day.dtype, device=day.device)
        newest = newest.scatter_reduce(0, cell, day, "amax")
        take = (day == newest[cell]) & (day > self.latest[cell, 0])
        rows = torch.cat([day.unsqueeze(-1).to(self.latest.dtype), values.to(self.latest.dtype)], dim=1)
        self.latest[cell[take]] = rows[take]

    def compute(self) -> tuple[int, Tensor]:
        """Give the latest day of all (-1 without any) and what was forecast on it, (M, X), elsewhere NaN."""
        day = self.latest[:, 0].max()
        on_it = (self.latest[:, 0] == day).unsqueeze(-1)
        return int(day), torch.where(on_it, self.latest[:, 1:], torch.nan)
