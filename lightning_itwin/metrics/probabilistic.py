"""Metrics of forecasts that are distributions: the mean CRPS of what the forecast consists of."""

# M members, Q quantile levels, K components; B samples, O outputs

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_itwin.metrics.crps import (
    Levels,
    crps_ensemble,
    crps_piecewise_linear,
    crps_quantile,
    pinball_loss,
    quantile_weights,
    rising_levels,
)
from lightning_itwin.metrics.grouped_metric import GroupedMetric, MeanScore
from lightning_itwin.metrics.parametric import (
    crps_asymmetric_laplace_mixture,
    crps_normal,
    crps_normal_mixture,
)

Outputs = int | Sequence[int]


class EnsembleCRPS(MeanScore):
    """Mean CRPS of ensembles; see :func:`lightning_itwin.metrics.crps_ensemble`.

    >>> metric = EnsembleCRPS()
    >>> metric(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([2.0]))
    tensor(0.2222, dtype=torch.float64)
    """

    def __init__(
        self, num_outputs: Outputs = 1, num_groups: int | None = None, fair: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.fair = fair

    def update(self, ensemble: Tensor, target: Tensor, groups: Tensor | None = None) -> None:  # type: ignore[override]
        """Add ensembles (..., outputs, M) and what came, (..., outputs)."""
        self._add_scores(crps_ensemble(ensemble, target, self.fair), target, groups)


class QuantileCRPS(MeanScore):
    """Mean CRPS of quantile forecasts.

    Args:
        levels: of the quantiles, rising, (Q,).
        method: "mean": twice the mean pinball loss, as scoringrules has it. "weighted": the same with
            :func:`lightning_itwin.metrics.quantile_weights`, for levels at uneven distances. "linear": exact
            for a quantile function that is linear between the levels.
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    Raises:
        ValueError: levels that do not rise from 0 to 1, or another method.

    >>> metric = QuantileCRPS([0.1, 0.9])
    >>> metric(torch.tensor([[1.0, 3.0]]), torch.tensor([2.0]))
    tensor(0.2000, dtype=torch.float64)
    """

    def __init__(
        self,
        levels: Levels,
        method: Literal["mean", "weighted", "linear"] = "mean",
        num_outputs: Outputs = 1,
        num_groups: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        if method not in ("mean", "weighted", "linear"):
            raise ValueError(f"The method is 'mean', 'weighted' or 'linear', not {method!r}.")
        self.levels = rising_levels(levels).tolist()
        self.method = method
        self._weights = quantile_weights(self.levels).tolist() if method == "weighted" else None

    def update(self, quantiles: Tensor, target: Tensor, groups: Tensor | None = None) -> None:  # type: ignore[override]
        """Add quantiles (..., outputs, Q) and what came, (..., outputs)."""
        if self.method == "linear":
            score = crps_piecewise_linear(quantiles, target, self.levels)
        else:
            score = crps_quantile(quantiles, target, self.levels, self._weights)
        self._add_scores(score, target, groups)


class NormalCRPS(MeanScore):
    """Mean CRPS of normal forecasts.

    >>> metric = NormalCRPS()
    >>> metric(torch.zeros(1), torch.ones(1), torch.zeros(1))
    tensor(0.2337, dtype=torch.float64)
    """

    def update(  # type: ignore[override]
        self, mean: Tensor, standard_deviation: Tensor, target: Tensor, groups: Tensor | None = None
    ) -> None:
        """Add means, standard deviations and what came, each (..., outputs)."""
        self._add_scores(crps_normal(mean, standard_deviation, target), target, groups)


class MixtureCRPS(MeanScore):
    """Mean CRPS of mixtures of normal or asymmetric Laplace distributions (CMAL), in closed form.

    Args:
        family: "normal" or "asymmetric_laplace".
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    Raises:
        ValueError: another family; in ``update`` an asymmetry too many or missing.
    """

    def __init__(
        self,
        family: Literal["normal", "asymmetric_laplace"] = "asymmetric_laplace",
        num_outputs: Outputs = 1,
        num_groups: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        if family not in ("normal", "asymmetric_laplace"):
            raise ValueError(f"The family is 'normal' or 'asymmetric_laplace', not {family!r}.")
        self.family = family

    def update(  # type: ignore[override]
        self,
        weight: Tensor,
        location: Tensor,
        scale: Tensor,
        target: Tensor,
        asymmetry: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> None:
        """Add mixtures, parameters (..., outputs, K), and what came, (..., outputs)."""
        if (asymmetry is None) != (self.family == "normal"):
            raise ValueError("An asymmetric Laplace mixture has an asymmetry, a normal one has none.")
        if asymmetry is None:
            score = crps_normal_mixture(weight, location, scale, target)
        else:
            score = crps_asymmetric_laplace_mixture(weight, location, scale, asymmetry, target)
        self._add_scores(score, target, groups)


class PinballLoss(MeanScore):
    """Mean pinball loss, one value a level: (groups, outputs, Q).

    Args:
        levels: rising, (Q,).
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.
    """

    def __init__(
        self, levels: Levels, num_outputs: Outputs = 1, num_groups: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.levels = rising_levels(levels).tolist()
        self.add_sums("score_sum", len(self.levels))

    def update(self, quantiles: Tensor, target: Tensor, groups: Tensor | None = None) -> None:  # type: ignore[override]
        """Add quantiles (..., outputs, Q) and what came, (..., outputs)."""
        loss = pinball_loss(quantiles, target, self.levels)
        slots = self.slots(target, groups)
        self.add("score_sum", slots, self.rows(loss, len(self.levels)))
        self.add("sample_count", slots, torch.ones_like(slots))

    def compute(self) -> Tensor:
        """Give the mean losses."""
        return self.shaped(self.score_sum / self.sample_count.unsqueeze(-1))


class SkillScore(GroupedMetric):
    """Skill against a reference: ``1 - mean score / mean reference score``, such as that of two CRPS.

    1 is perfect, 0 no better than the reference. Samples count where both scores exist.

    >>> metric = SkillScore()
    >>> metric(torch.tensor([0.1, 0.3]), torch.tensor([0.4, 0.4]))
    tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True
    is_differentiable = True
    score_sum: Tensor
    reference_sum: Tensor

    def __init__(self, num_outputs: Outputs = 1, num_groups: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.add_sums("score_sum")
        self.add_sums("reference_sum")

    def update(self, score: Tensor, reference: Tensor, groups: Tensor | None = None) -> None:
        """Add scores of the forecast and of the reference, both (..., outputs); NaN is left out."""
        slots = self.slots(score + reference, groups)
        self.add("score_sum", slots, self.rows(score))
        self.add("reference_sum", slots, self.rows(reference))

    def compute(self) -> Tensor:
        """Give the skill, (groups, outputs); NaN where the reference's score is 0."""
        return self.shaped(
            1 - self.score_sum / torch.where(self.reference_sum > 0, self.reference_sum, torch.nan)
        )
