"""What a verification found, as plain arrays."""

# L leads, K map leads, P drought percentiles, M cells, C coverages, S seasons, D deciles

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_itwin.forecasts.score_sums import (
    EventScores,
    PointErrors,
    arrays,
    cell_maps,
    coverage_by_decile,
    coverage_of,
    efficiencies,
    event_scores,
    median_of_cells,
    point_errors,
    ratio,
    skill_of,
)

SEASONS = ("DJF", "MAM", "JJA", "SON")
_LEAST_IN_SEASON = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class VerificationScores:
    """What a verification found.

    Attributes:
        leads: days ahead, (L,).
        levels: of the quantiles, (Q,).
        percentiles: drought percentiles, (P,).
        references: names of the reference forecasts.
        count: samples, (L,).
        months: months of issue, in all histories of weather: about as many forecasts are independent.
        crps: in standard deviations, (L,).
        reference_crps: the same of the references by name.
        skill: CRPS skill by name of the reference, (L,).
        season_skill: the same by season of the day that is forecast, (S, L); NaN below 30 samples.
        events: of drought probabilities; None without.
        pit: share of samples in every bin, (L, bins); None with few levels.
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
    months: int
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
        pairs = {name: arrays(parts[f"crps_{name}"]) for name in references}
        cells = arrays(parts["cells"]) if "cells" in parts else {}
        latest_origin, latest = parts.get("latest", (-1, None))
        held = arrays(parts["coverage"]) if coverages else {}
        return cls(
            leads=np.asarray(leads),
            levels=np.asarray(levels),
            percentiles=tuple(percentiles),
            references=tuple(references),
            count=total["count"].astype(np.int64),
            months=int((parts["months"]["count"] > 0).sum()),
            crps=ratio(total["crps"], total["count"]),
            reference_crps={
                name: ratio(pair["other"].sum(0), pair["count"].sum(0)) for name, pair in pairs.items()
            },
            skill={name: skill_of(pair["own"].sum(0), pair["other"].sum(0)) for name, pair in pairs.items()},
            season_skill={
                name: np.where(
                    pair["count"] >= _LEAST_IN_SEASON, skill_of(pair["own"], pair["other"]), np.nan
                )
                for name, pair in pairs.items()
            },
            events=event_scores(parts, references) if percentiles and "events" in parts else None,
            pit=parts["pit"].cpu().numpy().reshape(len(leads), -1) if "pit" in parts else None,
            coverages=np.asarray(coverages, dtype=np.float64),
            coverage=coverage_of(held, len(leads)),
            coverage_by_state=coverage_by_decile(held),
            anomaly=point_errors(total, "", of_anomalies=True),
            value=point_errors(total, "value_") if has_value else None,
            cell_nse=median_of_cells(efficiencies(cells)[0]) if cells else np.full(len(map_leads), np.nan),
            cell_kge=(
                median_of_cells(efficiencies(cells)[1])
                if cells and has_value
                else np.full(len(map_leads), np.nan)
            ),
            map_leads=np.asarray(map_leads, dtype=np.int64),
            maps=cell_maps(cells, references, percentiles),
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
