"""Series read from the user's NetCDF and Zarr files as they are."""

# N series, M cells, T days, V columns, S maps

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from lightning_itwin.datamodules.hydro import dimensions as parts
from lightning_itwin.datamodules.hydro.day_axis import DayAxis, TimeAxisError, check_days
from lightning_itwin.datamodules.hydro.fields import Field, Slabs
from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.opened_files import GridError, OpenedFiles, open_files
from lightning_itwin.datamodules.hydro.source import Columns
from lightning_itwin.datamodules.hydro.variables import (
    HydroVariables,
    VariableError,
    same_sense,
    sense,
    to_our_units,
)

_SCANNED_BYTES = 2**30
_SCANNED_DAYS = 24
_GROUP_CELLS = 4096


class XarraySource:
    """Series of the user's files.

    The time axis are the days on which there are all inputs; on its other days the target is missing.

    Args:
        path: NetCDF file or Zarr folder, several, or patterns.
        variables: their names.

    Raises:
        FileNotFoundError: there is no such file.
        VariableError: a variable is missing, or has units that its meaning cannot have.
        GridError: variables do not lie on one grid, or no cell is left.
        TimeAxisError: days are out of order, double or missing, and are not to be repaired.
        MissingExtraError: xarray is not installed.
    """

    def __init__(self, path: str | Path | Sequence[str], variables: HydroVariables) -> None:
        files = open_files(path if isinstance(path, str | Path) else list(path))  # type: ignore[arg-type]
        self._shape = files.shape
        self._inputs = [_find(files, name, "inputs", parts.TIME) for name in variables.inputs]
        self._weather = [_find(files, name, "weather", parts.LEAD) for name in variables.weather or []]
        self._target = _find(files, variables.target, "target", parts.TIME)
        meanings = self._units(variables)
        axis = self._axis(variables.times == "repair", files.calendar)
        for one in self._dynamic:
            for piece in one.pieces:
                piece.place_on(axis.first, axis.size)
        realizations = self._realizations()
        cells = np.arange(self._shape[0] * self._shape[1])
        if variables.mask is not None:
            cells = cells[self._masked(files, variables.mask, cells)]
        cells = cells[self._any_target(cells, axis)]
        if not cells.size:
            raise GridError(
                f"No cell of {path} has a value of {self._target.name!r}"
                + (f" where {variables.mask!r} keeps it." if variables.mask else ".")
            )
        self._cells = cells
        row, column = np.divmod(cells, self._shape[1])
        self.grid = Grid(
            lat=files.lat,
            lon=files.lon,
            row=row,
            column=column,
            realizations=realizations,
            axis=axis,
            dims=files.dims,
        )
        statics, self.statics = self._maps(files, variables)
        leads = {one.sizes(parts.LEAD) for one in self._weather}
        if len(leads) > 1:
            raise VariableError(f"weather variables have {sorted(leads)} leads; they must have the same.")
        logarithms = variables.logarithms
        if logarithms is None:
            logarithms = [name for name in variables.inputs if meanings.get(name) == "precipitation"]
        self.columns = Columns(
            inputs=tuple(variables.inputs),
            statics=tuple(statics),
            target=variables.target,
            weather=tuple(variables.weather or ()),
            weather_leads=leads.pop() if leads else 0,
            units={one.name: one.units or "" for one in self._dynamic},
            meanings=meanings,
            logarithms=tuple(logarithms),
        )

    def read(self, series: np.ndarray, first: int, end: int, out: np.ndarray | None = None) -> np.ndarray:
        """See ``CubeSource``."""
        if out is None:
            out = np.empty((series.size, end - first, self.columns.width), dtype=np.float32)
        history, cell = np.divmod(series, self.grid.cells)
        place = self._group_of_cell[cell]
        for realization in np.unique(history):
            for group in np.unique(place[history == realization]):
                rows = np.flatnonzero((history == realization) & (place == group))
                self._read_group(out, rows, self._cells[cell[rows]], first, end, int(realization))
        return out

    def tiles(self, budget_bytes: int) -> Iterator[tuple[np.ndarray, int, int]]:
        """See ``CubeSource``."""
        cells, size = self.grid.cells, self.grid.axis.size
        day_bytes = 4 * self.columns.width
        for realization in range(self.grid.realizations):
            base = realization * cells
            if self._time_slabs():
                days = max(1, budget_bytes // (day_bytes * cells))
                chunk = self._chunk_days()
                days = days // chunk * chunk if days >= chunk else days
                for first in range(0, size, days):
                    yield base + np.arange(cells), first, min(first + days, size)
                continue
            most = max(1, budget_bytes // (day_bytes * size))
            for group in self._cell_groups():
                for begin in range(0, group.size, most):
                    yield base + group[begin : begin + most], 0, size

    @cached_property
    def _group_of_cell(self) -> np.ndarray:
        found = np.empty(self.grid.cells, dtype=np.int64)
        for number, group in enumerate(self._cell_groups()):
            found[group] = number
        return found

    def groups(self) -> list[np.ndarray]:
        """See ``CubeSource``."""
        of_cells = self._cell_groups()
        bases = np.arange(self.grid.realizations) * self.grid.cells
        return [base + group for base in bases for group in of_cells]

    def reads_per_use(self) -> float:
        """See ``CubeSource``."""
        piece = self._target.pieces[0]
        chunks = _chunks(piece)
        if chunks is None or parts.CELL in piece.dims:
            return 1.0
        read = used = 0
        for group in self._cell_groups():
            row, column = np.divmod(self._cells[group], self._shape[1])
            area = 1
            for at, part in ((row, parts.ROW), (column, parts.COLUMN)):
                chunk = chunks[part]
                area *= (int(at.max()) // chunk - int(at.min()) // chunk + 1) * chunk
            read, used = read + area, used + group.size
        return read / max(1, used)

    @property
    def _dynamic(self) -> list[Field]:
        return [*self._inputs, *self._weather, self._target]

    def _units(self, variables: HydroVariables) -> dict[str, str]:
        meanings: dict[str, str] = {}
        asked = [*variables.inputs, *(variables.weather or []), variables.target]
        for name, one in zip(asked, self._dynamic):
            meaning = sense(name, one.name, one.standard_name)
            one.name = name
            if meaning is None:
                continue
            meanings[name] = meaning
            known = to_our_units(meaning, one.units)
            if known is not None:
                one.scale, one.offset = known
                one.units = "degC" if meaning == "temperature" else "mm d-1"
            elif one.units and meaning == "temperature":
                raise VariableError(
                    f"{name} is a temperature in {one.units!r}; write K or degC into the file's units."
                )
        return meanings

    def _axis(self, repair: bool, calendar: str) -> DayAxis:
        spans: dict[str, np.ndarray] = {}
        for one in self._dynamic:
            days = one.days()
            check_days(days, calendar, repair, one.name)
            spans[one.name] = days
        inputs = [spans[one.name] for one in self._inputs]
        first, end = max(int(days.min()) for days in inputs), min(int(days.max()) for days in inputs) + 1
        target = spans[self._target.name]
        if end <= first or target.max() < first or target.min() >= end:
            axis = DayAxis(0, 0, calendar)
            told = [
                f"{name} {axis.text(int(d.min()))} to {axis.text(int(d.max()))}" for name, d in spans.items()
            ]
            raise TimeAxisError(f"The variables have no days in common: {'; '.join(told)}.")
        return DayAxis(first, end - first, calendar)

    def _realizations(self) -> int:
        sizes = {one.sizes(parts.REALIZATION) for one in self._dynamic} - {1}
        if len(sizes) > 1:
            raise GridError(f"Variables have {sorted(sizes)} realizations; they must have the same number.")
        return sizes.pop() if sizes else 1

    def _masked(self, files: OpenedFiles, mask: str, cells: np.ndarray) -> np.ndarray:
        turned = mask.startswith("not ")
        one = _find(files, mask.removeprefix("not ").strip(), "mask", None)
        values = one.read(cells, self._shape)[:, 0, 0]
        kept = np.isfinite(values) & (values != 0)
        return ~kept if turned else kept

    def _any_target(self, cells: np.ndarray, axis: DayAxis) -> np.ndarray:
        """Which cells have a value of the target: on any day where that reads quickly, else on some days."""
        piece_days = np.flatnonzero(np.any([piece.steps >= 0 for piece in self._target.pieces], axis=0))
        few = cells.size * piece_days.size * 4 > _SCANNED_BYTES
        days = np.unique(piece_days[np.linspace(0, piece_days.size - 1, _SCANNED_DAYS).astype(int)])
        there = np.zeros(cells.size, dtype=bool)
        if few:
            for day in days:
                values = self._target.read(cells, self._shape, (int(day), int(day) + 1))
                there |= np.isfinite(values[:, 0, 0])
            return there
        step = max(1, 2**27 // (4 * cells.size))
        for first in range(0, axis.size, step):
            values = self._target.read(cells, self._shape, (first, min(first + step, axis.size)))
            there |= np.isfinite(values[:, :, 0]).any(axis=1)
            if there.all():
                break
        return there

    def _maps(self, files: OpenedFiles, variables: HydroVariables) -> tuple[list[str], np.ndarray]:
        if variables.statics is not None:
            found = [_find(files, name, "statics", None) for name in variables.statics]
            names = list(variables.statics)
        else:
            mask = (variables.mask or "").removeprefix("not ").strip()
            found = [one for one in files.fields.values() if not one.has(parts.TIME) and one.name != mask]
            found = [one for one in found if not one.has(parts.REALIZATION) and not one.has(parts.LEAD)]
            found.sort(key=lambda one: one.name)  # a store lists them in any order
            names = [one.name for one in found]
        slabs: Slabs = {}
        maps = [one.read(self._cells, self._shape, slabs=slabs)[:, 0, 0] for one in found]
        if variables.statics is None:
            varies = [np.isfinite(values).any() and np.nanmax(values) > np.nanmin(values) for values in maps]
            names = [name for name, does in zip(names, varies) if does]
            maps = [values for values, does in zip(maps, varies) if does]
        if not maps:
            return [], np.empty((self._cells.size, 0), dtype=np.float32)
        return names, np.stack(maps, axis=1).astype(np.float32)

    def _read_group(
        self, out: np.ndarray, rows: np.ndarray, cells: np.ndarray, first: int, end: int, realization: int
    ) -> None:
        """Read neighbouring cells into some rows."""
        target = slice(int(rows[0]), int(rows[-1]) + 1) if rows.size == rows[-1] - rows[0] + 1 else rows
        slabs: Slabs = {}
        columns = [*range(len(self._inputs)), self.columns.width - 1]
        for column, one in zip(columns, (*self._inputs, self._target)):
            out[target, :, column] = one.read(cells, self._shape, (first, end), realization, slabs)[:, :, 0]
        count = len(self._weather)
        for number, one in enumerate(self._weather):
            values = one.read(cells, self._shape, (first, end), realization)
            for lead in range(values.shape[2]):
                out[target, :, len(self._inputs) + lead * count + number] = values[:, :, lead]

    def _chunk_days(self) -> int:
        chunks = _chunks(self._target.pieces[0])
        return 1 if chunks is None else chunks[parts.TIME]

    def _time_slabs(self) -> bool:
        """Whether the files are read faster by days than by cells."""
        piece = self._target.pieces[0]
        chunks = _chunks(piece)
        if chunks is None:  # one run of bytes: the dimension that comes first is the slow one
            spatial = [dim for part, dim in piece.dims.items() if part in (parts.ROW, parts.CELL)]
            dims = list(piece.variable.dims)
            return dims.index(piece.dims[parts.TIME]) < dims.index(spatial[0])
        cells = np.prod([piece.sizes(part) / chunks[part] for part in (parts.ROW, parts.COLUMN, parts.CELL)])
        return bool(piece.sizes(parts.TIME) / chunks[parts.TIME] >= cells)

    def _cell_groups(self) -> list[np.ndarray]:
        """Cells in groups that share chunks of the file, numbers among the cells that are used."""
        piece = self._target.pieces[0]
        chunks = _chunks(piece)
        count = self._cells.size
        if parts.CELL in piece.dims or chunks is None or chunks[parts.ROW] * chunks[parts.COLUMN] == 1:
            step = _GROUP_CELLS if chunks is None or parts.CELL not in piece.dims else chunks[parts.CELL]
            return [np.arange(begin, min(begin + step, count)) for begin in range(0, count, step)]
        row, column = np.divmod(self._cells, self._shape[1])
        across = -(-self._shape[1] // chunks[parts.COLUMN])
        chunk = row // chunks[parts.ROW] * across + column // chunks[parts.COLUMN]
        order = np.argsort(chunk, kind="stable")
        edges = np.flatnonzero(np.diff(chunk[order])) + 1
        return [
            group[begin : begin + _GROUP_CELLS]
            for group in np.split(order, edges)
            for begin in range(0, group.size, _GROUP_CELLS)
        ]


def _chunks(piece: object) -> dict[str, int] | None:
    """Chunk length along each part, or None for a file without chunks."""
    variable, dims = piece.variable, piece.dims  # type: ignore[attr-defined]
    preferred = variable.encoding.get("preferred_chunks") or {}
    sizes = variable.encoding.get("chunksizes")
    if not preferred and sizes and not variable.encoding.get("contiguous"):
        preferred = dict(zip(variable.dims, sizes))
    if not preferred:
        return None
    every = (parts.TIME, parts.ROW, parts.COLUMN, parts.CELL)
    return {
        part: int(preferred.get(dims[part], variable.sizes[dims[part]])) if part in dims else 1
        for part in every
    }


def _find(files: OpenedFiles, name: str, setting: str, needed: str | None) -> Field:
    """Find a variable by its name, or one of the default's names by sense."""
    found = files.fields.get(name)
    if found is None:
        others = same_sense(name)
        found = next(
            (
                one
                for one in files.fields.values()
                if one.name.lower() in others or (one.standard_name or "") in others
            ),
            None,
        )
    if found is None:
        raise VariableError(f"{setting}: there is no variable {name!r}. The files have {files.listing()}.")
    if needed is not None and not found.has(needed):
        raise VariableError(
            f"{setting}: {name!r} has no dimension of {needed}. The files have {files.listing()}."
        )
    if needed is None and found.has(parts.TIME) and found.days().size > 1:
        raise VariableError(f"{setting}: {name!r} is a series in time, not a map.")
    return found
