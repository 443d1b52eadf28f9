"""What the training period says about the data: scales, climatology; kept with the model."""

# M cells, X inputs, S maps, V columns, T days, R realizations, n series of a block

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.source import Columns
from lightning_itwin.datamodules.hydro.variables import VariableError, check_plausible
from lightning_itwin.hydrology.climatology import Climatology

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
        positions: latitude and longitude of the cells, (M, 2) float64.
    """

    columns: Columns
    mean: Tensor
    deviation: Tensor
    static_mean: Tensor
    static_deviation: Tensor
    target_scale: tuple[float, float]
    climatology: Climatology | None
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
            "positions": self.positions,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> HydroStatistics:
        """Make them again."""
        climatology = state["climatology"]
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
                    f"The checkpoint was trained with {what} {trained}, these data have {given}. Name the same under "
                    f"variables."
                )
        for name, unit in self.columns.units.items():
            given = columns.units.get(name, "")
            if unit and given and unit != given:
                raise VariableError(
                    f"{name} was in {unit!r} in training and is in {given!r} here; convert it or mend its units."
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


class ColumnSums:
    """Adds up mean, deviation and range of columns, block by block, in double precision.

    Args:
        width: number of columns, V.
    """

    def __init__(self, width: int) -> None:
        self.count, self.sum, self.squares = np.zeros((3, width))
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        self._shift: np.ndarray | None = None

    def add(self, values: np.ndarray) -> None:
        """Add values, NaN is missing, (..., V)."""
        flat = values.reshape(-1, values.shape[-1])
        for begin in range(0, len(flat), 2**18):
            some = flat[begin : begin + 2**18]
            if self._shift is None:
                with np.errstate(invalid="ignore"):
                    total, present = np.nansum(some, axis=0), np.isfinite(some).sum(axis=0)
                self._shift = total / np.maximum(present, 1)  # near the mean, so that squares lose no digits
            missing = ~np.isfinite(some)
            present = (~missing).sum(axis=0)
            self.low = np.fmin(self.low, np.where(missing, np.inf, some).min(axis=0))
            self.high = np.fmax(self.high, np.where(missing, -np.inf, some).max(axis=0))
            centred = np.where(missing, 0.0, some - self._shift)
            self.count += present
            self.sum += centred.sum(axis=0)
            self.squares += np.einsum("ij,ij->j", centred, centred)

    def mean_and_deviation(self) -> tuple[np.ndarray, np.ndarray]:
        """Give both, (V,); a column that is constant or empty has deviation 1."""
        count = np.maximum(self.count, 1)
        shift = 0.0 if self._shift is None else self._shift
        mean = self.sum / count
        variance = np.maximum(self.squares / count - mean**2, 0.0)
        deviation = np.sqrt(variance)
        mean = mean + shift
        constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-12)
        return mean, np.where(constant, 1.0, deviation)


class DomainMeans:
    """Adds up the mean of the domain for each day and realization.

    Args:
        realizations, days, width: R, T and C.
    """

    def __init__(self, realizations: int, days: int, width: int) -> None:
        self.sum = np.zeros((realizations, days, width))
        self.count = np.zeros((realizations, days, width))

    def add(self, realization: np.ndarray, values: np.ndarray) -> None:
        """Add a block of standardised values, NaN is missing, (n, T, C), of some realizations, (n,)."""
        for one in np.unique(realization):
            some = values[realization == one]
            missing = np.isnan(some)
            self.sum[one] += np.where(missing, 0.0, some).sum(axis=0)
            self.count[one] += (~missing).sum(axis=0)

    def result(self) -> Tensor:
        """Give the means, 0 on days without a value, (R, T, C) float32."""
        return torch.from_numpy((self.sum / np.maximum(self.count, 1)).astype(np.float32))


def gather_statistics(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    columns: Columns,
    statics: np.ndarray,
    grid: Grid,
    *,
    train: tuple[int, int],
    train_cells: np.ndarray,
    anomaly: bool,
) -> HydroStatistics:
    """Go once through the data and make the statistics of the training.

    Args:
        blocks: series and their values on the days of training, in the variables' units, (n,) and (n, T, V); a
            block holds the same cells in all realizations, and cells follow one another.
        columns, statics, grid: of the data.
        train: the days of training.
        train_cells: the cells whose inputs count.
        anomaly: whether to make a climatology.

    Raises:
        VariableError: an input has no value in training, or values that cannot be.
        ValueError: the training period is too short for a climatology.
    """
    sums, raw = ColumnSums(columns.width), ColumnSums(columns.width)
    fraction = torch.from_numpy(grid.axis.year_fraction()[train[0] : train[1]])
    logarithms = [columns.inputs.index(name) for name in columns.logarithms]
    trained = np.isin(np.arange(grid.cells), train_cells)
    parts: list[Climatology] = []
    for series, values in blocks:
        if anomaly:
            cells = series.size // grid.realizations
            target = values[:, :, -1].reshape(grid.realizations, cells, -1)
            pooled = np.ascontiguousarray(np.moveaxis(target, 0, 1)).reshape(cells, -1)
            parts.append(Climatology.fit(pooled, fraction.repeat(grid.realizations)))
        kept = trained[series % grid.cells]
        for begin in range(0, series.size, _ROWS):
            some = values[begin : begin + _ROWS][kept[begin : begin + _ROWS]]
            if not some.size:
                continue
            raw.add(some)
            some = some.copy()
            for column in logarithms:
                some[:, :, column] = log_of(some[:, :, column])
            sums.add(some)
    names = columns.names
    raw_mean, _ = raw.mean_and_deviation()
    for column, name in enumerate(names):
        if not raw.count[column]:
            raise VariableError(f"{name} has no value on the days of training.")
        meaning = columns.meanings.get(name)
        check_plausible(name, meaning, raw.low[column], raw.high[column], raw_mean[column])
    mean, deviation = sums.mean_and_deviation()
    of_maps = ColumnSums(statics.shape[1])
    if statics.shape[1]:
        of_maps.add(statics[train_cells].astype(np.float64))
    static_mean, static_deviation = of_maps.mean_and_deviation()
    climatology = None
    if parts:
        climatology = Climatology(
            torch.cat([part.mean for part in parts]),
            torch.cat([part.standard_deviation for part in parts]),
            torch.cat([part.percentiles for part in parts]),
            parts[0].levels,
            parts[0].window_days,
        )
    return HydroStatistics(
        columns=columns,
        mean=torch.from_numpy(mean[:-1].astype(np.float32)),
        deviation=torch.from_numpy(deviation[:-1].astype(np.float32)),
        static_mean=torch.from_numpy(static_mean.astype(np.float32)),
        static_deviation=torch.from_numpy(static_deviation.astype(np.float32)),
        target_scale=(float(mean[-1]), float(deviation[-1])),
        climatology=climatology,
        positions=torch.from_numpy(np.ascontiguousarray(grid.positions())),
    )


def log_of(values: np.ndarray) -> np.ndarray:
    """Give log(1 + x) of an amount, whose values a little below zero count as none."""
    return np.log1p(np.maximum(values, 0.0))
