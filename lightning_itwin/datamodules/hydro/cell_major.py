"""The layout that trains fastest: all days of a series side by side, plain, in a Zarr store of format 3.

``values`` has the dimensions (series, time, column) and chunks of whole series; a chunk is a file of plain
float32, so that a block of series is read by a few system calls straight into the memory where it is used.
Any reader of Zarr opens it as well.
"""

# N series, M cells, n series of a block, T days, V columns, S maps

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.datamodules.hydro.day_axis import DayAxis
from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.source import Columns
from lightning_itwin.datamodules.hydro.variables import HydroVariables, VariableError, same_sense
from lightning_itwin.optional import require

_KEY = "lightning_itwin_hydro"
_VERSION = 1
_CHUNK_BYTES = 2**22


class ConvertedFileError(ValueError):
    """A converted folder is not whole, or of another version; the message says what to do."""


def is_converted(path: Any) -> bool:
    """Say whether a path is a folder in this layout."""
    if not isinstance(path, str | Path) or not (Path(path) / "zarr.json").is_file():
        return False
    try:
        attributes = json.loads((Path(path) / "zarr.json").read_text(encoding="utf-8")).get("attributes", {})
    except (json.JSONDecodeError, AttributeError):
        return False
    return _KEY in attributes


class CellMajorFolder:
    """The files of a folder in this layout.

    Args:
        folder: the folder.
        shape: of ``values``, (N, T, V).
        chunk: series in a file.
    """

    def __init__(self, folder: str | Path, shape: tuple[int, int, int], chunk: int) -> None:
        self.folder = Path(folder)
        self.shape = shape
        self.chunk = chunk
        self._row_bytes = shape[1] * shape[2] * 4

    @staticmethod
    def chunk_series(days: int, width: int) -> int:
        """Choose how many series make a file of about 4 MiB."""
        return max(1, _CHUNK_BYTES // (days * width * 4))

    @cached_property
    def chunk_files(self) -> list[Path]:
        """The files, in the order of the series."""
        count = -(-self.shape[0] // self.chunk)
        return [self.folder / "values" / "c" / str(number) / "0" / "0" for number in range(count)]

    @classmethod
    def create(cls, folder: Path, columns: Columns, grid: Grid, statics: np.ndarray) -> CellMajorFolder:
        """Write everything but the values, whose files are made at their full size.

        Args:
            folder: an empty or missing folder.
            columns, grid, statics: of the source.
        """
        zarr = require("zarr", extra="drought")
        shape = (grid.series, grid.axis.size, columns.width)
        made = cls(folder, shape, min(grid.series, cls.chunk_series(*shape[1:])))
        group = zarr.open_group(str(folder), mode="w", zarr_format=3)
        group.attrs.update(
            {
                "Conventions": "CF-1.10",
                "title": "daily series, all days of a series side by side",
                _KEY: {
                    "version": _VERSION,
                    "inputs": list(columns.inputs),
                    "statics": list(columns.statics),
                    "target": columns.target,
                    "weather": list(columns.weather),
                    "weather_leads": columns.weather_leads,
                    "units": columns.units,
                    "meanings": columns.meanings,
                    "logarithms": list(columns.logarithms),
                    "realizations": grid.realizations,
                    "first_day": grid.axis.first,
                    "calendar": grid.axis.calendar,
                    "dims": list(grid.dims),
                    "chunk": made.chunk,
                },
            }
        )
        names = ["lat", "lon"] if grid.lat.ndim == 1 else ["y", "x"]
        small: dict[str, tuple[np.ndarray, list[str], dict[str, Any]]] = {
            "lat": (grid.lat, names[:1] if grid.lat.ndim == 1 else names, {"units": "degrees_north"}),
            "lon": (grid.lon, names[1:] if grid.lat.ndim == 1 else names, {"units": "degrees_east"}),
            "row_index": (grid.row, ["cell"], {}),
            "column_index": (grid.column, ["cell"], {}),
            "statics": (statics, ["cell", "map"], {"maps": list(columns.statics)}),
            "time": (
                grid.axis.first + np.arange(grid.axis.size),
                ["time"],
                {"units": "days since 1970-01-01", "calendar": grid.axis.calendar, "standard_name": "time"},
            ),
        }
        for name, (array, dims, attributes) in small.items():
            if not array.size:
                continue
            stored = group.create_array(
                name, shape=array.shape, dtype=array.dtype, chunks=array.shape, dimension_names=dims
            )
            stored.attrs.update(attributes)
            stored[...] = array
        values = group.create_array(
            "values",
            shape=shape,
            dtype="float32",
            chunks=(made.chunk, *shape[1:]),
            compressors=None,
            filters=None,
            fill_value=float("nan"),
            dimension_names=["series", "time", "column"],
        )
        values.attrs.update({"columns": columns.names, "series": "cell + realization * cells"})
        for file in made.chunk_files:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as opened:
                os.truncate(opened.fileno(), made.chunk * made._row_bytes)
        return made

    def read(self, series: np.ndarray, first: int, end: int, out: np.ndarray) -> None:
        """Read series and days straight into an array, (n, T, V) float32, contiguous."""
        self._move(series, first, end, out, write=False)

    def write(self, series: np.ndarray, first: int, end: int, values: np.ndarray) -> None:
        """Write series and days from an array, (n, T, V) float32, contiguous."""
        self._move(series, first, end, values, write=True)

    def _move(self, series: np.ndarray, first: int, end: int, array: np.ndarray, write: bool) -> None:
        whole = end - first == self.shape[1]
        day_bytes = self.shape[2] * 4
        # a run of neighbours in one file is one call where all their days are wanted
        edge = (np.diff(series) != 1) | (np.diff(series // self.chunk) != 0)
        begins = np.concatenate([[0], np.flatnonzero(edge) + 1])
        ends = np.concatenate([begins[1:], [series.size]])
        flat = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        row_bytes = (end - first) * day_bytes
        files = self.chunk_files
        opened, descriptor = -1, -1
        try:
            for begin, stop in zip(begins.tolist(), ends.tolist()):
                file, row = divmod(int(series[begin]), self.chunk)
                if file != opened:
                    if descriptor >= 0:
                        os.close(descriptor)
                    descriptor = os.open(files[file], os.O_RDWR if write else os.O_RDONLY)
                    opened = file
                step = stop - begin if whole else 1
                for at in range(begin, stop, step):
                    offset = (row + at - begin) * self._row_bytes + first * day_bytes
                    part = flat[at * row_bytes : (at + step) * row_bytes]
                    self._transfer(descriptor, part, offset, write, files[file])
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    @staticmethod
    def _transfer(descriptor: int, part: memoryview, offset: int, write: bool, file: Path) -> None:
        while part:
            moved = os.pwrite(descriptor, part, offset) if write else os.preadv(descriptor, [part], offset)
            if not moved:
                raise ConvertedFileError(f"{file} is cut off at {offset} bytes; convert the source again.")
            part, offset = part[moved:], offset + moved


class CellMajorSource:
    """Series of a converted folder.

    Args:
        folder: the folder.
        variables: which of its variables to use, by the names they were converted with.

    Raises:
        ConvertedFileError: the folder is not whole.
        VariableError: it has no such variable.
    """

    def __init__(self, folder: str | Path, variables: HydroVariables) -> None:
        zarr = require("zarr", extra="drought")
        group = zarr.open_group(str(folder), mode="r")
        about: dict[str, Any] = dict(group.attrs[_KEY])
        if about["version"] != _VERSION:
            raise ConvertedFileError(
                f"{folder} is of version {about['version']}, this is {_VERSION}: convert the source again."
            )
        values = group["values"]
        shape = (int(values.shape[0]), int(values.shape[1]), int(values.shape[2]))
        self._folder = CellMajorFolder(folder, shape, int(about["chunk"]))
        missing = [file for file in self._folder.chunk_files if not file.is_file()]
        if missing:
            raise ConvertedFileError(
                f"{len(missing)} files of {folder} are missing, such as {missing[0]}; convert the source "
                f"again."
            )
        self.grid = Grid(
            lat=np.asarray(group["lat"][...]),
            lon=np.asarray(group["lon"][...]),
            row=np.asarray(group["row_index"][...]),
            column=np.asarray(group["column_index"][...]),
            realizations=int(about["realizations"]),
            axis=DayAxis(int(about["first_day"]), shape[1], str(about["calendar"])),
            dims=(str(about["dims"][0]), str(about["dims"][1])),
        )
        stored = Columns(
            inputs=tuple(about["inputs"]),
            statics=tuple(about["statics"]),
            target=about["target"],
            weather=tuple(about["weather"]),
            weather_leads=int(about["weather_leads"]),
            units=dict(about["units"]),
            meanings=dict(about["meanings"]),
            logarithms=tuple(about["logarithms"]),
        )
        self.columns, self._chosen = _choose(stored, variables, str(folder))
        maps = (
            np.asarray(group["statics"][...])
            if stored.statics
            else np.empty((self.grid.cells, 0), np.float32)
        )
        chosen_maps = [stored.statics.index(name) for name in self.columns.statics]
        self.statics = np.ascontiguousarray(maps[:, chosen_maps], dtype=np.float32)

    def read(self, series: np.ndarray, first: int, end: int, out: np.ndarray | None = None) -> np.ndarray:
        """See ``CubeSource``."""
        if out is None:
            out = np.empty((series.size, end - first, self.columns.width), dtype=np.float32)
        if self._chosen is None:
            self._folder.read(series, first, end, out)
            return out
        width = self._folder.shape[2]
        step = max(1, _CHUNK_BYTES // ((end - first) * width * 4))
        for begin in range(0, series.size, step):
            some = series[begin : begin + step]
            every = np.empty((some.size, end - first, width), dtype=np.float32)
            self._folder.read(some, first, end, every)
            out[begin : begin + step] = every[:, :, self._chosen]
        return out

    def tiles(self, budget_bytes: int) -> Iterator[tuple[np.ndarray, int, int]]:
        """See ``CubeSource``."""
        count, size, width = self._folder.shape
        step = max(1, budget_bytes // (size * width * 4))
        for begin in range(0, count, step):
            yield np.arange(begin, min(begin + step, count)), 0, size

    def groups(self) -> list[np.ndarray]:
        """See ``CubeSource``."""
        count = self._folder.shape[0]
        step = self._folder.chunk
        return [np.arange(begin, min(begin + step, count)) for begin in range(0, count, step)]

    def reads_per_use(self) -> float:
        """See ``CubeSource``."""
        return 1.0


def _choose(stored: Columns, variables: HydroVariables, folder: str) -> tuple[Columns, list[int] | None]:
    """Choose columns by name; None where all of them are chosen as they are."""
    series = [*stored.inputs, stored.target]

    def find(name: str, setting: str, among: list[str]) -> str:
        for one in (name, *same_sense(name)):
            if one in among:
                return one
        raise VariableError(
            f"{setting}: {folder} was converted without {name!r}. It has the series {series}, weather "
            f"{list(stored.weather)} and the maps {list(stored.statics)}; convert the source again with it."
        )

    inputs = [find(name, "inputs", series) for name in variables.inputs]
    target = find(variables.target, "target", series)
    statics = stored.statics
    if variables.statics is not None:
        statics = tuple(find(name, "statics", list(stored.statics)) for name in variables.statics)
    weather = [find(name, "weather", list(stored.weather)) for name in variables.weather or []]
    names = stored.names
    count = len(stored.weather)
    columns = [series.index(name) if name != stored.target else len(names) - 1 for name in inputs]
    columns += [
        len(stored.inputs) + lead * count + stored.weather.index(name)
        for lead in range(stored.weather_leads if weather else 0)
        for name in weather
    ]
    columns.append(len(names) - 1 if target == stored.target else series.index(target))
    renamed = dict(zip([*inputs, target], [*variables.inputs, variables.target]))
    logarithms = variables.logarithms
    if logarithms is None:
        logarithms = [renamed[name] for name in inputs if stored.meanings.get(name) == "precipitation"]
    chosen = replace(
        stored,
        inputs=tuple(variables.inputs),
        statics=tuple(statics),
        target=variables.target,
        weather=tuple(weather),
        weather_leads=stored.weather_leads if weather else 0,
        units={renamed.get(name, name): unit for name, unit in stored.units.items()},
        meanings={renamed.get(name, name): meaning for name, meaning in stored.meanings.items()},
        logarithms=tuple(logarithms),
    )
    return chosen, None if columns == list(range(len(names))) else columns
