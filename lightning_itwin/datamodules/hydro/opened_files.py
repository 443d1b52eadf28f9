"""Open the user's NetCDF and Zarr files, and find their variables, grid and times."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.datamodules.hydro import dimensions as parts
from lightning_itwin.datamodules.hydro.day_axis import day_numbers
from lightning_itwin.datamodules.hydro.fields import Field, Piece
from lightning_itwin.datamodules.hydro.variables import VariableError
from lightning_itwin.optional import require


class GridError(ValueError):
    """Variables or files do not lie on one grid; the message names them."""


@dataclass
class OpenedFiles:
    """What lies in the files.

    Args:
        fields: the variables by name.
        lat, lon: of the grid, see ``Grid``.
        dims: names of its two dimensions.
        calendar: of the times.
        left_out: variables that cannot be series or maps, and why.
    """

    fields: dict[str, Field]
    lat: np.ndarray
    lon: np.ndarray
    dims: tuple[str, str]
    calendar: str
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return (
            (self.lat.shape[0], self.lat.shape[1]) if self.lat.ndim == 2 else (self.lat.size, self.lon.size)
        )

    def listing(self) -> str:
        """Write what there is, for messages."""
        series = [
            f"{name} [{found.units or 'no units'}]"
            for name, found in self.fields.items()
            if found.has(parts.TIME)
        ]
        maps = [name for name, found in self.fields.items() if not found.has(parts.TIME)]
        told = f"series in time: {', '.join(series) or 'none'}; maps: {', '.join(maps) or 'none'}"
        if self.left_out:
            told += "; not usable: " + ", ".join(f"{name} ({why})" for name, why in self.left_out.items())
        return told


@dataclass
class _Grid:
    lat: np.ndarray
    lon: np.ndarray
    dims: tuple[str, str]
    path: str

    @property
    def shape(self) -> tuple[int, int]:
        return (
            (self.lat.shape[0], self.lat.shape[1]) if self.lat.ndim == 2 else (self.lat.size, self.lon.size)
        )


def find_files(path: str | Sequence[str]) -> list[Path]:
    """Give the files that a path, a list of paths or patterns stand for, in order.

    Raises:
        FileNotFoundError: there is none.
    """
    found: list[Path] = []
    for one in [path] if isinstance(path, str | Path) else path:
        one = str(one)
        files = (
            sorted(glob.glob(one, recursive=True))
            if glob.has_magic(one) and not Path(one).exists()
            else [one]
        )
        if not files or not Path(files[0]).exists():
            raise FileNotFoundError(f"There is no file {one!r}, seen from {Path.cwd()}.")
        found += [Path(file) for file in files if Path(file) not in found]
    if not found:
        raise FileNotFoundError("path is an empty list; name a NetCDF file or a Zarr folder.")
    return found


def open_files(path: str | Sequence[str]) -> OpenedFiles:
    """Open files and find out what lies in them; no values of variables are read.

    Args:
        path: NetCDF file or Zarr folder, several, or patterns such as ``"data/*.nc"``. A variable may go on
            from file to file; variables may lie in files or groups of their own.

    Raises:
        FileNotFoundError: there is no such file.
        GridError: they do not lie on one grid.
        VariableError: there is no variable with a time axis, or a file is of another kind.
        TimeAxisError: a time coordinate is none.
        MissingExtraError: xarray is not installed.
    """
    fields: dict[str, Field] = {}
    left_out: dict[str, str] = {}
    grid: _Grid | None = None
    calendar: tuple[str, str] | None = None
    for file in find_files(path):
        for group, dataset in _datasets(file):
            its_grid = _grid_of(dataset, str(file))
            if its_grid is not None:
                grid = its_grid if grid is None else grid
                flip = _compare(grid, its_grid)
            for name, variable in dataset.data_vars.items():
                why = _why_not(variable, dataset)
                if why:
                    left_out[str(name)] = why
                    continue
                if its_grid is None:
                    left_out[str(name)] = "no coordinates of a grid"
                    continue
                dims = {part: dim for dim in variable.dims if (part := _part(dim, dataset))}
                days = np.empty(0, dtype=np.int64)
                if parts.TIME in dims:
                    days, of_file = day_numbers(_times(dataset, dims[parts.TIME]))
                    calendar = (of_file, str(file)) if calendar is None else calendar
                    if calendar[0] != of_file:
                        raise GridError(
                            f"{file} has calendar {of_file}, {calendar[1]} has {calendar[0]}: convert one "
                            f"of them "
                            f"with xarray's convert_calendar."
                        )
                cells = None
                if parts.CELL in dims:
                    cells = _cell_places(dataset, dims[parts.CELL], its_grid.shape)
                    if any(flip):
                        turned = cells.reshape(its_grid.shape)[
                            :: -1 if flip[0] else 1, :: -1 if flip[1] else 1
                        ]
                        cells = turned.ravel()
                for label, fixed in _labels(str(name), variable, dataset):
                    piece = Piece(variable.variable, dims, fixed, days, cells, str(file), flip)
                    _add(fields, label, group, piece, variable)
    if grid is None or calendar is None:
        what = [f"{name} ({why})" for name, why in left_out.items()]
        raise VariableError(
            f"{path} has no variable on a grid with a time axis; it has "
            f"{', '.join([*fields, *what]) or 'nothing'}."
        )
    return OpenedFiles(fields, grid.lat, grid.lon, grid.dims, calendar[0], left_out)


def _datasets(file: Path) -> Iterator[tuple[str, Any]]:
    """Open a file and its groups."""
    xarray = require("xarray", extra="drought")
    settings: dict[str, Any] = {"chunks": None, "decode_timedelta": False}
    if file.is_dir():
        zarr = require("zarr", extra="drought")
        try:
            root = zarr.open_group(str(file), mode="r")
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise VariableError(f"{file} is a folder, but no Zarr store: {error}") from error
        names = ["", *sorted(name for name, _ in root.groups())]
        for name in names:
            if not name and not list(root.array_keys()):
                continue
            yield name, xarray.open_zarr(str(file), group=name or None, consolidated=False, **settings)
        return
    netcdf = require("netCDF4", extra="drought")
    try:
        with netcdf.Dataset(str(file)) as opened:
            groups, root_has = sorted(opened.groups), bool(opened.variables)
    except OSError as error:
        raise VariableError(
            f"{file} can be read neither as NetCDF nor as HDF5: {error}. Is the download complete?"
        ) from error
    if root_has or not groups:
        yield "", xarray.open_dataset(str(file), engine="netcdf4", cache=False, **settings)
    for group in groups:
        yield group, xarray.open_dataset(str(file), engine="netcdf4", group=group, cache=False, **settings)


def _part(dim: Any, dataset: Any) -> str | None:
    coordinate = dataset.variables.get(dim)
    if holds_nothing_but_one(dim, dataset):
        known = parts.part_of(str(dim), coordinate)
        return known if known in (parts.TIME, parts.ROW, parts.COLUMN, parts.CELL) else None
    return parts.part_of(str(dim), coordinate)


def holds_nothing_but_one(dim: Any, dataset: Any) -> bool:
    """Whether a dimension has length 1."""
    return bool(dataset.sizes[dim] == 1)


def _why_not(variable: Any, dataset: Any) -> str:
    if variable.dtype.kind not in "fiub":
        return f"{variable.dtype}"
    seen: list[str] = []
    for dim in variable.dims:
        part = _part(dim, dataset)
        if part in seen:
            return f"two dimensions of {part}"
        if part:
            seen.append(part)
        elif dataset.sizes[dim] > 1 and not parts.holds_labels(dataset.variables.get(dim)):
            return f"dimension {dim}"
    if parts.CELL not in seen and not {parts.ROW, parts.COLUMN} <= set(seen):
        return "not on the grid"
    return ""


def _labels(name: str, variable: Any, dataset: Any) -> Iterator[tuple[str, dict[str, int]]]:
    """Give the variables that lie along a dimension of names, and where; else the variable itself."""
    fixed = {dim: 0 for dim in variable.dims if _part(dim, dataset) is None}
    listed = [dim for dim in fixed if parts.holds_labels(dataset.variables.get(dim))]
    if not listed:
        yield name, fixed
        return
    for number, label in enumerate(dataset[listed[0]].values):
        yield str(label), {**fixed, listed[0]: number}


def _add(fields: dict[str, Field], name: str, group: str, piece: Piece, variable: Any) -> None:
    known = fields.get(name)
    if known is not None and (not piece.days.size or not known.pieces[0].days.size):
        if group and known.pieces[0].path == piece.path:  # another group's map of the same name
            name, known = f"{group}/{name}", fields.get(f"{group}/{name}")
        else:
            return  # a map repeated in each file
    if known is not None:
        known.pieces.append(piece)
        return
    units = variable.attrs.get("units", variable.attrs.get("unit")) if not piece.fixed else None
    fields[name] = Field(name, [piece], units, variable.attrs.get("standard_name"))


def _times(dataset: Any, dim: str) -> np.ndarray:
    if dim in dataset.variables:
        return np.asarray(dataset[dim].values)
    for variable in dataset.coords.values():
        if variable.dims == (dim,) and (
            variable.dtype.kind == "M" or variable.attrs.get("standard_name") == "time"
        ):
            return np.asarray(variable.values)
    return np.arange(dataset.sizes[dim])  # refused as no dates, with a message that says so


def _cell_places(dataset: Any, dim: str, shape: tuple[int, int]) -> np.ndarray:
    places = np.full(shape[0] * shape[1], -1, dtype=np.int64)
    coordinate = dataset.variables.get(dim)
    size = dataset.sizes[dim]
    if coordinate is not None and "compress" in coordinate.attrs:
        of_grid = np.asarray(coordinate.values).astype(np.int64)
        if of_grid.size and (of_grid.min() < 0 or of_grid.max() >= places.size):
            raise GridError(f"{dim} is compressed, but {of_grid.max()} is no cell of a grid of {shape}.")
        places[of_grid] = np.arange(size)
    else:
        places[:size] = np.arange(size)
    return places


def _grid_of(dataset: Any, path: str) -> _Grid | None:
    found: dict[str, str] = {}
    for dim in dataset.sizes:
        part = _part(dim, dataset)
        if part in (parts.ROW, parts.COLUMN, parts.CELL):
            found.setdefault(part, str(dim))
    if parts.CELL in found:
        coordinate = dataset.variables.get(found[parts.CELL])
        compress = "" if coordinate is None else coordinate.attrs.get("compress", "")
        names = compress.split()
        if len(names) == 2 and all(name in dataset.variables for name in names):
            return _Grid(_values(dataset, names[0]), _values(dataset, names[1]), (names[0], names[1]), path)
        if compress:
            raise GridError(
                f"{path}: {found[parts.CELL]} is compressed from {compress!r}, which must be the names of "
                f"two "
                f"coordinates in the same group."
            )
        lat, lon = (_along(dataset, found[parts.CELL], part) for part in (parts.ROW, parts.COLUMN))
        return _Grid(lat[None], lon[None], ("row", found[parts.CELL]), path)
    if parts.ROW not in found or parts.COLUMN not in found:
        return None
    dims = (found[parts.ROW], found[parts.COLUMN])
    for names in (("lat", "lon"), ("latitude", "longitude"), ("nav_lat", "nav_lon"), ("XLAT", "XLONG")):
        if all(name in dataset.variables and dataset[name].ndim == 2 for name in names):
            lat, lon = (np.asarray(dataset[name].transpose(*dims).values, dtype=np.float64) for name in names)
            return _Grid(lat, lon, dims, path)
    return _Grid(_values(dataset, dims[0]), _values(dataset, dims[1]), dims, path)


def _values(dataset: Any, name: str) -> np.ndarray:
    if name in dataset.variables:
        return np.asarray(dataset[name].values, dtype=np.float64)
    return np.arange(dataset.sizes[name], dtype=np.float64)


def _along(dataset: Any, dim: str, part: str) -> np.ndarray:
    for name, variable in dataset.variables.items():
        if variable.dims == (dim,) and parts.part_of(str(name), variable) == part:
            return np.asarray(variable.values, dtype=np.float64)
    return np.arange(dataset.sizes[dim], dtype=np.float64)


def _compare(one: _Grid, other: _Grid) -> tuple[bool, bool]:
    """Say whether rows and columns of another grid run the other way; refuse another grid."""
    flip = []
    for axis, (here, there) in enumerate(((one.lat, other.lat), (one.lon, other.lon))):
        if here.shape != there.shape:
            raise GridError(
                f"{other.path} has a grid of {other.shape}, {one.path} one of {one.shape}. All variables "
                f"must lie on "
                f"one grid: regrid one of them."
            )
        tolerance = 1e-4 * (np.abs(np.diff(here, axis=-1)).max() if here.shape[-1] > 1 else 1.0) + 1e-6
        if np.allclose(here, there, rtol=0, atol=tolerance, equal_nan=True):
            flip.append(False)
        elif here.ndim == 1 and np.allclose(here, there[::-1], rtol=0, atol=tolerance):
            flip.append(True)
        else:
            raise GridError(
                f"{('Latitudes', 'Longitudes')[axis]} of {other.path} differ from those of {one.path} by up "
                f"to "
                f"{np.abs(here - there).max():g}. All variables must lie on one grid: regrid one of them."
            )
    return flip[0], flip[1]
