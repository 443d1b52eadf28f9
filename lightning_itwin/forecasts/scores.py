"""What a verification found, as plain arrays."""

# L leads, K map leads, P drought percentiles, M cells, C coverages, S seasons, D deciles

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

SEASONS = ("DJF", "MAM", "JJA", "SON")
_LEAST_IN_SEASON = 30


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


@dataclass(frozen=True, kw_only=True, eq=False)
class VerificationScores:
    """What a verification found.

    Attributes:
        leads: days ahead, (L,).
        levels: of the quantiles, (Q,).
        percentiles: drought percentiles, (P,).
        references: names of the reference forecasts.
        count: samples, (L,).
        crps: in standard deviations, (L,).
        reference_crps: the same of the references by name.
        skill: CRPS skill by name of the reference, (L,).
        season_skill: the same by season of the day that is forecast, (S, L); NaN below 30 samples.
        events: of drought probabilities; None without.
        pit: share of samples in every bin, (L, bins); None for a point forecast.
        coverages: nominal shares of central intervals, (C,).
        coverage: what they held, (L, C).
        coverage_by_state: the same by decile of the state at issue, driest first, (D, L, C); None if unknown.
        anomaly: errors of the median in standard deviations.
        value: in the unit of the target; None where it was not given.
        cell_nse, cell_kge: medians over cells of the efficiency in each, (K,), NaN where unknown.
        map_leads: leads of the maps, (K,).
        maps: scores of cells by name, (K, M).
        latest_origin: index of the last day of issue; -1 if unknown.
        latest_probability: drought probabilities issued on it, (M, L, P), or None.
    """

    leads: np.ndarray
    levels: np.ndarray
    percentiles: tuple[int, ...]
    references: tuple[str, ...]
    count: np.ndarray
    crps: np.ndarray
    reference_crps: Mapping[str, np.ndarray]
    skill: Mapping[str, np.ndarray]
    season_skill: Mapping[str, np.ndarray]
    events: EventScores | None
    pit: np.ndarray | None
    coverages: np.ndarray
    coverage: np.ndarray
    coverage_by_state: np.ndarray | None
    anomaly: PointErrors
    value: PointErrors | None
    cell_nse: np.ndarray
    cell_kge: np.ndarray
    map_leads: np.ndarray
    maps: Mapping[str, np.ndarray]
    latest_origin: int
    latest_probability: np.ndarray | None

    @classmethod
    def from_parts(
        cls,
        parts: Mapping[str, Any],
        leads: Sequence[int],
        map_leads: Sequence[int],
        levels: Sequence[float],
        percentiles: Sequence[int],
        references: Sequence[str],
        coverages: Sequence[float],
    ) -> VerificationScores:
        """Make scores of what the parts of a :class:`lightning_itwin.forecasts.Verification` have counted."""
        by_season = {name: value.cpu().numpy() for name, value in parts["scores"].items()}
        total = {name: value.sum(0) for name, value in by_season.items()}
        has_value = bool((total["value_tt"] > 0).any())
        pairs = {name: _arrays(parts[f"crps_{name}"]) for name in references}
        cells = _arrays(parts["cells"]) if "cells" in parts else {}
        latest_origin, latest = parts.get("latest", (-1, None))
        held = _arrays(parts["coverage"]) if coverages else {}
        return cls(
            leads=np.asarray(leads),
            levels=np.asarray(levels),
            percentiles=tuple(percentiles),
            references=tuple(references),
            count=total["count"].astype(np.int64),
            crps=_ratio(total["crps"], total["count"]),
            reference_crps={
                name: _ratio(pair["other"].sum(0), pair["count"].sum(0)) for name, pair in pairs.items()
            },
            skill={name: _skill(pair["own"].sum(0), pair["other"].sum(0)) for name, pair in pairs.items()},
            season_skill={
                name: np.where(pair["count"] >= _LEAST_IN_SEASON, _skill(pair["own"], pair["other"]), np.nan)
                for name, pair in pairs.items()
            },
            events=_events(parts, references) if percentiles and "events" in parts else None,
            pit=parts["pit"].cpu().numpy() if "pit" in parts else None,
            coverages=np.asarray(coverages, dtype=np.float64),
            coverage=_coverage(held, len(leads)),
            coverage_by_state=_coverage_by_decile(held),
            anomaly=_point_errors(total, "", of_anomalies=True),
            value=_point_errors(total, "value_") if has_value else None,
            cell_nse=_median(_efficiencies(cells)[0]) if cells else np.full(len(map_leads), np.nan),
            cell_kge=(
                _median(_efficiencies(cells)[1]) if cells and has_value else np.full(len(map_leads), np.nan)
            ),
            map_leads=np.asarray(map_leads, dtype=np.int64),
            maps=_maps(cells, references, percentiles),
            latest_origin=int(latest_origin),
            latest_probability=(
                None
                if latest is None or latest_origin < 0
                else latest.cpu().numpy().reshape(len(latest), len(leads), len(percentiles))
            ),
        )

    def columns(self) -> dict[str, np.ndarray]:
        """Give every score that has one number a lead, by name, (L,)."""
        found: dict[str, np.ndarray] = {"lead_days": self.leads, "samples": self.count, "crps": self.crps}
        found |= {f"crps_{name}": values for name, values in self.reference_crps.items()}
        found |= {f"crps_skill_{name}": values for name, values in self.skill.items()}
        if self.events is not None:
            for number, percentile in enumerate(self.percentiles):
                for name, values in self.events.skill.items():
                    found[f"brier_skill_p{percentile}_{name}"] = values[:, number]
                found[f"roc_area_p{percentile}"] = self.events.roc_area[:, number]
                found[f"base_rate_p{percentile}"] = self.events.base_rate[:, number]
        for number, share in enumerate(self.coverages):
            found[f"coverage_{share * 100:.0f}"] = self.coverage[:, number]
            if self.coverage_by_state is not None:
                found[f"coverage_{share * 100:.0f}_driest_decile"] = self.coverage_by_state[0, :, number]
        for prefix, errors in (("anomaly", self.anomaly), ("value", self.value)):
            if errors is not None:
                for name in ("nse", "kge", "rmse", "bias"):
                    found[f"{prefix}_{name}"] = getattr(errors, name)
        for name, values in (("cell_median_nse", self.cell_nse), ("cell_median_kge", self.cell_kge)):
            found[name] = self._on_leads(values)
        for name, several in self.season_skill.items():
            for season, values in zip(SEASONS, several):
                found[f"crps_skill_{name}_{season.lower()}"] = values
        return {name: values for name, values in found.items() if not _all_missing(values)}

    def metrics(self) -> dict[str, float]:
        """Give numbers to log by name, such as ``crps_skill_climatology/lead_07``; NaN is left out."""
        return {
            f"{name}/lead_{lead:02d}": float(value)
            for name, values in self.columns().items()
            if name != "lead_days"
            for lead, value in zip(self.leads, values)
            if np.isfinite(value)
        }

    def _on_leads(self, values: np.ndarray) -> np.ndarray:
        found = np.full(len(self.leads), np.nan)
        found[np.isin(self.leads, self.map_leads)] = values
        return found


def _all_missing(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values).all())


def _arrays(sums: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.cpu().numpy() for name, value in sums.items()}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return above / np.where(below > 0, below, np.nan)


def _skill(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    return 1 - _ratio(own, other)


def _moments(sums: Mapping[str, np.ndarray], prefix: str) -> tuple[np.ndarray, ...]:
    """Give means, variances and covariance of forecast and truth."""
    count = sums["count"]
    p, t, pp, tt, pt = (_ratio(sums[f"{prefix}{name}"], count) for name in ("p", "t", "pp", "tt", "pt"))
    return p, t, np.maximum(pp - p * p, 0), np.maximum(tt - t * t, 0), pt - p * t


def _efficiencies(sums: Mapping[str, np.ndarray], prefix: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Give NSE and KGE; NaN with fewer than two samples, or where nothing varies."""
    p, t, variance_p, variance_t, both = _moments(sums, prefix)
    enough = sums["count"] > 1
    variance_t = np.where(enough & (variance_t > 1e-14 * t * t), variance_t, np.nan)
    variance_p = np.where(variance_p > 1e-14 * p * p, variance_p, np.nan)
    error = np.nan_to_num(variance_p) + variance_t - 2 * both + (p - t) ** 2
    correlation = both / np.sqrt(variance_p * variance_t)
    variability = np.sqrt(variance_p / variance_t)
    bias = p / np.where(t == 0, np.nan, t)
    distance = np.sqrt((correlation - 1) ** 2 + (variability - 1) ** 2 + (bias - 1) ** 2)
    return 1 - error / variance_t, 1 - distance


def _point_errors(sums: Mapping[str, np.ndarray], prefix: str, of_anomalies: bool = False) -> PointErrors:
    p, t, variance_p, variance_t, both = _moments(sums, prefix)
    nse, kge = _efficiencies(sums, prefix)
    mean_square = np.maximum(variance_p + variance_t - 2 * both + (p - t) ** 2, 0)
    kge = np.full_like(kge, np.nan) if of_anomalies else kge
    return PointErrors(nse=nse, kge=kge, rmse=np.sqrt(mean_square), bias=p - t)


def _events(parts: Mapping[str, Any], references: Sequence[str]) -> EventScores:
    sums = {name: value.sum(0) for name, value in _arrays(parts["events"]).items()}
    pairs = {name: _arrays(parts[f"brier_{name}"]) for name in references}
    roc, reliability = parts["roc"], parts["reliability"]
    return EventScores(
        base_rate=_ratio(sums["event"], sums["count"]),
        skill={name: _skill(pair["own"].sum(0), pair["other"].sum(0)) for name, pair in pairs.items()},
        roc_area=roc.area.cpu().numpy(),
        roc_false_alarms=roc.false_alarm_rate.cpu().numpy(),
        roc_hits=roc.hit_rate.cpu().numpy(),
        reliability_forecast=reliability.forecast.cpu().numpy(),
        reliability_observed=reliability.observed.cpu().numpy(),
        reliability_count=reliability.samples.cpu().numpy(),
        reliability_low=reliability.low.cpu().numpy(),
        reliability_high=reliability.high.cpu().numpy(),
    )


def _coverage(held: Mapping[str, np.ndarray], leads: int) -> np.ndarray:
    """Give the share that each interval held, (L, C), from sums by bins of the state, (bins, L)."""
    kinds = [name for name in held if name != "count"]
    if not kinds:
        return np.empty((leads, 0))
    return np.stack([_ratio(held[name].sum(0), held["count"].sum(0)) for name in kinds], axis=-1)


def _coverage_by_decile(held: Mapping[str, np.ndarray]) -> np.ndarray | None:
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
    return np.stack([_ratio(summed[name], summed["count"]) for name in kinds], axis=-1)


def _maps(
    sums: Mapping[str, np.ndarray], references: Sequence[str], percentiles: Sequence[int]
) -> dict[str, np.ndarray]:
    """Give scores of cells, (K, M)."""
    if not sums:
        return {}
    found = {f"crps_skill_{name}": _skill(sums["crps"], sums[f"crps_{name}"]).T for name in references}
    if percentiles:
        for name in references:
            found[f"brier_skill_p{percentiles[0]}_{name}"] = _skill(sums["brier"], sums[f"brier_{name}"]).T
    found["nse"] = _efficiencies(sums)[0].T
    return found


def _median(values: np.ndarray) -> np.ndarray:
    """Give the median over cells, (M, K) to (K,)."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    known = np.isfinite(values).sum(0)
    low, high = np.maximum((known - 1) // 2, 0), known // 2
    columns = np.arange(values.shape[1])
    middle = (ordered[low, columns] + ordered[np.minimum(high, len(values) - 1), columns]) / 2
    return np.where(known > 0, middle, np.nan)
