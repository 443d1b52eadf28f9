"""What the training period says about the data: scales, climatology; kept with the model."""

# M cells, X inputs, S maps, V columns, T days, R realizations, n series of a block

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.hydro.column_sums import ColumnSums
from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.source import Columns
from lightning_itwin.datamodules.hydro.variables import VariableError, check_plausible
from lightning_itwin.datamodules.hydro.year_weights import centre_weights
from lightning_itwin.hydrology.climatology import Climatology
from lightning_itwin.hydrology.reference_forecasts import ReferenceForecasts

# 5 % steps, and the tails by which extremes are judged
REFERENCE_LEVELS = (0.025, *(round(0.05 * step, 2) for step in range(1, 20)), 0.975)
_ROWS = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class HydroStatistics:
    """Scales of inputs, maps and target, and the target's climatology, all of the training period.

    Args:
        columns: names, units and logarithms that the scales are of.
        mean, deviation: of each column but the target, after the logarithm, (V - 1,).
        static_mean, static_deviation: (S,).
        target_scale: mean and deviation of the target over all cells.
        climatology: of the target in each cell, or None without anomalies.
        reference_forecasts: what a forecast has to beat, or None without anomalies.
        positions: latitude and longitude of the cells, (M, 2) float64.
    """

    columns: Columns
    mean: Tensor
    deviation: Tensor
    static_mean: Tensor
    static_deviation: Tensor
    target_scale: tuple[float, float]
    climatology: Climatology | None
    reference_forecasts: ReferenceForecasts | None
    positions: Tensor

    def state_dict(self) -> dict[str, Any]:
        """Give tensors and plain values."""
        columns = self.columns
        return {
            "inputs": list(columns.inputs),
            "statics": list(columns.statics),
            "target": columns.target,
            "weather": list(columns.weather),
            "weather_leads": columns.weather_leads,
            "units": dict(columns.units),
            "meanings": dict(columns.meanings),
            "logarithms": list(columns.logarithms),
            "mean": self.mean,
            "deviation": self.deviation,
            "static_mean": self.static_mean,
            "static_deviation": self.static_deviation,
            "target_scale": list(self.target_scale),
            "climatology": None if self.climatology is None else self.climatology.state_dict(),
            "reference_forecasts": (
                None if self.reference_forecasts is None else self.reference_forecasts.state_dict()
            ),
            "positions": self.positions,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> HydroStatistics:
        """Make them again."""
        climatology, reference = state["climatology"], state["reference_forecasts"]
        return cls(
            columns=Columns(
                inputs=tuple(state["inputs"]),
                statics=tuple(state["statics"]),
                target=state["target"],
                weather=tuple(state["weather"]),
                weather_leads=state["weather_leads"],
                units=dict(state["units"]),
                meanings=dict(state["meanings"]),
                logarithms=tuple(state["logarithms"]),
            ),
            mean=state["mean"],
            deviation=state["deviation"],
            static_mean=state["static_mean"],
            static_deviation=state["static_deviation"],
            target_scale=(float(state["target_scale"][0]), float(state["target_scale"][1])),
            climatology=None if climatology is None else Climatology.from_state_dict(climatology),
            reference_forecasts=None if reference is None else ReferenceForecasts.from_state_dict(reference),
            positions=state["positions"],
        )

    def check_columns(self, columns: Columns) -> None:
        """Refuse data whose columns are not those of the training.

        Raises:
            VariableError: a name, a logarithm or a unit differs.
        """
        for what in ("inputs", "statics", "target", "weather", "weather_leads", "logarithms"):
            trained, given = getattr(self.columns, what), getattr(columns, what)
            if trained != given:
                raise VariableError(
                    f"The checkpoint was trained with {what} {trained}, these data have {given}. Name the "
                    f"same under "
                    f"variables."
                )
        for name, unit in self.columns.units.items():
            given = columns.units.get(name, "")
            if unit and given and unit != given:
                raise VariableError(
                    f"{name} was in {unit!r} in training and is in {given!r} here; convert it or mend its "
                    f"units."
                )

    def cells_of(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Find the cells of a grid among those of the training, by latitude and longitude.

        Returns:
            Number in the training of each cell, -1 where it had none, and which have none, (M,) and (m,).
        """
        here = np.round(grid.positions(), 5)
        there = np.round(self.positions.numpy(), 5)
        if here.shape == there.shape and np.array_equal(here, there):
            return np.arange(grid.cells), np.empty(0, dtype=np.int64)
        known = {(float(lat), float(lon)): number for number, (lat, lon) in enumerate(there)}
        cells = np.array([known.get((float(lat), float(lon)), -1) for lat, lon in here], dtype=np.int64)
        return cells, np.flatnonzero(cells < 0)


class TrainingPass:
    """One pass over the days of training, which makes scales, climatology and reference forecasts.

    Args:
        columns, grid: of the data.
        train: the days of training.
        train_cells: the cells whose inputs count.
        leads: of the reference forecasts, in days; none without anomalies.
    """

    def __init__(
        self, columns: Columns, grid: Grid, train: tuple[int, int], train_cells: np.ndarray, leads: list[int]
    ) -> None:
        self._columns, self._grid, self._leads = columns, grid, leads
        self._fraction = torch.from_numpy(grid.axis.year_fraction()[train[0] : train[1]])
        self._trained = np.isin(np.arange(grid.cells), train_cells)
        self._sums = ColumnSums(columns.width)
        self._logarithms = {columns.inputs.index(name): ColumnSums(1) for name in columns.logarithms}
        self._climatology: Climatology | None = None
        self._order: list[np.ndarray] = []

    def run(self, blocks: Iterable[tuple[np.ndarray, np.ndarray]], statics: np.ndarray) -> HydroStatistics:
        """Go through the data.

        Args:
            blocks: series and their values on the days of training, in the variables' units, (n,) and (n, T,
                V); a block holds the same cells in all realizations, and each cell comes in one block.
            statics: maps, (M, S).

        Raises:
            VariableError: an input has no value in training, or values that cannot be.
            ValueError: the training period is too short for a climatology.
        """
        reference = None
        if self._leads:
            gap = torch.zeros(self._leads[-1])
            fraction = torch.cat([self._fraction, gap]).repeat(self._grid.realizations)
            reference = ReferenceForecasts.fit(
                self._anomalies(blocks), fraction, self._leads, REFERENCE_LEVELS
            )
        else:
            for _, values in blocks:
                self._add(_, values)
        return self._result(statics, reference)

    def _anomalies(self, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[Tensor]:
        """Give the anomalies of each block, realization after realization with a gap between; add it up."""
        histories, days = self._grid.realizations, len(self._fraction)
        repeated = self._fraction.repeat(histories)
        for series, values in blocks:
            self._add(series, values)
            cells = series.size // histories
            target = np.moveaxis(values[:, :, -1].reshape(histories, cells, days), 0, 1)
            pooled = torch.from_numpy(np.ascontiguousarray(target)).view(cells, histories * days)
            made = Climatology.fit(pooled, repeated)
            self._keep(made, series[:cells])
            weights = centre_weights(self._fraction.numpy(), made.mean.shape[1])
            anomaly = torch.full((cells, histories, days + self._leads[-1]), torch.nan)
            anomaly[:, :, :days] = pooled.view(cells, histories, days)
            anomaly[:, :, :days] -= (made.mean @ weights)[:, None]
            anomaly[:, :, :days] /= (made.standard_deviation @ weights)[:, None]
            yield anomaly.view(cells, -1)

    def _check(self) -> None:
        """Refuse values that cannot be, as soon as they are seen."""
        mean, _ = self._sums.mean_and_deviation()
        low, high = self._sums.low, self._sums.high
        for column, name in enumerate(self._columns.names):
            if self._sums.count[column]:
                meaning = self._columns.meanings.get(name)
                check_plausible(name, meaning, low[column], high[column], mean[column])

    def _keep(self, made: Climatology, cells: np.ndarray) -> None:
        """Put the climatology of a block into tables of all cells, so that no small pieces stay in memory."""
        if self._climatology is None:
            tables = (
                table.new_empty(self._grid.cells, *table.shape[1:])
                for table in (made.mean, made.standard_deviation, made.percentiles)
            )
            mean, deviation, percentiles = tables
            self._climatology = Climatology(mean, deviation, percentiles, made.levels, made.window_days)
        rows = torch.from_numpy(cells)
        self._climatology.mean[rows] = made.mean
        self._climatology.standard_deviation[rows] = made.standard_deviation
        self._climatology.percentiles[rows] = made.percentiles
        self._order.append(cells)

    def _add(self, series: np.ndarray, values: np.ndarray) -> None:
        kept = self._trained[series % self._grid.cells]
        for begin in range(0, series.size, _ROWS):
            rows = kept[begin : begin + _ROWS]
            if not rows.any():
                continue
            some = torch.from_numpy(np.ascontiguousarray(values[begin : begin + _ROWS][rows]))
            self._sums.add(some)
            for column, sums in self._logarithms.items():
                amount = some[:, :, column].clamp(min=0.0).log1p_()
                sums.add(amount.unsqueeze(-1).contiguous())
        self._check()

    def _result(self, statics: np.ndarray, reference: ReferenceForecasts | None) -> HydroStatistics:
        sums, columns = self._sums, self._columns
        mean, deviation = sums.mean_and_deviation()
        for column, name in enumerate(columns.names):
            if not sums.count[column]:
                raise VariableError(f"{name} has no value on the days of training.")
        for column, of_logarithm in self._logarithms.items():
            (mean[column],), (deviation[column],) = of_logarithm.mean_and_deviation()
        of_maps = ColumnSums(statics.shape[1])
        if statics.shape[1]:
            of_maps.add(torch.from_numpy(statics[self._trained][None]))
        static_mean, static_deviation = of_maps.mean_and_deviation()
        return HydroStatistics(
            columns=columns,
            mean=torch.from_numpy(mean[:-1].astype(np.float32)),
            deviation=torch.from_numpy(deviation[:-1].astype(np.float32)),
            static_mean=torch.from_numpy(static_mean.astype(np.float32)),
            static_deviation=torch.from_numpy(static_deviation.astype(np.float32)),
            target_scale=(float(mean[-1]), float(deviation[-1])),
            climatology=self._climatology,
            reference_forecasts=reference,
            positions=torch.from_numpy(np.ascontiguousarray(self._grid.positions())),
        )


def join(parts: list[Climatology]) -> Climatology:
    """Put climatologies of blocks of cells together, in their order."""
    return Climatology(
        torch.cat([part.mean for part in parts]),
        torch.cat([part.standard_deviation for part in parts]),
        torch.cat([part.percentiles for part in parts]),
        parts[0].levels,
        parts[0].window_days,
    )
