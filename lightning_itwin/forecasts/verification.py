"""Verification that accumulates: forecasts and what came, batch by batch, on every rank."""

# B batch, L leads, Q levels, P drought percentiles, R references, M cells

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_itwin.forecasts.sample_sums import LatestForecast, SampleSums
from lightning_itwin.forecasts.scores import SEASONS, VerificationScores
from lightning_itwin.metrics import (
    PITHistogram,
    ReliabilityDiagram,
    ROCCurve,
    at_levels,
    cdf_of_quantiles,
    crps_quantile,
    quantile_weights,
)
from lightning_itwin.metrics.crps import rising_levels

_COVERAGES = (0.5, 0.8, 0.9)
_STATE_BINS, _STATE_END = 240, 6.0  # bins of the state at issue, from -6 to 6 standard deviations
_MONTH_BINS = 8192  # of a month of issue and a history of weather, which make one independent forecast
_LEAST_FOR_PIT = 7  # levels: fewer say too little of where in ten bins the truth lies
_MOMENTS = ("p", "t", "pp", "tt", "pt")


class Verification(nn.Module):
    """Scores quantile forecasts against what came and against reference forecasts, per lead, season and cell.

    Memory is bounded: all states are sums and histograms, about 100 bytes a cell and lead. Under DDP every
    rank updates with its own forecasts, and :meth:`compute`, called on every rank, gives the scores of all.

    The CRPS is twice the mean pinball loss, a level weighted by the part of (0, 1) that lies nearest to it.
    Forecast and references have the same levels, so that skill does not depend on how many there are.

    Args:
        levels: of the quantiles, rising, (Q,); of one alone the CRPS is the absolute error.
        leads: days ahead, (L,).
        cells: number of cells M for maps of skill; None: no maps. Series s belongs to cell s % M.
        map_leads: leads that have maps and scores per cell; None: all.
        percentiles: drought percentiles of thresholds and probabilities, (P,); empty without.
        references: names of the reference forecasts that ``update`` takes. One called ``climatology`` has the
            percentiles themselves as its probabilities.

    Raises:
        ValueError: levels that do not rise, no lead, or a map of a lead that is none.
    """

    def __init__(
        self,
        levels: Sequence[float],
        leads: Sequence[int],
        cells: int | None = None,
        map_leads: Sequence[int] | None = None,
        percentiles: Sequence[int] = (20, 10, 5),
        references: Sequence[str] = ("climatology", "damped_persistence"),
    ) -> None:
        super().__init__()
        self.levels: list[float] = rising_levels(levels).tolist()
        self.leads = [int(lead) for lead in leads]
        self.map_leads = [int(lead) for lead in (self.leads if map_leads is None else map_leads)]
        if not self.leads or not set(self.map_leads) <= set(self.leads):
            raise ValueError(f"Leads are one or more, and maps are of leads: {self.leads}, {self.map_leads}.")
        self.percentiles, self.references, self.cells = tuple(percentiles), tuple(references), cells
        self._weights = quantile_weights(self.levels).tolist()
        self.coverages = inside = [share for share in _COVERAGES if self._reaches(share)]
        outputs, events = len(self.leads), (len(self.leads), len(self.percentiles))
        seasons = len(SEASONS)
        names = ("crps", *_MOMENTS, *(f"value_{name}" for name in _MOMENTS))
        found: dict[str, nn.Module] = {"scores": SampleSums(names, outputs, seasons)}
        found["months"] = SampleSums((), 1, _MONTH_BINS)
        for name in self.references:
            found[f"crps_{name}"] = SampleSums(("own", "other"), outputs, seasons)
        if self.percentiles:
            found["reliability"] = ReliabilityDiagram(10, events)
            found["roc"] = ROCCurve(_roc_edges(), events)
            found["events"] = SampleSums(("event", "brier"), events, seasons)
            for name in self.references:
                found[f"brier_{name}"] = SampleSums(("own", "other"), events, seasons)
        if len(self.levels) >= _LEAST_FOR_PIT:
            found["pit"] = PITHistogram("quantiles", 10, self.levels, outputs)
        if inside:
            kinds = [f"held_{share}" for share in inside]
            found["coverage"] = SampleSums(kinds, outputs, _STATE_BINS + 1)  # the last: state unknown
        if cells is not None:
            kinds = ["crps", *_MOMENTS]
            kinds += [f"{score}_{name}" for name in self.references for score in self._per_cell()]
            kinds += ["brier"] if self.percentiles else []
            found["cells"] = SampleSums(kinds, len(self.map_leads), cells)
            if self.percentiles:
                found["latest"] = LatestForecast(cells, len(self.leads) * len(self.percentiles))
        self.parts = nn.ModuleDict(found)
        self.has_values = False

    def update(
        self,
        *,
        quantiles: Tensor,
        target: Tensor,
        series: Tensor,
        origin: Tensor,
        year_fraction: Tensor,
        probability_below: Tensor | None = None,
        thresholds: Tensor | None = None,
        references: Mapping[str, Tensor] | None = None,
        state: Tensor | None = None,
        median_value: Tensor | None = None,
        target_value: Tensor | None = None,
    ) -> None:
        """Add a batch of forecasts; what came and is NaN is left out.

        Args:
            quantiles: of the standardised anomaly, (B, L, Q).
            target: what came, (B, L).
            series: (B,) int64.
            origin: day of issue on the time axis, (B,) int64; the latest of all is "today" on the page.
            year_fraction: of the valid days, (B, L).
            probability_below: of the drought percentiles, (B, L, P).
            thresholds: drought percentiles on the valid days, as standardised anomalies, (B, L, P).
            references: quantiles of the reference forecasts at the same levels by name, (B, L, Q); they count
                where they are not NaN.
            state: the standardised anomaly observed on the day of issue, (B,), NaN where it is missing.
            median_value: the median in the unit of the target, (B, L): ``scale.values`` of the median.
            target_value: what came in the unit of the target, (B, L).

        Raises:
            ValueError: the shapes do not fit, or a reference or a probability is missing.
        """
        self._check(quantiles, target, probability_below, thresholds, references)
        references = references or {}
        target = target.float()
        season = ((year_fraction * 12 + 1).long() % 12) // 3  # December to February is the first
        median = at_levels(quantiles, self.levels, [0.5]).squeeze(-1)
        crps = self._crps(quantiles, target)
        kept = {"crps": crps, **_moments(median, target)}
        if median_value is not None and target_value is not None:
            value = _moments(median_value, target_value)
            self.has_values = True
        else:
            value = {name: torch.zeros_like(crps) for name in _MOMENTS}
        whole = torch.stack([*kept.values(), *value.values()], -1)
        self._add("scores", whole, target, season)
        history = series // self.cells if self.cells is not None else torch.zeros_like(series)
        month = (origin // 30 + 613 * history) % _MONTH_BINS
        known_at_all = torch.where(target.isfinite().any(-1), 0.0, torch.nan)
        self._add("months", target.new_zeros(len(target), 1, 0), known_at_all.unsqueeze(-1), month)
        per_cell = [crps, *(value if self.has_values else _moments(median, target)).values()]
        common = target
        below, came, known = self._events(probability_below, thresholds, target)
        for name in self.references:
            other = references[name]
            there = torch.where(other.isnan().any(-1), torch.nan, target)
            score = self._crps(other, target)
            self._add(f"crps_{name}", torch.stack([crps, score], -1), there, season)
            per_cell.append(score)
            common = torch.where(there.isnan(), torch.nan, common)
            if below is not None and came is not None and known is not None and thresholds is not None:
                stated = self._stated(name, other, thresholds)
                both = torch.stack([(below - came) ** 2, (stated - came) ** 2], -1)
                also = torch.where(there.isnan().unsqueeze(-1), torch.nan, known)
                self._add(f"brier_{name}", both, also, _as_long(season, also))
                per_cell.append(both[..., 0, 1])
        if below is not None and came is not None and known is not None:
            both = torch.stack([came, (below - came) ** 2], -1)
            self._add("events", both, known, _as_long(season, known))
            for name in ("reliability", "roc"):
                self._add(name, below, torch.where(known.isnan(), torch.nan, came))
            per_cell.append(both[..., 0, 1])
            common = torch.where(known[..., 0].isnan(), torch.nan, common)
        self._update_calibration(quantiles, target, state)
        if self.cells is not None:
            columns = [self.leads.index(lead) for lead in self.map_leads]
            stacked = torch.stack(per_cell, -1)[:, columns]
            self._add("cells", stacked, common[:, columns], series % self.cells)
            if "latest" in self.parts and below is not None:
                first = series < self.cells
                self._add("latest", series[first], origin[first], below[first].flatten(1))

    def reset(self) -> None:
        """Forget everything."""
        for name in self.parts:
            self._part(name).reset()
        self.has_values = False

    def compute(self) -> VerificationScores:
        """Give the scores of all ranks; a collective call."""
        parts = {name: self._part(name).compute() for name in self.parts}
        return VerificationScores.from_parts(
            parts,
            leads=self.leads,
            map_leads=self.map_leads if self.cells is not None else [],
            levels=self.levels,
            percentiles=self.percentiles,
            references=self.references,
            coverages=self.coverages,
        )

    def _part(self, name: str) -> Metric:
        return cast(Metric, self.parts[name])

    def _add(self, name: str, *values: Tensor) -> None:
        self._part(name).update(*values)

    def _reaches(self, share: float) -> bool:
        edge = (1 - share) / 2
        return self.levels[0] <= edge + 1e-9 and self.levels[-1] >= 1 - edge - 1e-9

    def _per_cell(self) -> tuple[str, ...]:
        return ("crps", "brier") if self.percentiles else ("crps",)

    def _crps(self, quantiles: Tensor, target: Tensor) -> Tensor:
        return crps_quantile(quantiles.float(), target, self.levels, self._weights)

    def _events(
        self, probability: Tensor | None, thresholds: Tensor | None, target: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Give probabilities, whether each event came, and NaN where nobody knows, (B, L, P) each."""
        if not self.percentiles or probability is None or thresholds is None:
            return None, None, None
        known = target.unsqueeze(-1) + 0 * thresholds
        return probability.float().clamp(0, 1), (target.unsqueeze(-1) < thresholds).float(), known

    def _stated(self, name: str, quantiles: Tensor, thresholds: Tensor) -> Tensor:
        """Give the probability of every event that a reference states, (B, L, P)."""
        if name == "climatology":
            return torch.tensor(self.percentiles, device=thresholds.device).expand(thresholds.shape) / 100
        several = quantiles.unsqueeze(-2).expand(*thresholds.shape, quantiles.shape[-1])
        lower, upper = cdf_of_quantiles(several, thresholds, self.levels)
        return (lower + upper) / 2

    def _update_calibration(self, quantiles: Tensor, target: Tensor, state: Tensor | None) -> None:
        if "pit" in self.parts:
            self._add("pit", quantiles, target)
        if "coverage" not in self.parts:
            return
        outside = [(1 - share) / 2 for share in self.coverages]
        low = at_levels(quantiles, self.levels, outside)
        high = at_levels(quantiles, self.levels, [1 - level for level in outside])
        held = (low <= target.unsqueeze(-1)) & (target.unsqueeze(-1) <= high)
        bins = torch.full(target.shape[:1], _STATE_BINS, device=target.device)
        if state is not None:
            share = (state + _STATE_END) / (2 * _STATE_END)
            known = (share.nan_to_num() * _STATE_BINS).long().clamp(0, _STATE_BINS - 1)
            bins = torch.where(state.isnan(), bins, known)
        self._add("coverage", held, target, bins)

    def _check(
        self,
        quantiles: Tensor,
        target: Tensor,
        probability: Tensor | None,
        thresholds: Tensor | None,
        references: Mapping[str, Tensor] | None,
    ) -> None:
        size, leads = len(target), len(self.leads)
        wanted: dict[str, tuple[Tensor, tuple[int, ...]]] = {"target": (target, (size, leads))}
        wanted["quantiles"] = (quantiles, (size, leads, len(self.levels)))
        if set(references or {}) != set(self.references):
            raise ValueError(f"References are {list(self.references)} here, not {list(references or {})}.")
        for name, value in (references or {}).items():
            wanted[f"reference {name!r}"] = (value, (size, leads, len(self.levels)))
        if self.percentiles:
            if probability is None or thresholds is None:
                raise ValueError("Give probability_below and thresholds, or percentiles=().")
            for name, value in (("probability_below", probability), ("thresholds", thresholds)):
                wanted[name] = (value, (size, leads, len(self.percentiles)))
        for name, (value, shape) in wanted.items():
            if tuple(value.shape) != shape:
                raise ValueError(f"{name} is {shape} here, not {tuple(value.shape)}.")


def _roc_edges() -> list[float]:
    """Give edges of bins that lie closer together towards 0 and 1, where rare events crowd."""
    small = torch.logspace(-6, -2, 61, dtype=torch.float64)
    middle = torch.linspace(0.01, 0.99, 981, dtype=torch.float64)[1:-1]
    inner = torch.cat([small, middle, (1 - small).flip(0)])
    return [0.0, *inner.tolist(), 1.0]


def _moments(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    p, t = prediction.double(), target.double()
    return {"p": p, "t": t, "pp": p * p, "tt": t * t, "pt": p * t}


def _as_long(season: Tensor, known: Tensor) -> Tensor:
    """Give the season of every event, (B, L) to (B, L, P)."""
    return season.unsqueeze(-1).expand(known.shape)
