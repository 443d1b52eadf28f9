"""From sums of scores to scores."""

# L leads, K map leads, P drought percentiles, M cells, C coverages, D deciles

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class PointErrors:
    """Errors of the median, each (L,).

    Attributes:
        nse: Nash-Sutcliffe efficiency over all samples.
        kge: Kling-Gupta efficiency (2009) over all samples; NaN for anomalies, whose mean is near 0.
        rmse: root mean squared error.
        bias: mean of forecast minus truth.
    """

    nse: np.ndarray
    kge: np.ndarray
    rmse: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class EventScores:
    """Scores of the probabilities of values below the drought percentiles, (L, P), and bins.

    Attributes:
        base_rate: share of samples in which the event came.
        skill: Brier skill by name of the reference.
        roc_area: area under the ROC curve.
        roc_false_alarms, roc_hits: the curve.
        reliability_forecast, reliability_observed, reliability_count: mean probability, share of events and
            number of samples in every bin of probability.
        reliability_low, reliability_high: range of the share if the forecasts were reliable and all samples
            independent.
    """

    base_rate: np.ndarray
    skill: Mapping[str, np.ndarray]
    roc_area: np.ndarray
    roc_false_alarms: np.ndarray
    roc_hits: np.ndarray
    reliability_forecast: np.ndarray
    reliability_observed: np.ndarray
    reliability_count: np.ndarray
    reliability_low: np.ndarray
    reliability_high: np.ndarray


def arrays(sums: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Give tensors as arrays."""
    return {name: value.cpu().numpy() for name, value in sums.items()}


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; NaN where the divisor is not above 0."""
    return above / np.where(below > 0, below, np.nan)


def skill_of(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give 1 minus the ratio of two sums of scores."""
    return 1 - ratio(own, other)


def moments(sums: Mapping[str, np.ndarray], prefix: str) -> tuple[np.ndarray, ...]:
    """Give means, variances and covariance of forecast and truth."""
    count = sums["count"]
    p, t, pp, tt, pt = (ratio(sums[f"{prefix}{name}"], count) for name in ("p", "t", "pp", "tt", "pt"))
    return p, t, np.maximum(pp - p * p, 0), np.maximum(tt - t * t, 0), pt - p * t


def efficiencies(sums: Mapping[str, np.ndarray], prefix: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Give NSE and KGE; NaN with fewer than two samples, or where nothing varies."""
    p, t, variance_p, variance_t, both = moments(sums, prefix)
    enough = sums["count"] > 1
    variance_t = np.where(enough & (variance_t > 1e-14 * t * t), variance_t, np.nan)
    variance_p = np.where(variance_p > 1e-14 * p * p, variance_p, np.nan)
    error = np.nan_to_num(variance_p) + variance_t - 2 * both + (p - t) ** 2
    correlation = both / np.sqrt(variance_p * variance_t)
    variability = np.sqrt(variance_p / variance_t)
    bias = p / np.where(t == 0, np.nan, t)
    distance = np.sqrt((correlation - 1) ** 2 + (variability - 1) ** 2 + (bias - 1) ** 2)
    return 1 - error / variance_t, 1 - distance


def point_errors(sums: Mapping[str, np.ndarray], prefix: str, of_anomalies: bool = False) -> PointErrors:
    """Give the errors of the median, from sums whose names begin with the prefix."""
    p, t, variance_p, variance_t, both = moments(sums, prefix)
    nse, kge = efficiencies(sums, prefix)
    mean_square = np.maximum(variance_p + variance_t - 2 * both + (p - t) ** 2, 0)
    kge = np.full_like(kge, np.nan) if of_anomalies else kge
    return PointErrors(nse=nse, kge=kge, rmse=np.sqrt(mean_square), bias=p - t)


def event_scores(parts: Mapping[str, Any], references: Sequence[str]) -> EventScores:
    """Give the scores of drought probabilities from what the parts of a verification have counted."""
    sums = {name: value.sum(0) for name, value in arrays(parts["events"]).items()}
    pairs = {name: arrays(parts[f"brier_{name}"]) for name in references}
    roc, reliability = parts["roc"], parts["reliability"]
    return EventScores(
        base_rate=ratio(sums["event"], sums["count"]),
        skill={name: skill_of(pair["own"].sum(0), pair["other"].sum(0)) for name, pair in pairs.items()},
        roc_area=roc.area.cpu().numpy(),
        roc_false_alarms=roc.false_alarm_rate.cpu().numpy(),
        roc_hits=roc.hit_rate.cpu().numpy(),
        reliability_forecast=reliability.forecast.cpu().numpy(),
        reliability_observed=reliability.observed.cpu().numpy(),
        reliability_count=reliability.samples.cpu().numpy(),
        reliability_low=reliability.low.cpu().numpy(),
        reliability_high=reliability.high.cpu().numpy(),
    )


def coverage_of(held: Mapping[str, np.ndarray], leads: int) -> np.ndarray:
    """Give the share that each interval held, (L, C), from sums by bins of the state, (bins, L)."""
    kinds = [name for name in held if name != "count"]
    if not kinds:
        return np.empty((leads, 0))
    return np.stack([ratio(held[name].sum(0), held["count"].sum(0)) for name in kinds], axis=-1)


def coverage_by_decile(held: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Give the same by decile of the state at issue, (D, L, C); the last bin is an unknown state."""
    kinds = [name for name in held if name != "count"]
    if not kinds:
        return None
    known = {name: values[:-1] for name, values in held.items()}
    size = known["count"].sum(1)
    if size.sum() == 0:
        return None
    middle = (np.cumsum(size) - size / 2) / size.sum()
    deciles = np.minimum((middle * 10).astype(int), 9)
    summed = {name: np.zeros((10, values.shape[1])) for name, values in known.items()}
    for name, values in known.items():
        np.add.at(summed[name], deciles, values)
    return np.stack([ratio(summed[name], summed["count"]) for name in kinds], axis=-1)


def cell_maps(
    sums: Mapping[str, np.ndarray], references: Sequence[str], percentiles: Sequence[int]
) -> dict[str, np.ndarray]:
    """Give scores of cells, (K, M)."""
    if not sums:
        return {}
    found = {f"crps_skill_{name}": skill_of(sums["crps"], sums[f"crps_{name}"]).T for name in references}
    if percentiles:
        for name in references:
            found[f"brier_skill_p{percentiles[0]}_{name}"] = skill_of(sums["brier"], sums[f"brier_{name}"]).T
    found["nse"] = efficiencies(sums)[0].T
    return found


def median_of_cells(values: np.ndarray) -> np.ndarray:
    """Give the median over cells, (M, K) to (K,)."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    known = np.isfinite(values).sum(0)
    low, high = np.maximum((known - 1) // 2, 0), known // 2
    columns = np.arange(values.shape[1])
    middle = (ordered[low, columns] + ordered[np.minimum(high, len(values) - 1), columns]) / 2
    return np.where(known > 0, middle, np.nan)
