"""Files of forecasts and of what came, read for a verification."""

# T days of the truth, M cells

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lightning_itwin.forecasts.cf_variables import day_numbers
from lightning_itwin.forecasts.warning_levels import DROUGHT_PERCENTILES
from lightning_itwin.optional import require

_DIMS = ("time", "lead", "quantile", "lat", "lon")
_TOLERANCE_DEGREES = 1e-3


class VerifyError(ValueError):
    """Forecast and truth cannot be compared; the message says what they have and what is wanted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What came.

    Attributes:
        first: the first day, in days since 1970-01-01 of its calendar.
        values: NaN where missing, (M, T) float32.
        fraction: of the year, (T,).
        year: of each day, (T,).
        units, title: of the values.
    """

    first: int
    values: np.ndarray
    fraction: np.ndarray
    year: np.ndarray
    units: str
    title: str

    def fraction_at(self, places: np.ndarray) -> np.ndarray:
        """Give the fraction of the year of days by index, also of days before or after the truth."""
        inside = places.clip(0, len(self.fraction) - 1)
        return (self.fraction[inside] + (places - inside) / 365.2425) % 1


def opened(path: str | Path) -> Any:
    """Open NetCDF or Zarr.

    Raises:
        VerifyError: there is no such file.
    """
    xarray = require("xarray", extra="drought")
    if not Path(path).exists():
        raise VerifyError(f"There is no {path}.")
    return xarray.open_dataset(path, engine="zarr") if Path(path).is_dir() else xarray.open_dataset(path)


def forecast_variable(data: Any, path: str | Path) -> Any:
    """Give ``soil_moisture`` with rising leads and levels.

    Raises:
        VerifyError: it is not there, or has other dimensions.
    """
    if "soil_moisture" not in data or set(data["soil_moisture"].dims) != set(_DIMS):
        told = {str(name): data[name].dims for name in data.data_vars}
        raise VerifyError(f"{path} has no soil_moisture {_DIMS}; it has {told}.")
    found = data["soil_moisture"].transpose(*_DIMS)
    if found["lead"].dtype.kind == "m":  # units of "days" are a duration to xarray
        found = found.assign_coords(lead=found["lead"].values.astype("timedelta64[D]").astype(np.int64))
    return found.sortby("quantile").sortby("lead").sortby("time")


def forecast_grid(quantiles: Any) -> SimpleNamespace:
    """Give the grid of the cells that have a forecast.

    Raises:
        VerifyError: none has.
    """
    some = np.isfinite(quantiles.isel(lead=0, quantile=0).values).any(0)
    row, column = np.nonzero(some)
    if not row.size:
        raise VerifyError("The forecast file has no value at its first lead.")
    lat, lon = quantiles["lat"].values, quantiles["lon"].values
    return SimpleNamespace(
        lat=lat, lon=lon, row=row, column=column, realizations=1, dims=("lat", "lon"), times=np.zeros(0)
    )


def probabilities(data: Any, number: int, grid: SimpleNamespace) -> np.ndarray | None:
    """Give the drought probabilities of a day of issue, (M, L, 3), or None where the file has none."""
    found = []
    for percentile in DROUGHT_PERCENTILES:
        name = f"probability_below_p{percentile}"
        if name not in data or set(data[name].dims) != {"time", "lead", "lat", "lon"}:
            return None
        one = data[name].sortby("lead").sortby("time").transpose("time", "lead", "lat", "lon")
        found.append(one[number].values[:, grid.row, grid.column].T)
    return np.stack(found, axis=-1)


def read_truth(data: Any, path: str | Path, name: str | None, grid: SimpleNamespace) -> Truth:
    """Read what came at the cells of a grid, one column a day from the first to the last.

    Args:
        data: opened file.
        path: of the file, for messages.
        name: of the variable; None: ``soil_moisture``, or the only one with dimensions (time, lat, lon).
        grid: of the forecast.

    Raises:
        VerifyError: no such variable, another grid, or more than one value a day.
    """
    fits = [str(one) for one in data.data_vars if set(data[one].dims) == {"time", "lat", "lon"}]
    if name is None:
        name = "soil_moisture" if "soil_moisture" in fits or len(fits) != 1 else fits[0]
    if name not in fits:
        raise VerifyError(f"Name a variable (time, lat, lon) of {path}: it has {fits or 'none'}.")
    found = data[name].transpose("time", "lat", "lon").sortby("time")
    try:
        found = found.sel(lat=grid.lat, lon=grid.lon, method="nearest", tolerance=_TOLERANCE_DEGREES)
    except KeyError as error:
        raise VerifyError(f"The grid of {path} is not that of the forecast.") from error
    times = found["time"].values
    days, _ = day_numbers(times)
    if (np.diff(days) <= 0).any():
        raise VerifyError(f"{path} has more than one time on a day: make daily values first.")
    places = days - days[0]
    values = np.full((len(grid.row), int(places[-1]) + 1), np.nan, dtype=np.float32)
    values[:, places] = found.values[:, grid.row, grid.column].T
    year, fraction = _of_the_year(times)
    every = np.arange(values.shape[1])
    nearest = np.searchsorted(places, every, side="right") - 1  # missing days count on from the one before
    return Truth(
        first=int(days[0]),
        values=values,
        fraction=(fraction[nearest] + (every - places[nearest]) / 365.2425) % 1,
        year=year[nearest],
        units=str(found.attrs.get("units", "")),
        title=str(found.attrs.get("long_name", name)),
    )


def _of_the_year(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give year and fraction of the year of each day."""
    if times.dtype.kind == "M":
        years = times.astype("datetime64[Y]")
        begins = years.astype("datetime64[D]")
        length = ((years + 1).astype("datetime64[D]") - begins).astype(np.int64)
        return years.astype(np.int64) + 1970, (times.astype("datetime64[D]") - begins).astype(
            np.int64
        ) / length
    cftime = require("cftime", extra="drought")
    year = np.array([time.year for time in times])
    length_of = {
        one: (
            cftime.datetime(one + 1, 1, 1, calendar=times[0].calendar)
            - cftime.datetime(one, 1, 1, calendar=times[0].calendar)
        ).days
        for one in set(year.tolist())
    }
    return year, np.array([(time.dayofyr - 1) / length_of[time.year] for time in times])
