"""Files of a simulated region: CF-conformant Zarr and NetCDF, written block by block."""

# D days, G realizations, L leads, C cells

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.hydrology.alps_blocks import Block
from lightning_itwin.hydrology.alps_layout import (
    FORECAST_CHUNK_DAYS,
    GLOBAL_ATTRIBUTES,
    SERIES,
    FileVariable,
    chunk_days,
    layout,
)
from lightning_itwin.hydrology.terrain import Terrain
from lightning_itwin.hydrology.weather_forecast import STATISTICS, WEATHER_LEADS
from lightning_itwin.optional import require


class _TimeBuffer:
    """Gathers whole chunks of time of some variables and hands them to the arrays of a file."""

    def __init__(self, arrays: list[Any], shape: tuple[int, ...], chunk_days: int, single: bool) -> None:
        self.arrays, self.shape, self.chunk_days, self.single = arrays, shape, chunk_days, single
        self.values: np.ndarray | None = None
        self.begin = self.filled = 0

    def add(self, realization: int, day: int, blocks: list[np.ndarray]) -> None:
        days, groups = blocks[0].shape[:2]
        taken = 0
        while taken < days:
            if self.values is None:
                self.begin, self.filled = day + taken, 0
                length = min(self.chunk_days, self.shape[0] - self.begin)
                self.values = np.empty((len(blocks), groups, length, *self.shape[1:]), dtype=np.float32)
            length = self.values.shape[2]
            count = min(days - taken, length - self.filled)
            for buffer, block in zip(self.values, blocks):
                part = block[taken : taken + count].swapaxes(0, 1)
                buffer[:, self.filled : self.filled + count] = part.reshape(groups, count, *self.shape[1:])
            self.filled, taken = self.filled + count, taken + count
            if self.filled == length:
                self._flush(realization, self.values)

    def _flush(self, realization: int, values: np.ndarray) -> None:
        time = slice(self.begin, self.begin + self.filled)
        for array, buffer in zip(self.arrays, values):
            if self.single:
                array[time] = buffer[0]
            else:
                array[realization : realization + len(buffer), time] = buffer
        self.values = None


class AlpsWriter:
    """Takes blocks of days, in the order of time, for one group of realizations after the other."""

    def __init__(self, arrays: dict[str, Any], terrain: Terrain, days: int, single: bool) -> None:
        shape = (days, *terrain.shape)
        series = [arrays[name] for name in SERIES]
        self._series = _TimeBuffer(series, shape, chunk_days(terrain), single)
        forecasts = [arrays[name] for name in STATISTICS if name in arrays]
        self._forecasts = _TimeBuffer(
            forecasts, (shape[0], WEATHER_LEADS, *shape[1:]), FORECAST_CHUNK_DAYS, single
        )

    def add(self, realization: int, block: Block, forecast: np.ndarray | None = None) -> None:
        """Take a block.

        Args:
            realization: index of its first realization.
            block: the days.
            forecast: statistics of the weather forecasts issued on them, (4, D, G, L, C).
        """
        self._series.add(realization, block.day, [getattr(block, name) for name in SERIES])
        if forecast is not None:
            self._forecasts.add(realization, block.day, list(forecast))


@contextmanager
def open_writer(
    path: str | Path, terrain: Terrain, time: np.ndarray, realizations: int, forecasts: bool = False
) -> Iterator[AlpsWriter]:
    """Open a file to write; it gets its name when all is written, and vanishes when something fails.

    Args:
        path: ends in ``.zarr`` or ``.nc``; a file or store that stands there is replaced.
        terrain: maps and axes.
        time: days, (T,) datetime64[D].
        realizations: number of them; a single one has no dimension in the file.
        forecasts: whether there will be statistics of weather forecasts.

    Raises:
        ValueError: the path has another ending, or a folder stands there that is no Zarr store.
    """
    path = checked_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part, former = (path.with_name(f"{path.name}.{os.getpid()}.{what}") for what in ("part", "former"))
    create = _create_zarr if path.suffix == ".zarr" else _create_netcdf
    try:
        arrays, close = create(part, layout(terrain, time, realizations, forecasts))
        try:
            yield AlpsWriter(arrays, terrain, len(time), realizations == 1)
        finally:
            close()
        if path.is_dir():  # which no rename replaces
            os.replace(path, former)
        os.replace(part, path)
    finally:
        for left in (part, former):
            if left.is_dir():
                shutil.rmtree(left)
            left.unlink(missing_ok=True)


def checked_path(path: str | Path) -> Path:
    """Say where to write, or why not.

    Raises:
        ValueError: the path ends neither in ``.zarr`` nor in ``.nc``, or what stands there is another thing.
    """
    path = Path(path)
    if path.suffix not in (".zarr", ".nc"):
        raise ValueError(f"The file must end in .zarr or .nc, not {path.name!r}.")
    if path.suffix == ".zarr":
        ours = path.is_dir() and any((path / name).exists() for name in (".zgroup", "zarr.json"))
    else:
        ours = path.is_file()
    if path.exists() and not ours:
        raise ValueError(
            f"What stands at {path} is no {path.suffix} file and is not replaced. Choose another name."
        )
    return path


def _create_zarr(part: Path, variables: list[FileVariable]) -> tuple[dict[str, Any], Callable[[], None]]:
    zarr, numcodecs = require("zarr", extra="drought"), require("numcodecs", extra="drought")
    current = hasattr(zarr.Group, "create_array")  # zarr 3; format 2 is what every version reads
    group = zarr.open_group(str(part), mode="w", **{"zarr_format" if current else "zarr_version": 2})
    group.attrs.update(GLOBAL_ATTRIBUTES)
    codec = numcodecs.Blosc(cname="lz4", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
    arrays = {}
    for variable in variables:
        array = (group.create_array if current else group.create_dataset)(
            variable.name,
            shape=variable.shape,
            chunks=variable.chunks,
            dtype=_dtype(variable),
            fill_value=None if variable.is_coordinate else np.nan,
            **{"compressors" if current else "compressor": codec},
        )
        array.attrs.update({"_ARRAY_DIMENSIONS": list(variable.dimensions), **variable.attributes})
        if variable.values is not None:
            array[:] = variable.values
        arrays[variable.name] = array

    def close() -> None:
        zarr.consolidate_metadata(str(part), **({"zarr_format": 2} if current else {}))

    return arrays, close


def _create_netcdf(part: Path, variables: list[FileVariable]) -> tuple[dict[str, Any], Callable[[], None]]:
    file = require("netCDF4", extra="drought").Dataset(part, "w", format="NETCDF4")
    file.setncatts(GLOBAL_ATTRIBUTES)
    arrays = {}
    for variable in variables:
        packed: dict[str, Any] = {"zlib": True, "complevel": 1, "shuffle": True}
        if variable.is_coordinate:
            file.createDimension(variable.name, len(variable.values))  # type: ignore[arg-type]
        else:
            packed |= {"chunksizes": variable.chunks, "fill_value": np.float32(np.nan)}
        array = file.createVariable(variable.name, _dtype(variable), variable.dimensions, **packed)
        array.setncatts(variable.attributes)
        if variable.values is not None:
            array[:] = variable.values
        arrays[variable.name] = array
    return arrays, file.close


def _dtype(variable: FileVariable) -> np.dtype:
    return np.dtype(np.float32) if variable.values is None else variable.values.dtype
