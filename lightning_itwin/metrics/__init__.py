"""Verification of probabilistic and hydrological forecasts: torchmetrics classes over pure functions."""

from lightning_itwin.metrics.calibration import (
    IntervalCoverage,
    PITHistogram,
    at_levels,
    cdf_of_quantiles,
    pit_of_ensemble,
    randomised_pit,
)
from lightning_itwin.metrics.crps import (
    crps_ensemble,
    crps_piecewise_linear,
    crps_quantile,
    pinball_loss,
    quantile_weights,
)
from lightning_itwin.metrics.deterministic import (
    KlingGuptaEfficiency,
    KlingGuptaParts,
    MeanBias,
    NashSutcliffeEfficiency,
    RootMeanSquaredError,
)
from lightning_itwin.metrics.events import (
    BrierScore,
    BrierSkillScore,
    Reliability,
    ReliabilityDiagram,
    brier_score,
)
from lightning_itwin.metrics.grouped_metric import GroupedMetric, MeanScore
from lightning_itwin.metrics.parametric import (
    cdf_asymmetric_laplace_mixture,
    cdf_normal_mixture,
    crps_asymmetric_laplace,
    crps_asymmetric_laplace_mixture,
    crps_normal,
    crps_normal_mixture,
)
from lightning_itwin.metrics.probabilistic import (
    EnsembleCRPS,
    MixtureCRPS,
    NormalCRPS,
    PinballLoss,
    QuantileCRPS,
    SkillScore,
)
from lightning_itwin.metrics.roc import ROC, ROCCurve
from lightning_itwin.metrics.standardized_index import StandardizedGammaIndex

__all__ = [
    "ROC",
    "BrierScore",
    "BrierSkillScore",
    "EnsembleCRPS",
    "GroupedMetric",
    "IntervalCoverage",
    "KlingGuptaEfficiency",
    "KlingGuptaParts",
    "MeanBias",
    "MeanScore",
    "MixtureCRPS",
    "NashSutcliffeEfficiency",
    "NormalCRPS",
    "PITHistogram",
    "PinballLoss",
    "QuantileCRPS",
    "ROCCurve",
    "Reliability",
    "ReliabilityDiagram",
    "RootMeanSquaredError",
    "SkillScore",
    "StandardizedGammaIndex",
    "at_levels",
    "brier_score",
    "cdf_asymmetric_laplace_mixture",
    "cdf_normal_mixture",
    "cdf_of_quantiles",
    "crps_asymmetric_laplace",
    "crps_asymmetric_laplace_mixture",
    "crps_ensemble",
    "crps_normal",
    "crps_normal_mixture",
    "crps_piecewise_linear",
    "crps_quantile",
    "pinball_loss",
    "pit_of_ensemble",
    "quantile_weights",
    "randomised_pit",
]
