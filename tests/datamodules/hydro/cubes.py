"""Small cubes of made-up weather and soil moisture, in every shape that files come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

YEARS = 4


def cube(
    days: int = 365 * YEARS + 1,
    rows: int = 4,
    columns: int = 5,
    realizations: int = 0,
    seed: int = 0,
    first: str = "2001-01-01",
    calendar: str = "standard",
) -> xr.Dataset:
    """Make precipitation, temperature, potential evapotranspiration, soil moisture and two maps."""
    random = np.random.default_rng(seed)
    dims = (("realization",) if realizations else ()) + ("time", "lat", "lon")
    shape = ((realizations,) if realizations else ()) + (days, rows, columns)
    day = np.arange(days)[:, None, None]
    rain = random.gamma(0.5, 6.0, shape).astype(np.float32)
    temperature = (8 - 10 * np.cos(2 * np.pi * day / 365.25) + random.normal(0, 3, shape)).astype(np.float32)
    pet = np.maximum(0, 2 - 2 * np.cos(2 * np.pi * day / 365.25) + random.normal(0, 0.3, shape)).astype(
        np.float32
    )
    soil = np.zeros(shape, dtype=np.float32)
    state = np.full((*shape[:-3], *shape[-2:]), 0.3)
    for step in range(days):
        state = 0.97 * state + 0.002 * rain[..., step, :, :] - 0.001 * pet[..., step, :, :] + 0.004
        soil[..., step, :, :] = state
    times = xr.date_range(first, periods=days, calendar=calendar, use_cftime=calendar not in ("standard",))
    return xr.Dataset(
        {
            "precipitation": (dims, rain, {"units": "mm d-1"}),
            "temperature": (dims, temperature, {"units": "degC"}),
            "potential_evapotranspiration": (dims, pet, {"units": "mm d-1"}),
            "soil_moisture": (dims, soil, {"units": "m3 m-3"}),
            "elevation": (("lat", "lon"), random.uniform(200, 3000, (rows, columns)).astype(np.float32)),
            "field_capacity": (("lat", "lon"), random.uniform(0.2, 0.4, (rows, columns)).astype(np.float32)),
        },
        coords={
            "time": times,
            "lat": 46 + 0.1 * np.arange(rows),
            "lon": 10 + 0.1 * np.arange(columns),
        },
    )


def written(data: xr.Dataset, path: Path, **encoding: Any) -> str:
    """Write a cube as NetCDF or Zarr, by its ending."""
    if path.suffix == ".nc":
        data.to_netcdf(path, engine="netcdf4", encoding=encoding)
    else:
        zarr_format = encoding.pop("zarr_format", 3)
        data.to_zarr(path, mode="w", zarr_format=zarr_format, encoding=encoding, consolidated=False)
    return str(path)


def values(data: xr.Dataset) -> np.ndarray:
    """Give all columns, (series, time, 4)."""
    names = ("precipitation", "temperature", "potential_evapotranspiration", "soil_moisture")
    columns = []
    for name in names:
        one = data[name]
        if "realization" not in one.dims:
            one = one.expand_dims("realization")
        one = one.transpose("realization", "lat", "lon", "time").values
        columns.append(one.reshape(-1, one.shape[-1]))
    return np.stack(columns, axis=-1)
