"""What the metrics of forecasts have in common: sums per group and output in float64, merged by adding."""

# R rows, O outputs (such as leads), G groups (such as cells)

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class GroupedMetric(Metric):
    """A metric with one value an output and, if asked for, a group: a lead time, a cell, a season.

    Its states are float64 sums, so the value in a world of many processes is that of one. Samples whose
    target is NaN are left out. A NaN in a forecast is not: it makes the value NaN.

    Args:
        num_outputs: size of the trailing axis of targets, such as the number of leads, or sizes of several;
            1: targets of any shape make one value.
        num_groups: number of groups. ``update`` then takes ``groups``, the index of each sample's group:
            int64, of the target's shape or of its leading axes; a negative one leaves the sample out.

    Raises:
        ValueError: a size below 1.
    """

    full_state_update = False

    def __init__(
        self, num_outputs: int | Sequence[int] = 1, num_groups: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        sizes = (num_outputs,) if isinstance(num_outputs, int) else tuple(num_outputs)
        if not sizes or min(sizes) < 1 or (num_groups is not None and num_groups < 1):
            raise ValueError(f"Sizes are 1 or more: num_outputs {num_outputs}, num_groups {num_groups}.")
        self.output_shape = () if sizes == (1,) else sizes
        self.num_groups = num_groups

    @property
    def _group_count(self) -> int:
        return self.num_groups or 1

    @property
    def _output_count(self) -> int:
        return math.prod(self.output_shape)

    def add_sums(self, name: str, *trailing: int) -> None:
        """Add a state of sums, (G, O, *trailing)."""
        default = torch.zeros(self._group_count, self._output_count, *trailing, dtype=torch.float64)
        self.add_state(name, default, dist_reduce_fx="sum")

    def rows(self, value: Tensor, *trailing: int) -> Tensor:
        """Give a value per sample as rows, (R, O), or several, (R, O, *trailing)."""
        return value.reshape(-1, self._output_count, *trailing)

    def slots(self, target: Tensor, groups: Tensor | None) -> Tensor:
        """Give for each sample the place ``group * O + output`` where it is added, -1 for none: (R, O).

        Raises:
            ValueError: the target does not end in the outputs, or the groups do not fit.
        """
        outputs = self.output_shape
        if outputs and tuple(target.shape[-len(outputs) :]) != outputs:
            raise ValueError(f"The target ends in axes of {outputs}, not {tuple(target.shape)}.")
        place = torch.arange(self._output_count, device=target.device).expand(self.rows(target).shape)
        left_out = (
            self.rows(target).isnan()
            if target.is_floating_point()
            else torch.zeros_like(place, dtype=torch.bool)
        )
        if (groups is None) != (self.num_groups is None):
            raise ValueError("Give groups in update() if, and only if, num_groups is set in the constructor.")
        if groups is not None:
            if groups.is_floating_point() or groups.shape != target.shape[: groups.ndim]:
                raise ValueError(
                    f"Groups are whole numbers in the target's leading axes {tuple(target.shape)}, "
                    f"not {groups.dtype} {tuple(groups.shape)}."
                )
            if groups.numel() and int(groups.max()) >= self._group_count:
                raise ValueError(f"Group {int(groups.max())} of {self._group_count} groups, counted from 0.")
            group = groups.reshape(groups.shape + (1,) * (target.ndim - groups.ndim)).expand(target.shape)
            group = self.rows(group).to(place.device)
            left_out = left_out | (group < 0)
            place = place + group * self._output_count
        return torch.where(left_out, -1, place)

    def add(self, name: str, slots: Tensor, values: Tensor) -> None:
        """Add values per sample, (R, O) or (R, O, X), to the sums of a state (G, O) or (G, O, X)."""
        state = getattr(self, name)
        setattr(self, name, state + self.total(slots, values))

    def total(self, slots: Tensor, values: Tensor) -> Tensor:
        """Sum values per sample, (R, O, ...), by slot, (G, O, ...)."""
        trailing = values.shape[2:]
        used = (slots >= 0).reshape(slots.shape + (1,) * len(trailing))
        values = torch.where(used, values.to(torch.float64), 0.0)
        if self.num_groups is None:
            return values.sum(0, keepdim=True)
        flat = values.new_zeros(self._group_count * self._output_count, *trailing)
        flat.index_add_(0, slots.clamp_min(0).flatten(), values.flatten(0, 1))
        return flat.reshape(self._group_count, self._output_count, *trailing)

    def histogram(self, slots: Tensor, bins: Tensor, values: Tensor, count: int) -> Tensor:
        """Sum values per sample, (R, O), by slot and bin, (G, O, count)."""
        used = slots >= 0
        flat = values.new_zeros(self._group_count * self._output_count * count, dtype=torch.float64)
        place = (slots * count + bins)[used]
        flat.index_add_(0, place, values[used].to(torch.float64))
        return flat.reshape(self._group_count, self._output_count, count)

    def shaped(self, value: Tensor) -> Tensor:
        """Give (G, O, ...) as the user sees it: without groups or outputs where there are none."""
        group = () if self.num_groups is None else (self.num_groups,)
        return value.reshape(group + self.output_shape + value.shape[2:])


class MeanScore(GroupedMetric):
    """The mean of a score: of any score per sample, or what a subclass makes of forecast and target.

    >>> metric = MeanScore(num_outputs=2)
    >>> metric.update(torch.tensor([[1.0, 2.0], [3.0, float("nan")]]))
    >>> metric.compute()
    tensor([2., 2.], dtype=torch.float64)
    """

    higher_is_better = False
    is_differentiable = True
    score_sum: Tensor
    sample_count: Tensor

    def __init__(
        self, num_outputs: int | Sequence[int] = 1, num_groups: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.add_sums("score_sum")
        self.add_sums("sample_count")

    def update(self, score: Tensor, groups: Tensor | None = None) -> None:
        """Add scores, (..., outputs); NaN is left out."""
        self._add_scores(score, score, groups)

    def _add_scores(self, score: Tensor, target: Tensor, groups: Tensor | None) -> None:
        slots = self.slots(target, groups)
        self.add("score_sum", slots, self.rows(score))
        self.add("sample_count", slots, torch.ones_like(slots))

    def compute(self) -> Tensor:
        """Give the mean, (groups, outputs) as far as there are any; NaN where there is no sample."""
        return self.shaped(self.score_sum / self.sample_count)
