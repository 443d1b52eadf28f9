"""What a forecast has to beat: climatology and damped persistence, as quantiles of standardised anomalies."""

# N cells, n of a block, T days, K seasons, L leads, Q quantile levels, B origins

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.hydrology.climatology_windows import as_block

SEASONS = 12
_PRIOR_DAYS = 30.0  # weight, in days, of all cells together against what a cell has shown in a season
_CELLS_AT_ONCE = 128  # whose values stay in a core's cache
_SAMPLED_CELLS = 256  # at least, and less than twice as many, whose residuals make the quantiles


class ReferenceForecasts:
    """Climatology and damped persistence, fitted to the anomalies of a training period.

    Climatology: the quantiles that anomalies of a season had, all cells together. Damped persistence: the
    anomaly of the last day times a coefficient, plus a spread times the quantiles of the scaled residuals.
    Coefficient and spread are those of a cell, a season and a lead, drawn towards those of all cells by the
    weight of 30 days; the quantiles are those of a season and a lead. Seasons are 12 points of the year,
    between which all is interpolated linearly. An origin without an anomaly (NaN) is forecast by climatology.

    On simulated regions, coefficients by cell and season had a lower CRPS than those by cell or by season
    alone; quantiles by cell and season did not.

    Args:
        leads: days ahead, rising, (L,).
        levels: of the quantiles, rising, (Q,).
        coefficient, spread: (N, K, L).
        residuals: quantiles of the scaled residuals, (K, L, Q).
        anomalies: quantiles of the anomalies, (K, Q).
    """

    def __init__(
        self,
        leads: Sequence[int],
        levels: Sequence[float],
        coefficient: Tensor,
        spread: Tensor,
        residuals: Tensor,
        anomalies: Tensor,
    ) -> None:
        self.leads, self.levels = [int(lead) for lead in leads], [float(level) for level in levels]
        self.coefficient, self.spread = coefficient, spread
        self.residuals, self.anomalies = residuals, anomalies

    @classmethod
    def fit(
        cls,
        blocks: Iterable[Tensor | np.ndarray],
        year_fraction: Tensor | np.ndarray,
        leads: Sequence[int],
        levels: Sequence[float],
    ) -> ReferenceForecasts:
        """Fit both to blocks of cells, one after the other, each read once.

        Args:
            blocks: standardised anomalies of the training period, (n, T) each; one column a day, none left
                out: NaN is missing. Their cells follow one another.
            year_fraction: of every day, from 0 to below 1, (T,).
            leads: days ahead, 0 or more, rising.
            levels: of the quantiles, rising, between 0 and 1.

        Raises:
            ValueError: leads or levels that cannot be, a lead as long as the record, or no anomaly at all.
        """
        fraction = torch.as_tensor(year_fraction).to(torch.float64).cpu()
        _check(fraction, leads, levels)
        season = _season_weights(fraction)
        sample, parts = _SampledCells(), []
        for block in blocks:
            anomaly = as_block(block, len(fraction)).to("cpu", torch.float32)
            parts.append(_lagged_sums(anomaly, season, leads))
            sample.add(anomaly)
        if not any(bool(part[..., 0].any()) for part in parts):
            raise ValueError("There is no anomaly to fit reference forecasts to: no block, or nothing in it.")
        coefficient, spread = _damping(parts)
        residuals, anomalies = _quantiles(sample, coefficient, spread, season, leads, levels)
        return cls(leads, levels, coefficient, spread, residuals, anomalies)

    def climatology(self, year_fraction: Tensor) -> Tensor:
        """Give the climatological quantiles of days, (...) to (..., Q)."""
        first, second, share = _between(year_fraction.to(self.anomalies.device))
        return torch.lerp(self.anomalies[first], self.anomalies[second], share.float().unsqueeze(-1))

    def damped_persistence(self, anomaly: Tensor, cells: Tensor, year_fraction: Tensor) -> Tensor:
        """Forecast from the anomaly of the last day.

        Args:
            anomaly: of the day of origin, NaN where it is missing, (B,).
            cells: (B,).
            year_fraction: of the day of origin, (B,).

        Returns:
            Quantiles of the anomaly at all leads, not falling, (B, L, Q).
        """
        device = self.coefficient.device
        anomaly, cells, year_fraction = anomaly.to(device), cells.to(device), year_fraction.to(device)
        first, second, share = _between(year_fraction)
        share = share.float().unsqueeze(-1)
        coefficient = torch.lerp(self.coefficient[cells, first], self.coefficient[cells, second], share)
        spread = torch.lerp(self.spread[cells, first], self.spread[cells, second], share)
        scaled = torch.lerp(self.residuals[first], self.residuals[second], share.unsqueeze(-1))
        forecast = (coefficient * anomaly.float().unsqueeze(-1)).unsqueeze(-1) + spread.unsqueeze(-1) * scaled
        ahead = torch.tensor(self.leads, device=device) / 365.25
        usual = self.climatology((year_fraction.unsqueeze(-1) + ahead) % 1.0)
        return torch.where(anomaly.isnan()[:, None, None], usual, forecast)

    def to(self, device: torch.device | str) -> ReferenceForecasts:
        """Give the forecasts on another device."""
        state = {name: value.to(device) for name, value in self.state_dict().items()}
        return self.from_state_dict(state)

    def state_dict(self) -> dict[str, Tensor]:
        """Give all of it as tensors."""
        return {
            "leads": torch.tensor(self.leads),
            "levels": torch.tensor(self.levels, dtype=torch.float64),
            "coefficient": self.coefficient,
            "spread": self.spread,
            "residuals": self.residuals,
            "anomalies": self.anomalies,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor]) -> ReferenceForecasts:
        """Make them again from their :meth:`state_dict`."""
        tables = (state[name] for name in ("coefficient", "spread", "residuals", "anomalies"))
        coefficient, spread, residuals, anomalies = tables
        leads, levels = state["leads"].tolist(), state["levels"].tolist()
        return cls(leads, levels, coefficient, spread, residuals, anomalies)


class _SampledCells:
    """Every so-manieth cell of a stream whose length is not known before its end."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.cells: list[int] = []
        self._stride, self._seen = 1, 0

    def add(self, block: Tensor) -> None:
        for cell in range(self._seen + -self._seen % self._stride, self._seen + len(block), self._stride):
            self.cells.append(cell)
            self.rows.append(block[cell - self._seen].clone())
            if len(self.rows) >= 2 * _SAMPLED_CELLS:
                self.rows, self.cells = self.rows[::2], self.cells[::2]
                self._stride *= 2
                return self._rest(block, cell)
        self._seen += len(block)
        return None

    def _rest(self, block: Tensor, cell: int) -> None:
        taken = cell + 1 - self._seen
        self._seen = cell + 1
        self.add(block[taken:])


def _check(fraction: Tensor, leads: Sequence[int], levels: Sequence[float]) -> None:
    if fraction.ndim != 1 or not bool(((fraction >= 0) & (fraction < 1)).all()):
        raise ValueError("year_fraction has one axis, time, from 0 to below 1: (day of year - 1) / days.")
    if not leads or min(leads) < 0 or list(leads) != sorted(set(leads)):
        raise ValueError(f"Leads are days ahead, 0 or more, rising, not {list(leads)}.")
    if max(leads) >= len(fraction):
        raise ValueError(f"A lead of {max(leads)} days needs a longer record than {len(fraction)} days.")
    if not levels or not 0 < min(levels) <= max(levels) < 1 or list(levels) != sorted(set(levels)):
        raise ValueError(f"Levels of quantiles rise between 0 and 1, not {list(levels)}.")


def _between(year_fraction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give the points of the year before and after, and the share of the latter."""
    position = year_fraction.to(torch.float64) * SEASONS
    before = position.floor()
    first = before.long() % SEASONS
    return first, (first + 1) % SEASONS, position - before


def _season_weights(fraction: Tensor) -> Tensor:
    """Give how much a day belongs to either of the two nearest points of the year, (T, K)."""
    first, second, share = _between(fraction)
    weights, days = torch.zeros(len(fraction), SEASONS), torch.arange(len(fraction))
    weights[days, first] += 1 - share.float()
    weights[days, second] += share.float()
    return weights


def _lagged_sums(anomaly: Tensor, season: Tensor, leads: Sequence[int]) -> Tensor:
    """Sum 1, x^2, xy and y^2 over all pairs of origin x and, a lead later, y: (n, K, L, 4)."""
    found = []
    for some in anomaly.split(_CELLS_AT_ONCE):
        pairs = _pairs_with_gaps if bool(some.isnan().any()) else _pairs
        found.append(pairs(some, season, leads))
    return torch.cat(found)


def _pairs(value: Tensor, season: Tensor, leads: Sequence[int]) -> Tensor:
    square, found = value * value, []
    whole = square @ season
    for lead in leads:
        days = value.shape[1] - lead
        weight = season[:days]
        count = weight.sum(0).expand(len(value), -1)
        origins = whole - square[:, days:] @ season[days:]
        products = (value[:, :days] * value[:, lead:]) @ weight
        found.append(torch.stack([count, origins, products, square[:, lead:] @ weight], -1))
    return torch.stack(found, 2)


def _pairs_with_gaps(anomaly: Tensor, season: Tensor, leads: Sequence[int]) -> Tensor:
    present = (~anomaly.isnan()).float()
    value, found = torch.where(anomaly.isnan(), 0.0, anomaly), []
    square = value * value
    for lead in leads:
        days = anomaly.shape[1] - lead
        weight = season[:days]
        before, after = present[:, :days], present[:, lead:]
        terms = (
            before * after,
            square[:, :days] * after,
            value[:, :days] * value[:, lead:],
            square[:, lead:] * before,
        )
        found.append(torch.stack([term @ weight for term in terms], -1))
    return torch.stack(found, 2)


def _damping(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Give coefficient and spread of every cell, season and lead, (N, K, L) each, from sums (n, K, L, 4).

    The sums of a block of cells are let go of when they have been used: ``parts`` is empty afterwards.
    """
    together = torch.stack([part.sum(0, dtype=torch.float64) for part in parts]).sum(0)
    year = together.sum(0)
    overall = year[:, 2] / year[:, 1].clamp_min(1e-12)
    pooled = (together[..., 2] + _PRIOR_DAYS * overall) / (together[..., 1] + _PRIOR_DAYS)  # (K, L)
    rest = _squares(year, overall) / year[:, 0].clamp_min(1e-12)
    variance = (_squares(together, pooled) + _PRIOR_DAYS * rest) / (together[..., 0] + _PRIOR_DAYS)
    coefficients, spreads = [], []
    while parts:
        sums = parts.pop(0)
        coefficient = (sums[..., 2] + _PRIOR_DAYS * pooled) / (sums[..., 1] + _PRIOR_DAYS)
        spread = (_squares(sums, coefficient) + _PRIOR_DAYS * variance) / (sums[..., 0] + _PRIOR_DAYS)
        coefficients.append(coefficient.float())
        spreads.append(spread.clamp_min(1e-12).sqrt().float())
    return torch.cat(coefficients), torch.cat(spreads)


def _squares(sums: Tensor, coefficient: Tensor) -> Tensor:
    """Give the sum of squared residuals y - coefficient x."""
    squares = sums[..., 3] - 2 * coefficient * sums[..., 2] + coefficient**2 * sums[..., 1]
    return squares.clamp_min(0)


def _quantiles(
    sample: _SampledCells,
    coefficient: Tensor,
    spread: Tensor,
    season: Tensor,
    leads: Sequence[int],
    levels: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Give the quantiles of scaled residuals (K, L, Q) and of anomalies (K, Q)."""
    anomaly, cells = torch.stack(sample.rows), torch.tensor(sample.cells)
    nearest = season.argmax(1)
    by_lead = []
    for column, lead in enumerate(leads):
        days = anomaly.shape[1] - lead
        at_origin = (
            coefficient[cells, :, column] @ season[:days].T,
            spread[cells, :, column] @ season[:days].T,
        )
        scaled = (anomaly[:, lead:] - at_origin[0] * anomaly[:, :days]) / at_origin[1]
        by_lead.append(_by_season(scaled, nearest[:days], levels))
    return torch.stack(by_lead, 1), _by_season(anomaly, nearest, levels)


def _by_season(values: Tensor, nearest: Tensor, levels: Sequence[float]) -> Tensor:
    """Give the quantiles of (cells, T) by season, (K, Q); of the whole year where a season has too few."""
    wanted = np.asarray(levels)

    def quantiles(some: Tensor) -> np.ndarray | None:
        known = np.sort(some.flatten().numpy())
        known = known[: len(known) - int(np.isnan(known).sum())]
        return np.quantile(known, wanted) if len(known) >= 10 * len(wanted) else None

    whole = quantiles(values)
    whole = np.quantile(values[~values.isnan()].numpy(), wanted) if whole is None else whole
    found = [quantiles(values[:, nearest == season]) for season in range(SEASONS)]
    return torch.from_numpy(np.stack([whole if some is None else some for some in found])).float()
