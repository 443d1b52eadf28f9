"""The variables of a forecast file as CF wants them: dimensions, attributes, coordinates."""

# G realizations, O origins, L leads, Q levels

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_itwin import __version__
from lightning_itwin.forecasts.layout import ForecastLayout, without_paths
from lightning_itwin.forecasts.warning_levels import DROUGHT_PERCENTILES, LEVEL_NAMES, WarningRule
from lightning_itwin.optional import require

SIGNIFICANT_BITS = 12  # beside the first: a relative error of at most 2^-13
_EPOCH = "days since 1970-01-01 00:00:00"
_CHUNK_CELLS = 128  # along each horizontal axis


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable of a file.

    Args:
        dims: names of its dimensions.
        shape: its size.
        dtype: as numpy names it.
        attributes: of CF.
        fill: stands where there is no value; None: there is one everywhere.
        chunks: shape of a chunk; None: one chunk.
        values: of a coordinate; None: they are written later, origin by origin.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attributes: Mapping[str, Any]
    fill: float | int | None = None
    chunks: tuple[int, ...] | None = None
    values: np.ndarray | None = None


def coordinates(layout: ForecastLayout, origins: np.ndarray) -> dict[str, Variable]:
    """Give the coordinates of a file.

    Args:
        layout: of the file.
        origins: index of each day of issue on the time axis, (O,).
    """
    times = np.asarray(layout.grid.times)[origins]
    numbers, calendar = day_numbers(times)
    leads = np.asarray(layout.leads, dtype=np.int32)
    days = {"units": _EPOCH, "calendar": calendar}
    found = {
        "time": _coordinate(
            "time",
            numbers,
            {
                "standard_name": "forecast_reference_time",
                "long_name": "day of issue, with observations up to its end",
                "axis": "T",
                **days,
            },
        ),
        # "day", and not "days": xarray would take a lead for a duration in nanoseconds
        "lead": _coordinate(
            "lead",
            leads,
            {"standard_name": "forecast_period", "long_name": "days from issue to validity", "units": "day"},
        ),
        "quantile": _coordinate(
            "quantile",
            np.asarray(layout.levels, dtype=np.float64),
            {"long_name": "probability that the value is not exceeded", "units": "1"},
        ),
        "valid_time": Variable(
            dims=("time", "lead"),
            shape=(len(numbers), len(leads)),
            dtype="int64",
            attributes={"standard_name": "time", "long_name": "day that is forecast", **days},
            values=numbers[:, None] + leads,
        ),
    }
    if layout.grid.realizations > 1:
        found["realization"] = _coordinate(
            "realization",
            np.arange(layout.grid.realizations, dtype=np.int32),
            {
                "standard_name": "realization",
                "long_name": "number of the weather history",
                "units": "1",
                "axis": "E",
            },
        )
    found |= _positions(layout)
    if layout.grid_mapping:
        attributes = {name: without_paths(value) for name, value in layout.grid_mapping.items()}
        found["crs"] = Variable(
            dims=(), shape=(), dtype="int32", attributes=attributes, values=np.zeros((), dtype=np.int32)
        )
    return found


def forecast_variables(layout: ForecastLayout, origins: int, rule: WarningRule) -> dict[str, Variable]:
    """Give the variables of a file that hold forecasts.

    Args:
        layout: of the file.
        origins: number of days of issue.
        rule: of the warning levels.
    """
    target, title = layout.target, layout.target.title
    own = {"long_name": title}
    if target.units:
        own["units"] = target.units
    if target.standard_name:
        own["standard_name"] = target.standard_name
    if not target.is_soil_moisture:
        own["comment"] = (
            f"This is {target.name}, and no soil moisture: the name of the variable is the layout's."
        )
    found = {"soil_moisture": _of_quantiles(layout, origins, own)}
    if not target.anomaly:
        return found
    anomaly = {
        "long_name": f"standardised anomaly of {title}",
        "units": "1",
        "comment": "difference from the mean of cell and time of the year, over the standard deviation",
    }
    found["soil_moisture_anomaly"] = _of_quantiles(layout, origins, anomaly)
    for percentile in DROUGHT_PERCENTILES:
        about = {
            "long_name": f"probability of {title} below P{percentile} of the cell and the time of the year",
            "units": "1",
            "valid_range": np.array([0.0, 1.0], dtype=np.float32),
        }
        found[f"probability_below_p{percentile}"] = _of_cells(layout, origins, "float32", np.nan, about)
    about = {
        "long_name": "drought warning level",
        "flag_values": np.arange(len(LEVEL_NAMES), dtype=np.int8),
        "flag_meanings": " ".join(LEVEL_NAMES),
        "comment": rule.text(),
        "ancillary_variables": " ".join(f"probability_below_p{p}" for p in DROUGHT_PERCENTILES),
    }
    found["warning_level"] = _of_cells(layout, origins, "int8", -1, about)
    return found


def global_attributes(layout: ForecastLayout, key: str) -> dict[str, Any]:
    """Give the attributes of the file itself; what the layout says comes last."""
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    given = {str(name): without_paths(value) for name, value in layout.attributes.items()}
    return {
        "Conventions": "CF-1.11",
        "title": f"probabilistic forecasts of {layout.target.title}",
        "source": f"lightning_itwin {__version__}",
        "history": f"{made} written by lightning_itwin {__version__}",
        **{name: value for name, value in given.items() if value not in (None, "")},
        "precision": f"numbers are rounded to {SIGNIFICANT_BITS} significant bits after the first",
        "forecast_key": key,
    }


def rounded(values: np.ndarray) -> np.ndarray:
    """Round float32 to 12 significant bits after the first, ties to even, so that they compress.

    Reference:
        Kloewer et al. 2021, Nature Computational Science 1, 713.

    >>> rounded(np.array([0.1, 3.0, np.nan], dtype=np.float32))
    array([0.1000061, 3.       ,       nan], dtype=float32)
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    shift = np.uint32(23 - SIGNIFICANT_BITS)
    one = np.uint32(1)
    half = (one << (shift - one)) - one
    found = (bits + ((bits >> shift) & one) + half) >> shift << shift
    return np.where(np.isfinite(values), found.view(np.float32), values).astype(np.float32)


def _of_quantiles(layout: ForecastLayout, origins: int, attributes: dict[str, Any]) -> Variable:
    return _of_cells(layout, origins, "float32", np.nan, attributes, of_quantiles=True)


def _of_cells(
    layout: ForecastLayout,
    origins: int,
    dtype: str,
    fill: float,
    attributes: dict[str, Any],
    of_quantiles: bool = False,
) -> Variable:
    across, down = layout.shape
    several = layout.grid.realizations > 1
    dims: tuple[str, ...] = ("time", "lead", *(("quantile",) if of_quantiles else ()), *horizontal(layout))
    middle = (len(layout.leads), *((len(layout.levels),) if of_quantiles else ()))
    shape: tuple[int, ...] = (origins, *middle, across, down)
    chunks: tuple[int, ...] = (1, *middle, min(across, _CHUNK_CELLS), min(down, _CHUNK_CELLS))
    if several:
        dims, shape, chunks = ("realization", *dims), (layout.grid.realizations, *shape), (1, *chunks)
    more: dict[str, Any] = {"coordinates": _auxiliary(layout)}
    if layout.grid_mapping:
        more["grid_mapping"] = "crs"
    return Variable(
        dims=dims, shape=shape, dtype=dtype, attributes={**attributes, **more}, fill=fill, chunks=chunks
    )


def horizontal(layout: ForecastLayout) -> tuple[str, str]:
    """Give the names of the two horizontal dimensions: lat and lon where they are axes."""
    if np.ndim(layout.grid.lat) == 1:
        return "lat", "lon"
    first, second = layout.grid.dims
    return ("y", "x") if {first, second} & {"lat", "lon"} else (first, second)


def _auxiliary(layout: ForecastLayout) -> str:
    return "valid_time lat lon" if np.ndim(layout.grid.lat) == 2 else "valid_time"


def _positions(layout: ForecastLayout) -> dict[str, Variable]:
    found = {}
    for name, values, word, unit, axis in (
        ("lat", layout.grid.lat, "latitude", "degrees_north", "Y"),
        ("lon", layout.grid.lon, "longitude", "degrees_east", "X"),
    ):
        values = np.asarray(values, dtype=np.float64)
        attributes = {"standard_name": word, "long_name": word, "units": unit}
        if values.ndim == 1:
            found[name] = _coordinate(name, values, {**attributes, "axis": axis})
        else:
            found[name] = Variable(
                dims=horizontal(layout),
                shape=values.shape,
                dtype="float64",
                attributes=attributes,
                values=values,
            )
    return found


def _coordinate(name: str, values: np.ndarray, attributes: dict[str, Any]) -> Variable:
    return Variable(
        dims=(name,), shape=values.shape, dtype=str(values.dtype), attributes=attributes, values=values
    )


def day_numbers(times: np.ndarray) -> tuple[np.ndarray, str]:
    """Give days since 1970-01-01 and the calendar of times, datetime64 or cftime, (T,)."""
    if times.dtype.kind == "M":
        return times.astype("datetime64[D]").astype(np.int64), "proleptic_gregorian"
    calendar = str(times[0].calendar)
    cftime = require("cftime", extra="drought")
    numbers = np.asarray(cftime.date2num(list(times), _EPOCH, calendar), dtype=np.float64)
    return np.floor(numbers).astype(np.int64), calendar
