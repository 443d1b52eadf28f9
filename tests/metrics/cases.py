"""Every metric with some data: what each ``update`` is given, batch after batch, with gaps in the targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_itwin import metrics

LEVELS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
LEADS, CELLS, BATCH, BATCHES = 3, 5, 40, 6

Updates = list[tuple[Tensor, ...]]
Case = tuple[Callable[..., Metric], Updates]


def cases() -> dict[str, Case]:
    """Give class and batches of every metric; targets have ``LEADS`` at their end, and lie about 1000."""
    generator = torch.Generator().manual_seed(3)
    shape = (BATCHES, BATCH, LEADS)

    def normal(*trailing: int) -> Tensor:
        return torch.randn(*shape, *trailing, generator=generator, dtype=torch.float64)

    truth = 1000 + normal()
    target = torch.where(normal() > 1.2, torch.nan, truth)
    ensemble = (truth + normal()).unsqueeze(-1) + normal(9)
    quantiles = ensemble.quantile(torch.tensor(LEVELS, dtype=torch.float64), dim=-1).movedim(0, -1)
    outcome = torch.where(target.isnan(), torch.nan, (target < 999.5).double())
    probability = torch.sigmoid(999.5 - truth + normal()).round(decimals=2)
    weight, location = normal(2).softmax(-1), truth.unsqueeze(-1) + normal(2)
    scale, asymmetry = normal(2).exp(), torch.sigmoid(normal(2))
    positive = torch.where(target.isnan(), torch.nan, (target - 1000).clamp_min(-0.5) + 0.5)

    def batches(*values: Tensor) -> Updates:
        return list(zip(*values))

    probabilistic = {
        "EnsembleCRPS": (metrics.EnsembleCRPS, batches(ensemble, target)),
        "fair EnsembleCRPS": (of(metrics.EnsembleCRPS, fair=True), batches(ensemble, target)),
        "QuantileCRPS": (of(metrics.QuantileCRPS, LEVELS), batches(quantiles, target)),
        "linear QuantileCRPS": (of(metrics.QuantileCRPS, LEVELS, "linear"), batches(quantiles, target)),
        "weighted QuantileCRPS": (of(metrics.QuantileCRPS, LEVELS, "weighted"), batches(quantiles, target)),
        "PinballLoss": (of(metrics.PinballLoss, LEVELS), batches(quantiles, target)),
        "NormalCRPS": (metrics.NormalCRPS, batches(truth, normal().exp(), target)),
        "normal MixtureCRPS": (of(metrics.MixtureCRPS, "normal"), batches(weight, location, scale, target)),
        "MixtureCRPS": (metrics.MixtureCRPS, batches(weight, location, scale, target, asymmetry)),
        "SkillScore": (metrics.SkillScore, batches(normal().exp(), normal().exp() + 0 * target)),
        "MeanScore": (metrics.MeanScore, batches(target)),
        "PITHistogram of ensembles": (metrics.PITHistogram, batches(ensemble, target)),
        "PITHistogram of quantiles": (
            of(metrics.PITHistogram, "quantiles", levels=LEVELS),
            batches(quantiles, target),
        ),
        "PITHistogram of cdf": (of(metrics.PITHistogram, "cdf"), batches(probability, target)),
        "IntervalCoverage": (of(metrics.IntervalCoverage, [0.5, 0.8], LEVELS), batches(quantiles, target)),
    }
    events = {
        "BrierScore": (metrics.BrierScore, batches(probability, outcome)),
        "BrierSkillScore": (metrics.BrierSkillScore, batches(probability, outcome)),
        "BrierSkillScore of 0.2": (of(metrics.BrierSkillScore, 0.2), batches(probability, outcome)),
        "BrierSkillScore given": (
            of(metrics.BrierSkillScore, "given"),
            batches(probability, outcome, probability.flip(0)),
        ),
        "ReliabilityDiagram": (metrics.ReliabilityDiagram, batches(probability, outcome)),
        "ROCCurve": (metrics.ROCCurve, batches(probability, outcome)),
    }
    single = {
        name: (getattr(metrics, name), batches(truth + normal(), target))
        for name in ("NashSutcliffeEfficiency", "KlingGuptaEfficiency", "RootMeanSquaredError", "MeanBias")
    }
    single["KlingGuptaEfficiency of 2012"] = (
        of(metrics.KlingGuptaEfficiency, 2012),
        batches(truth + normal(), target),
    )
    index = {"StandardizedGammaIndex": (metrics.StandardizedGammaIndex, batches(positive))}
    return probabilistic | events | single | index


def groups() -> list[Tensor]:
    """Give the cell of every sample of every batch; -1 is left out."""
    generator = torch.Generator().manual_seed(4)
    return list(torch.randint(-1, CELLS, (BATCHES, BATCH), generator=generator))


def of(kind: Callable[..., Metric], *settings: Any, **named: Any) -> Callable[..., Metric]:
    """Give a metric's class with its first settings given."""
    return lambda **options: kind(*settings, **named, **options)


def flat(value: Any) -> Tensor:
    """Give a tensor, or a tuple of them, as one."""
    parts = value if isinstance(value, tuple) else (value,)
    return torch.cat([part.double().flatten() for part in parts])
