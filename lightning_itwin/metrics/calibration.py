"""Calibration of forecast distributions: probability integral transform and coverage of intervals."""

# M members, Q quantile levels, K bins, C coverages; R rows, O outputs

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_itwin.metrics.crps import Levels, rising_levels
from lightning_itwin.metrics.grouped_metric import GroupedMetric

Outputs = int | Sequence[int]


def pit_of_ensemble(ensemble: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Give the range in which the PIT of a target among members lies: its rank, and as much for every tie.

    Args:
        ensemble: (..., M). target: (...).

    Returns:
        Lower and upper end, (...): ``b / (M + 1)`` and ``(b + ties + 1) / (M + 1)`` for b members below.

    >>> pit_of_ensemble(torch.tensor([1.0, 2.0, 3.0]), torch.tensor(2.5))
    (tensor(0.5000), tensor(0.7500))
    """
    y = target.unsqueeze(-1)
    below, upto = (ensemble < y).sum(-1), (ensemble <= y).sum(-1)
    missing = torch.where(target.isnan() | ensemble.isnan().any(-1), torch.nan, 0.0)
    missing = missing.to(torch.promote_types(ensemble.dtype, torch.float32))
    count = ensemble.shape[-1] + 1
    return (below + missing) / count, (upto + 1 + missing) / count


def cdf_of_quantiles(quantiles: Tensor, target: Tensor, levels: Levels) -> tuple[Tensor, Tensor]:
    """Give the range in which the distribution function at the target lies.

    Between two quantiles it is linear, and the range a point. Outside of them all that is known is that it
    lies from 0 to the first level, or from the last to 1. Where quantiles coincide, it spans their levels.

    Args:
        quantiles: not falling, (..., Q). target: (...). levels: rising, (Q,).

    Returns:
        Lower and upper end, (...).

    >>> cdf_of_quantiles(torch.tensor([0.0, 1.0]), torch.tensor(0.5), [0.1, 0.9])
    (tensor(0.5000), tensor(0.5000))
    """
    level = rising_levels(levels).to(quantiles)
    y = target.unsqueeze(-1)
    ends = torch.cat([level.new_zeros(1), level, level.new_ones(1)])
    below, upto = (quantiles < y).sum(-1), (quantiles <= y).sum(-1)
    last = quantiles.shape[-1] - 1
    left, right = (below - 1).clamp(0, last), below.clamp(0, last)
    low, high = (quantiles.gather(-1, at.unsqueeze(-1)).squeeze(-1) for at in (left, right))
    width = high - low
    share = torch.where(width > 0, (target - low) / torch.where(width > 0, width, 1.0), 0.0)
    between = level[left] + (level[right] - level[left]) * share
    inside = (below == upto) & (below > 0) & (below <= last)
    missing = torch.where(target.isnan() | quantiles.isnan().any(-1), torch.nan, 0.0).to(quantiles.dtype)
    on = upto > below  # the target is a quantile, or several that coincide
    lower = torch.where(inside, between, ends[torch.where(on & (below > 0), below + 1, below)])
    upper = torch.where(inside, between, ends[torch.where(on & (upto <= last), upto, upto + 1)])
    return lower + missing, upper + missing


def randomised_pit(lower: Tensor, upper: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a PIT from the range in which it lies: uniform over samples if the forecasts are calibrated.

    Args:
        lower, upper: (...), from :func:`pit_of_ensemble` or :func:`cdf_of_quantiles`.
        generator: of random numbers, on the same device.
    """
    drawn = torch.rand(lower.shape, generator=generator, dtype=lower.dtype, device=lower.device)
    return lower + (upper - lower) * drawn


class PITHistogram(GroupedMetric):
    """Histogram of the probability integral transform: flat if forecasts are calibrated.

    A hump is an ensemble too wide, a U one too narrow, a slope a bias. Where the distribution has mass, or is
    known to lie between two levels only, the sample is spread evenly over the range in which its PIT lies.
    This is the mean of all randomised histograms, without their noise, the same in every world of processes.

    Args:
        kind: what ``update`` takes: "ensemble" members, "quantiles", or "cdf": values of the distribution
            function at the target.
        bins: number of bins of equal width from 0 to 1.
        levels: of the quantiles, rising, (Q,).
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    Raises:
        ValueError: another kind, no bin, or levels that miss or are too many.

    Reference:
        Czado et al. 2009, Biometrics 65, 1254.

    >>> histogram = PITHistogram(bins=2)
    >>> histogram(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0.5]))
    tensor([1., 0.], dtype=torch.float64)
    """

    is_differentiable = False
    bin_mass: Tensor

    def __init__(
        self,
        kind: Literal["ensemble", "quantiles", "cdf"] = "ensemble",
        bins: int = 10,
        levels: Levels | None = None,
        num_outputs: Outputs = 1,
        num_groups: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        if kind not in ("ensemble", "quantiles", "cdf") or bins < 1:
            raise ValueError(f"'ensemble', 'quantiles' or 'cdf' and 1 bin or more, not {kind!r} and {bins}.")
        if (levels is None) == (kind == "quantiles"):
            raise ValueError("Quantiles need their levels, and nothing else does.")
        self.kind, self.bins = kind, bins
        self.levels = None if levels is None else rising_levels(levels).tolist()
        self.add_sums("bin_mass", bins)

    def update(self, forecast: Tensor, target: Tensor, groups: Tensor | None = None) -> None:
        """Add forecasts (..., outputs, M or Q), or for "cdf" (..., outputs), and targets (..., outputs)."""
        if self.kind == "cdf":
            lower, upper = forecast, forecast
        elif self.levels is None:
            lower, upper = pit_of_ensemble(forecast, target)
        else:
            lower, upper = cdf_of_quantiles(forecast, target, self.levels)
        slots = self.slots(target, groups)
        low, high = self.rows(lower).double(), self.rows(upper).double()
        edges = torch.linspace(0, 1, self.bins + 1, dtype=torch.float64, device=low.device)
        width = (high - low).unsqueeze(-1)
        inside = ((edges - low.unsqueeze(-1)) / torch.where(width > 0, width, 1.0)).clamp(0, 1)
        point = (edges > low.unsqueeze(-1)).double()
        point[..., 0], point[..., -1] = 0.0, 1.0
        share = torch.where(width > 0, inside, point)
        self.add("bin_mass", slots, torch.diff(share, dim=-1) + 0 * low.unsqueeze(-1))

    def compute(self) -> Tensor:
        """Give the share of samples in every bin, (groups, outputs, K); NaN where there is none."""
        return self.shaped(self.bin_mass / self.bin_mass.sum(-1, keepdim=True))


class IntervalCoverage(GroupedMetric):
    """How often central intervals hold the target; with ``groups`` how often where, say in dry soil.

    Args:
        coverage: nominal shares, such as 0.8 for the interval from level 0.1 to 0.9, (C,).
        levels: of the quantiles that ``update`` takes, rising, (Q,); the ends of an interval are interpolated
            between them. None: it takes lower and upper ends, (..., outputs, 2), of one interval.
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    Raises:
        ValueError: a coverage that is not between 0 and 1, or wider than the levels.

    >>> metric = IntervalCoverage([0.8], levels=[0.1, 0.5, 0.9])
    >>> metric(torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]), torch.tensor([1.5, 2.5]))
    tensor(0.5000, dtype=torch.float64)
    """

    is_differentiable = False
    held_count: Tensor
    width_sum: Tensor
    sample_count: Tensor

    def __init__(
        self,
        coverage: Sequence[float] = (0.8,),
        levels: Levels | None = None,
        num_outputs: Outputs = 1,
        num_groups: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.coverage = [float(share) for share in coverage]
        if not self.coverage or not all(0 < share < 1 for share in self.coverage):
            raise ValueError(f"Coverages lie between 0 and 1, not {self.coverage}.")
        self.levels = None if levels is None else rising_levels(levels).tolist()
        if self.levels is None and len(self.coverage) != 1:
            raise ValueError(f"Without levels there is one interval, not {len(self.coverage)}.")
        widest = (1 - max(self.coverage)) / 2
        first, last = (0.0, 1.0) if self.levels is None else (self.levels[0], self.levels[-1])
        if first > widest + 1e-9 or last < 1 - widest - 1e-9:
            raise ValueError(
                f"A coverage of {max(self.coverage)} reaches from level {widest:.4g} to {1 - widest:.4g}, "
                f"and the levels from {first:.4g} to {last:.4g}: forecast more of them, or ask for less."
            )
        for name in ("held_count", "width_sum"):
            self.add_sums(name, len(self.coverage))
        self.add_sums("sample_count")

    def update(self, forecast: Tensor, target: Tensor, groups: Tensor | None = None) -> None:
        """Add quantiles (..., outputs, Q), or ends (..., outputs, 2), and targets (..., outputs)."""
        if self.levels is None:
            low, high = forecast[..., :1], forecast[..., 1:]
        else:
            outside = [(1 - share) / 2 for share in self.coverage]
            low = at_levels(forecast, self.levels, outside)
            high = at_levels(forecast, self.levels, [1 - level for level in outside])
        slots = self.slots(target, groups)
        y = target.unsqueeze(-1)
        held = ((low <= y) & (y <= high)).double() + 0 * (high - low)
        self.add("held_count", slots, self.rows(held, len(self.coverage)))
        self.add("width_sum", slots, self.rows(high - low, len(self.coverage)))
        self.add("sample_count", slots, torch.ones_like(slots))

    def compute(self) -> Tensor:
        """Give the shares that were held, (groups, outputs, C); one coverage has no axis."""
        return self._per_sample(self.held_count)

    def mean_width(self) -> Tensor:
        """Give the mean width of the intervals on this process, of the shape of :meth:`compute`."""
        return self._per_sample(self.width_sum)

    def _per_sample(self, sums: Tensor) -> Tensor:
        share = self.shaped(sums / self.sample_count.unsqueeze(-1))
        return share.squeeze(-1) if len(self.coverage) == 1 else share


def at_levels(quantiles: Tensor, levels: Levels, wanted: Sequence[float]) -> Tensor:
    """Interpolate quantiles (..., Q) at other levels, linearly: (..., wanted).

    >>> at_levels(torch.tensor([0.0, 1.0]), [0.1, 0.9], [0.1, 0.5])
    tensor([0.0000, 0.5000])
    """
    level = rising_levels(levels)
    if len(level) == 1:
        return quantiles.expand(*quantiles.shape[:-1], len(wanted))
    want = torch.tensor(list(wanted), dtype=torch.float64).clamp(level[0], level[-1])
    right = torch.searchsorted(level, want - 1e-9).clamp(1, len(level) - 1)
    share = ((want - level[right - 1]) / (level[right] - level[right - 1])).to(quantiles)
    right = right.to(quantiles.device)
    low, high = quantiles[..., right - 1], quantiles[..., right]
    return torch.where(share == 1, high, torch.lerp(low, high, share))
