"""Whether event probabilities tell events from other days: the relative operating characteristic."""

# R rows, O outputs, G groups, K bins

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_itwin.metrics.event_bins import bin_edges, check_events, which_bin
from lightning_itwin.metrics.grouped_metric import GroupedMetric


class ROC(NamedTuple):
    """A relative operating characteristic.

    Attributes:
        false_alarm_rate: share of the non-events that were warned of, rising from 0 to 1, (..., K + 1).
        hit_rate: share of the events that were warned of, (..., K + 1).
        area: under the curve, by trapezoids; 0.5 is no discrimination, 1 perfect, (...).
    """

    false_alarm_rate: Tensor
    hit_rate: Tensor
    area: Tensor


class ROCCurve(GroupedMetric):
    """ROC of event probabilities, from counts in fine bins: no sample is stored, and states are sums.

    It equals ``torchmetrics.classification.MultilabelROC`` with thresholds at the edges, but counts every
    sample once instead of once a threshold, leaves out NaN and counts per group.

    Args:
        bins: number of bins of equal width from 0 to 1, or rising edges. Probabilities that share a bin are
            ties; those of an ensemble of M members are told apart by ``M + 1`` bins.
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    >>> curve = ROCCurve()
    >>> curve(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0.0, 0.0, 1.0, 1.0])).area
    tensor(0.7500, dtype=torch.float64)
    """

    is_differentiable = False
    bin_count: Tensor
    bin_events: Tensor

    def __init__(
        self,
        bins: int | Sequence[float] = 200,
        num_outputs: int | Sequence[int] = 1,
        num_groups: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.edges = bin_edges(bins)
        for name in ("bin_count", "bin_events"):
            self.add_sums(name, len(self.edges) - 1)

    def update(self, probability: Tensor, outcome: Tensor, groups: Tensor | None = None) -> None:
        """Add probabilities and outcomes (1, 0 or NaN, or bool), both (..., outputs)."""
        check_events(probability, outcome)
        slots = self.slots(outcome, groups)
        p, came = self.rows(probability).double(), self.rows(outcome).double()
        bins, count = which_bin(p, self.edges), len(self.edges) - 1
        self.bin_count = self.bin_count + self.histogram(slots, bins, torch.ones_like(p), count)
        self.bin_events = self.bin_events + self.histogram(slots, bins, came, count)

    def compute(self) -> ROC:
        """Give curve and area; NaN where there is no event or nothing else."""
        hits, alarms = self.bin_events.flip(-1), (self.bin_count - self.bin_events).flip(-1)
        start = torch.zeros_like(hits[..., :1])
        hit = torch.cat([start, hits.cumsum(-1)], -1) / hits.sum(-1, keepdim=True)
        alarm = torch.cat([start, alarms.cumsum(-1)], -1) / alarms.sum(-1, keepdim=True)
        area = torch.trapezoid(hit, alarm, dim=-1)
        return ROC(self.shaped(alarm), self.shaped(hit), self.shaped(area))
