"""Files of a simulated region: CF-conformant Zarr and NetCDF, written block by block."""

# G realizations, D days, C cells

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.hydrology.terrain import Terrain
from lightning_itwin.optional import require

CHUNK_DAYS = 512
CHUNK_CELLS = 32  # along each horizontal axis
_BUFFER_BYTES = 2**28

_VARIABLES = {
    "precipitation": ("lwe_precipitation_rate", "precipitation", "mm d-1", "time: mean"),
    "temperature": ("air_temperature", "air temperature at 2 m", "degC", "time: mean"),
    "potential_evapotranspiration": (
        "water_potential_evapotranspiration_amount",
        "potential evapotranspiration",
        "mm d-1",
        "time: mean",
    ),
    "soil_moisture": (
        "volume_fraction_of_condensed_water_in_soil",
        "soil moisture of the root zone",
        "m3 m-3",
        "time: point",
    ),
}
_MAPS = {
    "elevation": ("surface_altitude", "elevation", "m"),
    "slope": ("", "slope, rise over run", "1"),
    "annual_precipitation": ("", "expected precipitation", "mm year-1"),
    "wilting_point": (
        "volume_fraction_of_condensed_water_in_soil_at_wilting_point",
        "wilting point",
        "m3 m-3",
    ),
    "field_capacity": (
        "volume_fraction_of_condensed_water_in_soil_at_field_capacity",
        "field capacity",
        "m3 m-3",
    ),
    "root_depth": ("root_depth", "thickness of the root zone", "mm"),
    "recharge_exponent": ("", "exponent of groundwater recharge", "1"),
    "evaporation_limit": ("", "share of available water that evaporation needs to be potential", "1"),
    "degree_day_factor": ("", "degree-day factor of snow melt", "mm K-1 d-1"),
    "percolation": ("", "largest percolation to the lower store", "mm d-1"),
    "fast_recession": ("", "share of the upper store that drains in a day", "d-1"),
    "slow_recession": ("", "share of the lower store that drains in a day", "d-1"),
}


class _Writer:
    """Buffers whole chunks of time and hands them to the arrays of a file."""

    def __init__(
        self, arrays: dict[str, Any], shape: tuple[int, int, int, int], with_realization: bool
    ) -> None:
        self.arrays, self.shape, self.with_realization = arrays, shape, with_realization
        self.buffers: dict[str, np.ndarray] = {}
        self.begin = self.filled = 0

    def add(self, realization: int, day: int, block: Any) -> None:
        """Take a block that follows the last one in time.

        Args:
            realization: index of the block's first realization.
            day: index of its first day.
            block: what has each variable as an array of shape (D, G, C).
        """
        days, groups, _ = block.precipitation.shape
        taken = 0
        while taken < days:
            if not self.buffers:
                self.begin, self.filled = day + taken, 0
                length = min(CHUNK_DAYS, self.shape[1] - self.begin)
                shape = (groups, length, *self.shape[2:])
                self.buffers = {name: np.empty(shape, dtype=np.float32) for name in self.arrays}
            length = next(iter(self.buffers.values())).shape[1]
            count = min(days - taken, length - self.filled)
            for name, buffer in self.buffers.items():
                values = getattr(block, name)[taken : taken + count].swapaxes(0, 1)
                buffer[:, self.filled : self.filled + count] = values.reshape(groups, count, *self.shape[2:])
            self.filled, taken = self.filled + count, taken + count
            if self.filled == length:
                self._flush(realization, groups)

    def _flush(self, realization: int, groups: int) -> None:
        time = slice(self.begin, self.begin + self.filled)
        for name, buffer in self.buffers.items():
            if self.with_realization:
                self.arrays[name][realization : realization + groups, time] = buffer
            else:
                self.arrays[name][time] = buffer[0]
        self.buffers = {}


@contextmanager
def open_writer(path: str | Path, terrain: Terrain, time: np.ndarray, realizations: int) -> Iterator[_Writer]:
    """Open a file to write; it gets its name when all is written, and vanishes when something fails.

    Args:
        path: ends in ``.zarr`` or ``.nc``; what stands there is replaced.
        terrain: maps and axes.
        time: days, (T,) datetime64[D].
        realizations: number of them; a single one has no dimension in the file.

    Raises:
        ValueError: the path has another ending, or a folder stands there that is no Zarr store.
    """
    path = Path(path)
    if path.suffix not in (".zarr", ".nc"):
        raise ValueError(f"The file must end in .zarr or .nc, not {path.name!r}.")
    if path.is_dir() and not any((path / name).exists() for name in (".zgroup", "zarr.json")):
        raise ValueError(f"{path} is a folder and no Zarr store: it is not replaced. Choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    make = _zarr_arrays if path.suffix == ".zarr" else _netcdf_arrays
    try:
        arrays, close = make(part, terrain, time, realizations)
        yield _Writer(arrays, (realizations, len(time), *terrain.shape), realizations > 1)
        close()
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


def _dimensions(realizations: int) -> tuple[str, ...]:
    return (("realization",) if realizations > 1 else ()) + ("time", "lat", "lon")


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    wanted = (1, CHUNK_DAYS, CHUNK_CELLS, CHUNK_CELLS)[-len(shape) :]
    return tuple(min(of_axis, size) for of_axis, size in zip(wanted, shape))


def _coordinates(terrain: Terrain, time: np.ndarray, realizations: int) -> dict[str, tuple[np.ndarray, dict]]:
    found = {
        "time": (
            (time - time[0]).astype(np.int64),
            {
                "standard_name": "time",
                "axis": "T",
                "units": f"days since {time[0]} 00:00:00",
                "calendar": "proleptic_gregorian",
            },
        ),
        "lat": (
            terrain.latitude,
            {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"},
        ),
        "lon": (
            terrain.longitude,
            {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"},
        ),
    }
    if realizations > 1:
        found["realization"] = (
            np.arange(realizations, dtype=np.int64),
            {
                "standard_name": "realization",
                "long_name": "number of the simulated weather",
                "units": "1",
                "axis": "E",
            },
        )
    return found


def _attributes(standard_name: str, long_name: str, units: str, cell_methods: str = "") -> dict[str, str]:
    given = {"standard_name": standard_name, "long_name": long_name, "units": units}
    return {key: value for key, value in (given | {"cell_methods": cell_methods}).items() if value}


_GLOBAL = {
    "Conventions": "CF-1.10",
    "title": "simulated weather and soil moisture of a mountain region",
    "source": "lightning_itwin.hydrology.AlpsSimulator",
}


def _zarr_arrays(part: Path, terrain: Terrain, time: np.ndarray, realizations: int) -> tuple[dict, Any]:
    zarr, numcodecs = require("zarr", extra="drought"), require("numcodecs", extra="drought")
    current = hasattr(zarr.Group, "create_array")  # zarr 3; format 2 is what every version reads
    group = zarr.open_group(str(part), mode="w", **{"zarr_format" if current else "zarr_version": 2})
    group.attrs.update(_GLOBAL)

    def create(
        name: str, shape: tuple, dtype: Any, chunks: tuple, dimensions: tuple, attributes: dict
    ) -> Any:
        codec = numcodecs.Blosc(cname="lz4", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
        fill = np.nan if np.dtype(dtype) == np.float32 else None
        if current:
            array = group.create_array(
                name, shape=shape, dtype=dtype, chunks=chunks, compressors=codec, fill_value=fill
            )
        else:
            array = group.create_dataset(
                name, shape=shape, dtype=dtype, chunks=chunks, compressor=codec, fill_value=fill
            )
        array.attrs.update({"_ARRAY_DIMENSIONS": list(dimensions), **attributes})
        return array

    for name, (values, attributes) in _coordinates(terrain, time, realizations).items():
        create(name, values.shape, values.dtype, values.shape, (name,), attributes)[:] = values
    for name, about in _MAPS.items():
        values = getattr(terrain, name)
        create(name, values.shape, np.float32, values.shape, ("lat", "lon"), _attributes(*about))[:] = values
    dimensions = _dimensions(realizations)
    shape = (realizations, len(time), *terrain.shape)[-len(dimensions) :]
    arrays = {
        name: create(name, shape, np.float32, _chunks(shape), dimensions, _attributes(*about))
        for name, about in _VARIABLES.items()
    }
    return arrays, lambda: zarr.consolidate_metadata(str(part))


def _netcdf_arrays(part: Path, terrain: Terrain, time: np.ndarray, realizations: int) -> tuple[dict, Any]:
    file = require("netCDF4", extra="drought").Dataset(part, "w", format="NETCDF4")
    file.setncatts(_GLOBAL)
    for name, (values, attributes) in _coordinates(terrain, time, realizations).items():
        file.createDimension(name, len(values))
        variable = file.createVariable(name, values.dtype, (name,))
        variable.setncatts(attributes)
        variable[:] = values
    for name, about in _MAPS.items():
        variable = file.createVariable(name, "f4", ("lat", "lon"), zlib=True, complevel=1)
        variable.setncatts(_attributes(*about))
        variable[:] = getattr(terrain, name)
    dimensions = _dimensions(realizations)
    shape = (realizations, len(time), *terrain.shape)[-len(dimensions) :]
    arrays = {}
    for name, described in _VARIABLES.items():
        arrays[name] = file.createVariable(
            name,
            "f4",
            dimensions,
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=_chunks(shape),
            fill_value=np.float32(np.nan),
        )
        arrays[name].setncatts(_attributes(*described))
    return arrays, file.close
