"""What ``test`` and ``predict`` of DroughtForecaster write, by way of ``lightning_itwin.forecasts``."""

# B forecasts, T days of a window, H longest lead, S steps, L leads, Q levels, P drought percentiles

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.forecasts import (
    About,
    ClimatologyScale,
    FanExample,
    ForecastFile,
    ForecastLayout,
    ForecastTarget,
    LinearScale,
    TargetScale,
    Verification,
    VerificationScores,
    write_verification,
)
from lightning_itwin.models.drought_conditions import HydroConditions
from lightning_itwin.models.drought_heads import probability_below
from lightning_itwin.models.drought_scores import REFERENCES
from lightning_itwin.models.drought_settings import ForecastSettings
from lightning_itwin.models.weights_digest import digest

_PAST_DAYS = 90  # of a fan chart
_SOIL_MOISTURE = ("soil_moisture", "vwc", "sm", "swvl1", "mrsos", "volumetric_water_content", "soil_water")


class ForecastWorld:
    """What a datamodule says of grid, days, climatology and target, in the terms of forecasts.

    Args:
        datamodule: ``GriddedHydroDataModule`` or one with its attributes, set up, with statistics.
        conditions: of the model.
    """

    def __init__(self, datamodule: Any, conditions: HydroConditions) -> None:
        self.datamodule, self.conditions = datamodule, conditions
        self.grid = datamodule.grid
        self.cells = int(np.asarray(self.grid.row).size)
        self.histories = int(self.grid.realizations)
        self.days = len(self.grid.times)
        name = conditions.target_name
        self.target = ForecastTarget(
            name=name,
            units=str(getattr(datamodule, "target_units", "") or ""),
            is_soil_moisture=name.lower() in _SOIL_MOISTURE,
            anomaly=conditions.anomaly,
        )

    def scale(self, device: torch.device | str = "cpu") -> TargetScale:
        """Give the way from what the model forecasts to values of the target."""
        if not self.conditions.anomaly:
            return LinearScale(*self.datamodule.target_scale)
        fraction = torch.from_numpy(self.grid.axis.year_fraction(self.conditions.leads[-1])).to(device)
        cell = torch.arange(self.cells).repeat(self.histories).to(device)
        return ClimatologyScale(self.datamodule.climatology.to(device), fraction, cell)

    def date(self, day: int) -> str:
        """Write a day of the time axis as YYYY-MM-DD."""
        time = self.grid.times[min(max(day, 0), self.days - 1)]
        return str(time)[:10]

    def digest(self) -> str:
        """Give a short hash of the data: where they are, how large and how new, and the days of issue."""
        datamodule = self.datamodule
        given: Any = getattr(datamodule, "path", None) or getattr(datamodule, "simulated_file", "")
        paths = [given] if isinstance(given, str | Path) else list(given)
        told = []
        for path in map(Path, paths):
            state = path.stat() if path.exists() else None
            told.append([str(path), state.st_mtime_ns if state else 0, state.st_size if state else 0])
        origins = [int(day) for day in datamodule.forecast_origins()]
        return digest(told, origins, self.date(0), self.days, self.cells, self.histories)


class TestRun:
    """Verifies forecasts at the steps of test windows.

    Args:
        world: of the data.
        levels: of the quantiles, (Q,).
        settings: of the forecasts.
        device: of the batches.
    """

    __test__ = False  # no test of pytest's

    def __init__(
        self, world: ForecastWorld, levels: Sequence[float], settings: ForecastSettings, device: torch.device
    ) -> None:
        conditions = world.conditions
        self.world, self.levels, self.settings = world, list(levels), settings
        has_references = conditions.anomaly and world.datamodule.reference_forecasts is not None
        self._references = REFERENCES if has_references else ()
        self.verification = Verification(
            levels=self.levels,
            leads=conditions.leads,
            cells=world.cells,
            percentiles=(20, 10, 5) if conditions.anomaly else (),
            references=self._references,
        ).to(device)
        self._scale = world.scale(device)
        self._examples: list[FanExample] = []
        self._first_day, self._last_day = world.days, 0

    def add(self, batch: Any, steps: Tensor, quantiles: Tensor, references: dict[str, Tensor]) -> None:
        """Add forecasts (B, S, L, Q) of windows at steps, and the reference forecasts (B * S, L, Q)."""
        leads = torch.tensor(self.world.conditions.leads, device=steps.device)
        valid = steps.unsqueeze(-1) + leads
        count = len(steps)
        flat = quantiles.flatten(0, 1)
        target = batch.target[:, valid].flatten(0, 1)
        thresholds = batch.thresholds[:, valid].flatten(0, 1)
        series = batch.series.repeat_interleave(count)
        origin = (batch.start.unsqueeze(-1) + steps).flatten()
        days = origin.unsqueeze(-1) + leads
        anomaly = self.world.conditions.anomaly
        median = flat[..., min(range(len(self.levels)), key=lambda at: abs(self.levels[at] - 0.5))]
        self.verification.update(
            quantiles=flat,
            target=target,
            series=series,
            origin=origin,
            year_fraction=batch.year_fraction[:, valid].flatten(0, 1),
            probability_below=probability_below(flat, self.levels, thresholds) if anomaly else None,
            thresholds=thresholds if anomaly else None,
            references={name: references[name] for name in self._references},
            state=batch.target[:, steps].flatten() if anomaly else None,
            median_value=self._scale.values(median, series, days),
            target_value=self._scale.values(target, series, days),
        )
        self._first_day = min(self._first_day, int(origin.min()) + int(leads[0]))
        self._last_day = max(self._last_day, int(origin.max()) + int(leads[-1]))
        if len(self._examples) < self.settings.examples and anomaly and int(leads[0]) > 0:
            self._add_example(batch, int(steps[-1]), quantiles[0, -1])

    def finish(self) -> VerificationScores:
        """Give the scores of all ranks; a collective call."""
        return self.verification.compute()

    def write(self, folder: Path, scores: VerificationScores, model: str) -> dict[str, Any]:
        """Write page, tables and figures, on one rank; give the figures by name."""
        about = About(
            model=model,
            period=f"{self.world.date(self._first_day)} to {self.world.date(self._last_day)}",
            target=self.world.target,
            rule=self.settings.warning,
        )
        return write_verification(folder, scores, about, grid=self.world.grid, examples=self._examples)

    def _add_example(self, batch: Any, step: int, quantiles: Tensor) -> None:
        world, leads = self.world, self.world.conditions.leads
        series, issued = int(batch.series[0]), int(batch.start[0]) + step
        cell = series % world.cells
        row, column = int(world.grid.row[cell]), int(world.grid.column[cell])
        lat, lon = np.asarray(world.grid.lat), np.asarray(world.grid.lon)
        place = (lat[row, column], lon[row, column]) if lat.ndim == 2 else (lat[row], lon[column])
        begin, end = max(0, step + 1 - _PAST_DAYS), step + 1 + leads[-1]
        target = batch.target[0].cpu().numpy()
        time = world.grid.times[min(issued, world.days - 1)]
        self._examples.append(
            FanExample(
                title=f"{place[0]:.2f}° N, {place[1]:.2f}° E, issued {world.date(issued)}",
                past=target[begin : step + 1],
                leads=np.asarray(leads),
                levels=np.asarray(self.levels),
                quantiles=quantiles.cpu().numpy(),
                truth=target[step + 1 : end],
                thresholds=batch.thresholds[0, begin:end].cpu().numpy(),
                issued=time if isinstance(time, np.datetime64) else None,
            )
        )


def open_forecast_file(
    world: ForecastWorld,
    settings: ForecastSettings,
    levels: Sequence[float],
    folder: Path,
    model: str,
    key: str,
    rank: int,
) -> ForecastFile:
    """Open the file that ``predict`` writes.

    Args:
        world: of the data.
        settings: of the forecasts.
        levels: of the model; a point forecast has one, and the file then has no other.
        folder: where to, where the settings name no path.
        model: in words.
        key: hash of weights and calibration.
        rank: of this process.
    """
    ending = "nc" if settings.format == "netcdf" else "zarr"
    layout = ForecastLayout(
        grid=getattr(world.datamodule, "forecast_grid", world.grid),
        leads=world.conditions.leads,
        levels=settings.levels if len(levels) > 1 else levels,
        target=world.target,
        attributes={"model": model},
    )
    path = Path(settings.path) if settings.path else folder / f"forecasts.{ending}"
    return ForecastFile(
        path, layout, world.scale(), digest(key, world.digest()), part=rank, rule=settings.warning
    )
