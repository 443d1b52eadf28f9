"""Metrics of single-valued forecasts: NSE, KGE, RMSE and bias, from moments that merge exactly."""

# R rows, O outputs, G groups

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_itwin.metrics.grouped_metric import GroupedMetric

Outputs = int | Sequence[int]


class Moments(NamedTuple):
    """What a pair of series is known by, each (G, O), float64.

    Attributes:
        samples: their number.
        mean_p, mean_t: means of prediction and target.
        squares_p, squares_t: sums of squared deviations from the mean.
        products: sum of the products of both deviations.
        error: sum of squared differences between prediction and target.
    """

    samples: Tensor
    mean_p: Tensor
    mean_t: Tensor
    squares_p: Tensor
    squares_t: Tensor
    products: Tensor
    error: Tensor


def merge_moments(stacked: Tensor) -> Tensor:
    """Merge moments of several parts, (parts, 7, G, O) to (7, G, O), without loss where a mean is large.

    Reference:
        Chan et al. 1983, American Statistician 37, 242.
    """
    merged = stacked[0]
    for part in stacked[1:]:
        a, b = Moments(*merged), Moments(*part)
        count = a.samples + b.samples
        share = b.samples / count.clamp_min(1)
        step_p, step_t = b.mean_p - a.mean_p, b.mean_t - a.mean_t
        between = a.samples * share
        merged = torch.stack(
            [
                count,
                a.mean_p + step_p * share,
                a.mean_t + step_t * share,
                a.squares_p + b.squares_p + step_p**2 * between,
                a.squares_t + b.squares_t + step_t**2 * between,
                a.products + b.products + step_p * step_t * between,
                a.error + b.error,
            ]
        )
    return merged


class PairedMoments(GroupedMetric):
    """Metrics that are made of means, variances and the covariance of prediction and target."""

    is_differentiable = True
    moments: Tensor

    def __init__(self, num_outputs: Outputs = 1, num_groups: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        default = torch.zeros(7, self._group_count, self._output_count, dtype=torch.float64)
        self.add_state("moments", default, dist_reduce_fx=merge_moments)

    def update(self, prediction: Tensor, target: Tensor, groups: Tensor | None = None) -> None:
        """Add predictions and targets, both (..., outputs).

        Raises:
            ValueError: the shapes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"Prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ.")
        slots = self.slots(target, groups)
        p, t = self.rows(prediction).double(), self.rows(target).double()
        count = self.total(slots, torch.ones_like(p))
        sums = self.total(slots, torch.stack([p, t], -1))
        means = sums / count.clamp_min(1).unsqueeze(-1)
        own = means.flatten(0, 1)[slots.clamp_min(0)]
        deviation_p, deviation_t = p - own[..., 0], t - own[..., 1]
        products = [deviation_p**2, deviation_t**2, deviation_p * deviation_t, (p - t) ** 2]
        found = self.total(slots, torch.stack(products, -1))
        part = torch.stack([count, *means.unbind(-1), *found.unbind(-1)])
        self.moments = merge_moments(torch.stack([self.moments, part]))


class NashSutcliffeEfficiency(PairedMoments):
    """NSE: ``1 - sum (p - t)^2 / sum (t - mean t)^2``; 1 is perfect, 0 no better than the targets' mean.

    Reference:
        Nash & Sutcliffe 1970, J. Hydrology 10, 282.

    >>> metric = NashSutcliffeEfficiency()
    >>> metric(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0]))
    tensor(0.7857, dtype=torch.float64)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """Give the efficiency, (groups, outputs); NaN where the targets are all the same."""
        found = Moments(*self.moments)
        return self.shaped(1 - found.error / torch.where(found.squares_t > 0, found.squares_t, torch.nan))


class KlingGuptaParts(NamedTuple):
    """What a Kling-Gupta efficiency is made of; all are 1 at best.

    Attributes:
        efficiency: the KGE itself.
        correlation: of prediction and target.
        variability: ratio of the standard deviations (2009), or of the coefficients of variation (2012).
        bias: ratio of the means.
    """

    efficiency: Tensor
    correlation: Tensor
    variability: Tensor
    bias: Tensor


class KlingGuptaEfficiency(PairedMoments):
    """KGE: ``1 - sqrt((r - 1)^2 + (variability - 1)^2 + (bias - 1)^2)``; 1 is perfect.

    The ratio of the means has no sense for anomalies, whose mean is near 0: give values in physical units.

    Args:
        version: 2009: variability is the ratio of the standard deviations; 2012: of the coefficients of
            variation.
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.

    Raises:
        ValueError: another version.

    Reference:
        Gupta et al. 2009, J. Hydrology 377, 80; Kling et al. 2012, J. Hydrology 424, 264.

    >>> metric = KlingGuptaEfficiency()
    >>> metric(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0]))
    tensor(0.2929, dtype=torch.float64)
    """

    higher_is_better = True

    def __init__(
        self, version: int = 2009, num_outputs: Outputs = 1, num_groups: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        if version not in (2009, 2012):
            raise ValueError(f"The version is 2009 or 2012, not {version!r}.")
        self.version = version

    def compute(self) -> Tensor:
        """Give the efficiency, (groups, outputs); NaN where a series does not vary."""
        return self.parts().efficiency

    def parts(self) -> KlingGuptaParts:
        """Give the efficiency and what it is made of, as this process has it."""
        found = Moments(*self.moments)
        correlation = found.products / (found.squares_p * found.squares_t).sqrt()
        bias = found.mean_p / found.mean_t
        variability = (found.squares_p / found.squares_t).sqrt()
        if self.version == 2012:
            variability = variability / bias
        off = (correlation - 1) ** 2 + (variability - 1) ** 2 + (bias - 1) ** 2
        parts = (1 - off.sqrt(), correlation, variability, bias)
        return KlingGuptaParts(*(self.shaped(part) for part in parts))


class RootMeanSquaredError(PairedMoments):
    """RMSE, in the unit of the target.

    >>> RootMeanSquaredError()(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 6.0]))
    tensor(3.5355, dtype=torch.float64)
    """

    higher_is_better = False

    def compute(self) -> Tensor:
        """Give the error, (groups, outputs); NaN where there is no sample."""
        found = Moments(*self.moments)
        return self.shaped((found.error / found.samples).sqrt())


class MeanBias(PairedMoments):
    """Mean of prediction minus target, in the unit of the target.

    >>> MeanBias()(torch.tensor([1.0, 2.0]), torch.tensor([4.0, float("nan")]))
    tensor(-3., dtype=torch.float64)
    """

    def compute(self) -> Tensor:
        """Give the bias, (groups, outputs); NaN where there is no sample."""
        found = Moments(*self.moments)
        return self.shaped((found.mean_p - found.mean_t) * (found.samples / found.samples))
