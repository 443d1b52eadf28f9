"""Metrics of event probabilities: Brier score and skill, reliability diagram."""

# R rows, O outputs, G groups, K bins

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_itwin.metrics.event_bins import bin_edges, check_events, which_bin
from lightning_itwin.metrics.grouped_metric import GroupedMetric, MeanScore

Outputs = int | Sequence[int]


def brier_score(probability: Tensor, outcome: Tensor) -> Tensor:
    """Give ``(p - o)^2``: probability from 0 to 1, outcome 0 or 1 (or bool, or NaN), both (...).

    >>> brier_score(torch.tensor([0.8, 0.3]), torch.tensor([True, False]))
    tensor([0.0400, 0.0900])
    """
    return (probability - outcome.to(probability.dtype)) ** 2


class BrierScore(MeanScore):
    """Mean Brier score of event probabilities.

    >>> metric = BrierScore()
    >>> metric(torch.tensor([0.75, 0.25]), torch.tensor([True, False]))
    tensor(0.0625, dtype=torch.float64)
    """

    def update(self, probability: Tensor, outcome: Tensor, groups: Tensor | None = None) -> None:  # type: ignore[override]
        """Add probabilities and outcomes (1, 0 or NaN, or bool), both (..., outputs)."""
        check_events(probability, outcome)
        self._add_scores(brier_score(probability, outcome), outcome, groups)


class BrierSkillScore(GroupedMetric):
    """Brier skill: ``1 - BS / BS of a reference``; 1 is perfect, 0 no better than the reference.

    Args:
        reference: the probability that the reference states: "base_rate" is the share of events among all
            samples of an output and group, known only afterwards, and so the strictest; a number is the
            climatological probability, such as 0.2 for values below P20; "given": ``update`` takes it.
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    Raises:
        ValueError: a reference that is none of these; in ``update`` a reference too many or missing.

    >>> metric = BrierSkillScore()
    >>> metric(torch.tensor([0.75, 0.25]), torch.tensor([True, False]))
    tensor(0.7500, dtype=torch.float64)
    """

    higher_is_better = True
    is_differentiable = False
    score_sum: Tensor
    reference_sum: Tensor
    event_count: Tensor
    sample_count: Tensor

    def __init__(
        self,
        reference: str | float = "base_rate",
        num_outputs: Outputs = 1,
        num_groups: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        known = reference in ("base_rate", "given") if isinstance(reference, str) else 0 <= reference <= 1
        if not known:
            raise ValueError(f"The reference is 'base_rate', 'given' or a probability, not {reference!r}.")
        self.reference = reference
        for name in ("score_sum", "reference_sum", "event_count", "sample_count"):
            self.add_sums(name)

    def update(
        self,
        probability: Tensor,
        outcome: Tensor,
        reference: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> None:
        """Add probabilities, outcomes and, if "given", reference probabilities, each (..., outputs)."""
        check_events(probability, outcome)
        if (reference is None) == (self.reference == "given"):
            raise ValueError(
                f"update() takes a reference if it is 'given', and here it is {self.reference!r}."
            )
        slots = self.slots(outcome, groups)
        self.add("score_sum", slots, self.rows(brier_score(probability.double(), outcome)))
        self.add("event_count", slots, self.rows(outcome.double()))
        self.add("sample_count", slots, torch.ones_like(slots))
        if self.reference != "base_rate":
            stated = torch.as_tensor(
                self.reference if reference is None else reference, device=outcome.device
            )
            stated = stated.double().expand(outcome.shape)
            self.add("reference_sum", slots, self.rows(brier_score(stated, outcome)))

    def compute(self) -> Tensor:
        """Give the skill, (groups, outputs); NaN where the reference makes no error, as without events."""
        reference = self.reference_sum
        if self.reference == "base_rate":
            reference = self.event_count * (1 - self.event_count / self.sample_count)
        return self.shaped(1 - self.score_sum / torch.where(reference > 0, reference, torch.nan))


class Reliability(NamedTuple):
    """A reliability diagram, each (groups, outputs, K) as far as there are any.

    Attributes:
        forecast: mean probability of the forecasts in a bin; NaN in an empty one.
        observed: share of events among them.
        samples: their number.
        low: lower end of the range that the share has, in 95 % of cases, if the forecasts are reliable and
            the samples independent (consistency bar).
        high: its upper end.
    """

    forecast: Tensor
    observed: Tensor
    samples: Tensor
    low: Tensor
    high: Tensor


class ReliabilityDiagram(GroupedMetric):
    """How often events came for every stated probability.

    Args:
        bins: number of bins of equal width from 0 to 1; or rising edges from 0 to 1.
        independent_share: share of the samples that are independent, for the bars; neighbouring cells and
            days are not, and the bars of all samples are too narrow for them.
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    Raises:
        ValueError: edges that do not rise from 0 to 1, or a share that is none.

    Reference:
        Broecker & Smith 2007, Weather and Forecasting 22, 651, for the consistency bars.

    >>> diagram = ReliabilityDiagram(bins=2)
    >>> diagram(torch.tensor([0.1, 0.3, 0.9]), torch.tensor([0.0, 1.0, 1.0])).observed
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """

    is_differentiable = False
    bin_count: Tensor
    bin_probability: Tensor
    bin_variance: Tensor
    bin_events: Tensor

    def __init__(
        self,
        bins: int | Sequence[float] = 10,
        num_outputs: Outputs = 1,
        num_groups: int | None = None,
        independent_share: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        if not 0 < independent_share <= 1:
            raise ValueError(
                f"The share of independent samples is above 0, up to 1, not {independent_share}."
            )
        self.edges, self.independent_share = bin_edges(bins), independent_share
        for name in ("bin_count", "bin_probability", "bin_variance", "bin_events"):
            self.add_sums(name, len(self.edges) - 1)

    def update(self, probability: Tensor, outcome: Tensor, groups: Tensor | None = None) -> None:
        """Add probabilities and outcomes (1, 0 or NaN, or bool), both (..., outputs)."""
        check_events(probability, outcome)
        slots = self.slots(outcome, groups)
        p = self.rows(probability).double()
        bins = which_bin(p, self.edges)
        for name, value in (
            ("bin_count", torch.ones_like(p)),
            ("bin_probability", p),
            ("bin_variance", p * (1 - p)),
            ("bin_events", self.rows(outcome).double()),
        ):
            setattr(self, name, getattr(self, name) + self.histogram(slots, bins, value, len(self.edges) - 1))

    def compute(self) -> Reliability:
        """Give the diagram."""
        count = torch.where(self.bin_count > 0, self.bin_count, torch.nan)
        forecast = self.bin_probability / count
        share = self.independent_share
        independent = (count * share).round().clamp_min(1)
        low, high = _consistency_bar(forecast, independent, self.bin_variance * share)
        found = (forecast, self.bin_events / count, self.bin_count, low, high)
        return Reliability(*(self.shaped(value) for value in found))


def _consistency_bar(probability: Tensor, count: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Give the 95 % range of a bin's share of events if each came with its stated probability.

    Exactly binomial with the bin's mean probability up to 1000 samples, beyond normal with the sum of
    ``p (1 - p)`` as variance.
    """
    known = torch.nan_to_num(probability).clamp(0, 1)
    spread = 1.959963984540054 * variance.clamp_min(0).sqrt() / count
    low, high = (probability - spread).clamp(0, 1), (probability + spread).clamp(0, 1)
    small = (count > 0) & (count <= 1000)
    if bool(small.any()):
        n, p = count[small].unsqueeze(-1), known[small].unsqueeze(-1)
        k = torch.arange(int(n.max()) + 1, dtype=n.dtype, device=n.device)
        ways = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp_min(0) + 1)
        log_p = ways + torch.xlogy(k, p) + torch.special.xlog1py((n - k).clamp_min(0), -p)
        cumulative = torch.where(k <= n, log_p.exp(), 0.0).cumsum(-1)
        for bar, level in ((low, 0.025), (high, 0.975)):
            bar[small] = (cumulative < level - 1e-12).sum(-1).clamp(max=n.squeeze(-1)) / n.squeeze(-1)
    return low, high
