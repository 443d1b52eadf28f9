"""Verify a forecast file against a file of what came, whoever made them."""

# T days of the truth, M cells, O origins, L leads, Q levels

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.forecasts.cf_variables import day_numbers
from lightning_itwin.forecasts.fan import FanExample
from lightning_itwin.forecasts.layout import ForecastTarget
from lightning_itwin.forecasts.truth_file import (
    Truth,
    VerifyError,
    forecast_grid,
    forecast_variable,
    opened,
    probabilities,
    read_truth,
)
from lightning_itwin.forecasts.verification import Verification
from lightning_itwin.forecasts.verification_page import About, write_verification
from lightning_itwin.forecasts.warning_levels import WarningRule
from lightning_itwin.hydrology.climatology import Climatology
from lightning_itwin.hydrology.reference_forecasts import ReferenceForecasts
from lightning_itwin.metrics import at_levels, cdf_of_quantiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAST_DAYS = 90
_LEAST_DAYS = 3 * 360


def verify_files(
    forecast: str | Path,
    truth: str | Path,
    folder: str | Path,
    variable: str | None = None,
    climatology: tuple[int, int] | None = None,
    rule: WarningRule | None = None,
) -> dict[str, Figure]:
    """Verify quantile forecasts of ``soil_moisture`` (time, lead, quantile, lat, lon) and write the page.

    Climatology, drought percentiles and reference forecasts are made from the truth.

    Args:
        forecast: NetCDF or Zarr; drought probabilities are taken from it where it has them, else from its
            quantiles.
        truth: NetCDF or Zarr with a variable (time, lat, lon) at the cells of the forecast.
        folder: where to.
        variable: of the truth; None: ``soil_moisture``, or the only one with these dimensions.
        climatology: first and last year of the climatology; None: all before the first day of issue, or, if
            these are less than three years, all.
        rule: of the warning levels.

    Returns:
        The figures by name.

    Raises:
        VerifyError: a file lacks what is wanted, the grids differ, or no day that is forecast has a truth.
        ValueError: the truth is too short for a climatology.
    """
    rule = rule or WarningRule()
    with opened(forecast) as ahead, opened(truth) as came:
        quantiles = forecast_variable(ahead, forecast)
        grid = forecast_grid(quantiles)
        found = read_truth(came, truth, variable, grid)
        issued, calendar = day_numbers(quantiles["time"].values)
        places = issued - found.first
        leads = np.asarray(quantiles["lead"].values).astype(np.int64)
        levels = [float(level) for level in quantiles["quantile"].values]
        if not ((places[:, None] + leads >= 0) & (places[:, None] + leads < len(found.fraction))).any():
            raise VerifyError(f"No day that {forecast} forecasts is in {truth}: nothing can be verified.")
        known, told = _climatology_days(found, int(places[0]), climatology)
        judge = _Judge(found, known, leads, levels)
        shown = {judge.driest(places), len(places) // 2}
        examples = []
        for number, place in enumerate(places):
            raw = torch.from_numpy(quantiles[number].values[..., grid.row, grid.column]).float()
            below = probabilities(ahead, number, grid)
            anomaly = judge.add(raw.movedim(-1, 0), below, int(place), int(place - places[0]))
            if number in shown:
                examples.append(judge.example(anomaly, int(place), grid))
        standard = calendar in ("standard", "gregorian", "proleptic_gregorian")
        dates = issued.astype("datetime64[D]") if standard else quantiles["time"].values
        grid.times = np.empty(int(issued[-1] - issued[0]) + 1, dtype=dates.dtype)
        grid.times[issued - issued[0]] = dates
        about = About(
            title=f"Verification of {Path(forecast).name}",
            model=str(ahead.attrs.get("model", ahead.attrs.get("source", ""))),
            period=f"issued {str(grid.times[0])[:10]} to {str(grid.times[-1])[:10]}",
            target=ForecastTarget(name=found.title, units=found.units, is_soil_moisture=False),
            rule=rule,
            facts={"Truth": f"{Path(truth).name}, {found.title}", "Climatology of the truth": told},
        )
        return write_verification(folder, judge.verification.compute(), about, grid, examples)


class _Judge:
    """Climatology, references and verification of one truth.

    Args:
        truth: what came.
        known: days that the climatology is made of, bool (T,).
        leads, levels: of the forecasts.
    """

    def __init__(self, truth: Truth, known: np.ndarray, leads: np.ndarray, levels: list[float]) -> None:
        self.truth, self.leads, self.levels = truth, leads, levels
        self.cells = torch.arange(len(truth.values))
        kept = np.where(known, truth.values, np.nan)
        self.usual = Climatology.fit(kept, truth.fraction)
        fraction = torch.from_numpy(truth.fraction).expand(len(self.cells), -1)
        self.anomaly = self.usual.anomaly(torch.from_numpy(truth.values), self.cells, fraction)
        of_years = torch.where(torch.from_numpy(known), self.anomaly, torch.nan)
        self.references = ReferenceForecasts.fit([of_years], truth.fraction, leads.tolist(), levels)
        self.verification = Verification(levels, leads.tolist(), cells=len(self.cells))

    def add(self, raw: Tensor, below: np.ndarray | None, place: int, day: int) -> Tensor:
        """Add the forecasts of a day of issue, (M, L, Q) in the unit of the truth; give their anomalies."""
        days = place + self.leads
        there = torch.from_numpy((days >= 0) & (days < len(self.truth.fraction)))
        inside = days.clip(0, len(self.truth.fraction) - 1)
        valid = torch.from_numpy(self.truth.fraction_at(days)).expand(len(self.cells), -1)
        found = self.usual.anomaly(raw, self.cells, valid.unsqueeze(-1))
        thresholds = self.usual.thresholds(self.cells, valid)
        stated = self._below(found, thresholds) if below is None else torch.from_numpy(below)
        made = found.isfinite().all(-1) & stated.isfinite().all(
            -1
        )  # a forecast that is missing is not scored
        state = self._state(place)
        issued = torch.full((len(self.cells),), float(self.truth.fraction_at(np.array([place]))[0]))
        self.verification.update(
            quantiles=torch.where(made.unsqueeze(-1), found, 0.0),
            target=torch.where(made & there, self.anomaly[:, inside], torch.nan),
            series=self.cells,
            origin=torch.full((len(self.cells),), day),
            year_fraction=valid,
            probability_below=torch.where(made.unsqueeze(-1), stated, 0.0),
            thresholds=thresholds,
            references={
                "climatology": self.references.climatology(valid),
                "damped_persistence": self.references.damped_persistence(state, self.cells, issued),
            },
            state=state,
            median_value=torch.where(made, at_levels(raw, self.levels, [0.5]).squeeze(-1), 0.0),
            target_value=torch.from_numpy(self.truth.values[:, inside]),
        )
        return found

    def driest(self, places: np.ndarray) -> int:
        """Give the day of issue on which the mean anomaly is lowest."""
        means = np.array([float(self._state(int(place)).nanmean()) for place in places])
        return int(np.nan_to_num(means, nan=np.inf).argmin())

    def example(self, anomaly: Tensor, place: int, grid: SimpleNamespace) -> FanExample:
        """Give a fan chart of the cell that is driest on the day of issue."""
        longest = int(self.leads[-1])
        driest = torch.where(anomaly.isfinite().all(-1).all(-1), self._state(place), torch.nan)
        cell = int(driest.nan_to_num(torch.inf).argmin())
        begin = max(0, place + 1 - _PAST_DAYS)
        seen = self.anomaly[cell, place + 1 : place + 1 + longest].numpy()
        fraction = torch.from_numpy(self.truth.fraction_at(np.arange(begin, place + 1 + longest)))
        lat, lon = float(grid.lat[grid.row[cell]]), float(grid.lon[grid.column[cell]])
        return FanExample(
            title=f"{lat:.2f}° N, {lon:.2f}° E",
            past=self.anomaly[cell, begin : place + 1].numpy(),
            leads=self.leads,
            levels=np.asarray(self.levels),
            quantiles=anomaly[cell].numpy(),
            truth=np.concatenate([seen, np.full(longest - len(seen), np.nan)]),
            thresholds=self.usual.thresholds(torch.tensor([cell]), fraction.unsqueeze(0))[0].numpy(),
        )

    def _below(self, found: Tensor, thresholds: Tensor) -> Tensor:
        several = found.unsqueeze(-2).expand(*thresholds.shape, found.shape[-1])
        low, high = cdf_of_quantiles(several, thresholds, self.levels)
        return (low + high) / 2

    def _state(self, place: int) -> Tensor:
        if 0 <= place < self.anomaly.shape[1]:
            return self.anomaly[:, place]
        return torch.full((len(self.cells),), torch.nan)


def _climatology_days(truth: Truth, first: int, years: tuple[int, int] | None) -> tuple[np.ndarray, str]:
    """Give which days the climatology is made of, bool (T,), and say so."""
    if years is not None:
        chosen = (truth.year >= years[0]) & (truth.year <= years[1])
        if chosen.sum() < _LEAST_DAYS:
            raise VerifyError(
                f"The truth has {chosen.sum()} days in {years[0]} to {years[1]}: three years are wanted."
            )
        return chosen, f"{years[0]} to {years[1]}"
    before = np.arange(len(truth.year)) < first
    if before.sum() >= _LEAST_DAYS:
        return before, f"{truth.year[0]} to the first day of issue"
    return np.ones(
        len(truth.year), dtype=bool
    ), f"{truth.year[0]} to {truth.year[-1]}, verified days among them"
