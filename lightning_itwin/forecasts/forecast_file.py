"""A forecast file in the making: parts that any rank writes in any order, and one CF file at the end."""

# B forecasts of a batch, L leads, Q levels, P percentiles, N series, M cells, G realizations

from __future__ import annotations

import hashlib
import shutil
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.forecasts.cf_store import check_path, key_of, open_store
from lightning_itwin.forecasts.cf_variables import (
    coordinates,
    forecast_variables,
    global_attributes,
    rounded,
)
from lightning_itwin.forecasts.forecast_parts import ForecastParts
from lightning_itwin.forecasts.layout import ForecastLayout
from lightning_itwin.forecasts.target_scale import TargetScale
from lightning_itwin.forecasts.warning_levels import DROUGHT_PERCENTILES, WarningRule


class ForecastFile:
    """Writes a CF-conformant NetCDF or Zarr file of forecasts, in any order, on any number of ranks.

    Every rank writes records of its own (a forecast of one series issued on one day) into a part beside the
    file; :meth:`finish` makes the file of all parts and removes them. A run that was interrupted goes on with
    the records that are missing; one with the same key as the finished file has nothing to do; one with
    another key starts anew, and says so.

    Args:
        path: ends in ``.nc`` or ``.zarr``.
        layout: what the file holds.
        scale: from the standardised anomaly to values of the target.
        key: a digest of everything that the forecasts depend on: weights, settings, data and the days of
            issue that are asked for. Grid, leads, levels, target and rule are added to it.
        part: number of this process, such as its rank.
        rule: when a forecast is a watch, a warning or an alert.

    Raises:
        ValueError: another ending, or something stands at the path that is no forecast file of ours.
        MissingExtraError: netCDF4 or zarr is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        layout: ForecastLayout,
        scale: TargetScale,
        key: str,
        part: int = 0,
        rule: WarningRule | None = None,
    ) -> None:
        self.path, self.layout, self.scale = Path(path), layout, scale
        self.rule = rule or WarningRule()
        check_path(self.path)
        self.key = _whole_key(key, layout, self.rule)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        there = key_of(self.path)
        self.complete = there == self.key
        self._parts: ForecastParts | None = None
        if self.complete:
            return
        self._folder = self.path.with_name(f"{self.path.name}.{self.key[:12]}.parts")
        if part == 0:
            self._forget_others(there)
        days = len(layout.grid.times)
        width = len(layout.leads) * (len(layout.levels) + layout.percentiles)
        self._parts = ForecastParts(self._folder, days, layout.series, width, part)

    def missing(self, series: Tensor, origin: Tensor) -> Tensor:
        """Say which forecasts are still to be made.

        Args:
            series: (B,) int64.
            origin: index of the day of issue on the time axis, (B,) int64.

        Returns:
            bool (B,), on the device of ``series``.
        """
        if self._parts is None:
            return torch.zeros(len(series), dtype=torch.bool, device=series.device)
        done = self._parts.done(series.cpu().numpy(), origin.cpu().numpy())
        return torch.from_numpy(~done).to(series.device)

    def add(
        self, series: Tensor, origin: Tensor, quantiles: Tensor, probability_below: Tensor | None = None
    ) -> None:
        """Take forecasts.

        Args:
            series: (B,) int64.
            origin: index of the day of issue on the time axis, (B,) int64.
            quantiles: of the standardised anomaly, (B, L, Q).
            probability_below: of P20, P10, P5, (B, L, 3); None without an anomaly.

        Raises:
            ValueError: the shapes do not fit the layout, or a series or day is not in it.
        """
        leads, levels, percentiles = len(self.layout.leads), len(self.layout.levels), self.layout.percentiles
        size = len(series)
        if tuple(quantiles.shape) != (size, leads, levels):
            raise ValueError(f"Quantiles are {(size, leads, levels)} here, not {tuple(quantiles.shape)}.")
        if (probability_below is None) != (percentiles == 0):
            raise ValueError("Give probability_below if, and only if, the target is an anomaly.")
        if probability_below is not None and tuple(probability_below.shape) != (size, leads, percentiles):
            wanted = (size, leads, percentiles)
            raise ValueError(f"Probabilities are {wanted} here, not {tuple(probability_below.shape)}.")
        which, day = series.cpu().numpy(), origin.cpu().numpy()
        _check_within("Series", which, self.layout.series)
        _check_within("Days of issue", day, len(self.layout.grid.times))
        if self._parts is None or not size:
            return
        given = (quantiles,) if probability_below is None else (quantiles, probability_below)
        flat = [values.detach().reshape(size, -1).float().cpu().numpy() for values in given]
        self._parts.add(which, day, np.concatenate(flat, axis=1))

    def close(self) -> None:
        """See everything onto the disk: on every rank, before a barrier and :meth:`finish`."""
        if self._parts is not None:
            self._parts.close()

    def finish(self) -> Path:
        """Make the file of all parts, on one rank alone, after all have closed; give its path.

        Raises:
            ValueError: there is no forecast.
        """
        if self._parts is None:
            return self.path
        self.close()
        origins = self._parts.days_with_records()
        if not origins.size:
            raise ValueError(f"There is no forecast to write to {self.path}: nothing was predicted.")
        values = forecast_variables(self.layout, len(origins), self.rule)
        variables = {**coordinates(self.layout, origins), **values}
        several = self.layout.grid.realizations > 1
        with open_store(self.path, variables, global_attributes(self.layout, self.key)) as arrays:
            for number, origin in enumerate(origins):
                place = (slice(None), number) if several else (number,)
                for name, field in self._fields(int(origin)).items():
                    arrays[name][place] = field if several else field[0]
        shutil.rmtree(self._folder)
        self.complete, self._parts = True, None
        return self.path

    def _fields(self, origin: int) -> dict[str, np.ndarray]:
        """Give the maps of one day of issue by name, (G, L, rows, columns) or (G, L, Q, rows, columns)."""
        if self._parts is None:
            return {}
        layout = self.layout
        leads, levels = len(layout.leads), len(layout.levels)
        records = self._parts.day(origin)
        quantiles = records[:, : leads * levels].reshape(-1, leads, levels)
        series = torch.arange(layout.series)
        days = (origin + torch.tensor(list(layout.leads))).expand(layout.series, -1)
        values = self.scale.values(torch.from_numpy(quantiles), series, days).numpy()
        found = {"soil_moisture": self._on_grid(rounded(values))}
        if not layout.target.anomaly:
            return found
        found["soil_moisture_anomaly"] = self._on_grid(rounded(quantiles))
        below = records[:, leads * levels :].reshape(layout.series, leads, -1)
        for number, percentile in enumerate(DROUGHT_PERCENTILES):
            found[f"probability_below_p{percentile}"] = self._on_grid(rounded(below[..., number]))
        found["warning_level"] = self._on_grid(self.rule.levels(below), fill=-1)
        return found

    def _on_grid(self, values: np.ndarray, fill: float = np.nan) -> np.ndarray:
        """Put values of series, (N, L) or (N, L, Q), on maps, (G, L, rows, columns) or (G, L, Q, ...)."""
        layout = self.layout
        several = values.reshape(layout.grid.realizations, layout.cells, *values.shape[1:])
        field = np.full((len(several), *values.shape[1:], *layout.shape), fill, dtype=values.dtype)
        field[..., np.asarray(layout.grid.row), np.asarray(layout.grid.column)] = np.moveaxis(several, 1, -1)
        return field

    def _forget_others(self, there: str | None) -> None:
        other = [
            folder for folder in self.path.parent.glob(f"{self.path.name}.*.parts") if folder != self._folder
        ]
        for folder in other:
            shutil.rmtree(folder)
        if there is not None:
            warnings.warn(
                f"{self.path} holds forecasts of another model, other settings or other days; it is replaced "
                "when all are made.",
                stacklevel=3,
            )
        elif other:
            warnings.warn(
                f"Unfinished forecasts of another model, other settings or other days beside {self.path} are "
                "removed; this run begins anew.",
                stacklevel=3,
            )


def _whole_key(key: str, layout: ForecastLayout, rule: WarningRule) -> str:
    grid = layout.grid
    digest = hashlib.sha256()
    for part in (
        key,
        list(layout.leads),
        [float(level) for level in layout.levels],
        layout.target,
        rule,
        grid.realizations,
        str(grid.times[0]),
        len(grid.times),
    ):
        digest.update(repr(part).encode())
    for array in (grid.lat, grid.lon, grid.row, grid.column):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_within(what: str, index: np.ndarray, size: int) -> None:
    if index.size and not (index.min() >= 0 and index.max() < size):
        raise ValueError(f"{what} are from 0 to {size - 1} here, not {index.min()} to {index.max()}.")
