"""One variable of the user's files, wherever its pieces lie, read by cells and days."""

# n cells, T days, L leads

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lightning_itwin.datamodules.hydro import dimensions as parts

Slabs = dict[Any, np.ndarray]


@dataclass(eq=False)
class Piece:
    """A variable in one file.

    Args:
        variable: xarray's, read when it is sliced.
        dims: its dimension for each part that it has, see ``dimensions``.
        fixed: index along other dimensions, such as the one of a list of names.
        days: days since 1970-01-01 of its steps, or nothing for a map.
        cells: place in the file of each cell of the whole grid, -1 where there is none, for a list of cells.
        path: its file.
    """

    variable: Any
    dims: Mapping[str, str]
    fixed: Mapping[str, int]
    days: np.ndarray
    cells: np.ndarray | None
    path: str
    flip: tuple[bool, bool] = (False, False)
    steps: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def place_on(self, first: int, size: int) -> None:
        """Note for each day of an axis which step of this piece has it, -1 for none; the first of two."""
        self.steps = np.full(size, -1, dtype=np.int64)
        at = self.days - first
        known = np.flatnonzero((at >= 0) & (at < size))[::-1]
        self.steps[at[known]] = known

    def sizes(self, part: str) -> int:
        """Give the length along a part, 1 where the piece does not have it."""
        return int(self.variable.sizes[self.dims[part]]) if part in self.dims else 1

    def read(self, where: Mapping[str, slice], order: tuple[str, ...], slabs: Slabs) -> np.ndarray:
        """Read a box, its dimensions in a wanted order.

        Args:
            where: a slice along each part; others are read whole.
            order: of the parts in what is returned; a part that is not there has length 1.
            slabs: boxes that have been read for a neighbour in the same array.
        """
        key = (
            id(self.variable),
            tuple((part, span.start, span.stop) for part, span in sorted(where.items())),
        )
        labels = tuple(dim for dim in self.fixed if self.variable.sizes[dim] > 1)
        if key not in slabs:
            cut: dict[str, Any] = {self.dims[part]: span for part, span in where.items() if part in self.dims}
            cut |= {dim: index for dim, index in self.fixed.items() if dim not in labels}
            box = self.variable.isel(cut)
            wanted = [self.dims[part] for part in order if part in self.dims]
            slabs[key] = np.asarray(box.transpose(*labels, *wanted).values)
        values = slabs[key][tuple(self.fixed[dim] for dim in labels)]
        return np.expand_dims(values, tuple(at for at, part in enumerate(order) if part not in self.dims))


@dataclass(eq=False)
class Field:
    """A variable.

    Args:
        name: as the user says it.
        pieces: its files, one after the other in time.
        units: as the file says them.
        standard_name: as the file says it.
        scale, offset: to our units.
    """

    name: str
    pieces: list[Piece]
    units: str | None = None
    standard_name: str | None = None
    scale: float = 1.0
    offset: float = 0.0

    def has(self, part: str) -> bool:
        """Whether the variable has a dimension."""
        return part in self.pieces[0].dims

    def sizes(self, part: str) -> int:
        """Give its length along a dimension, 1 where it has none."""
        return self.pieces[0].sizes(part)

    def days(self) -> np.ndarray:
        """Give the days of all pieces as they come, (steps,)."""
        return np.concatenate([piece.days for piece in self.pieces])

    def read(
        self,
        cells: np.ndarray,
        shape: tuple[int, int],
        days: tuple[int, int] | None = None,
        realization: int = 0,
        slabs: Slabs | None = None,
    ) -> np.ndarray:
        """Read cells, in our units, missing values as NaN.

        Args:
            cells: row * columns + column, (n,).
            shape: rows and columns of the whole grid.
            days: first day and the one after the last, on the axis on which the pieces were placed; None for
                a map.
            realization: which history; a variable without that dimension has one for all.
            slabs: see :meth:`Piece.read`.

        Returns:
            (n, T, L) float32; T or L is 1 where the variable has no such dimension.
        """
        slabs = {} if slabs is None else slabs
        steps = 1 if days is None else days[1] - days[0]
        found = np.full((cells.size, steps, self.sizes(parts.LEAD)), np.nan, dtype=np.float32)
        pieces = reversed(self.pieces)  # the first of two has the last word
        for piece in pieces:
            taken = np.zeros(1, dtype=np.int64) if days is None else piece.steps[days[0] : days[1]]
            known = np.flatnonzero(taken >= 0)
            if not known.size:
                continue
            where = {}
            if days is not None and parts.TIME in piece.dims:
                where[parts.TIME] = slice(int(taken[known].min()), int(taken[known].max()) + 1)
            if parts.REALIZATION in piece.dims:
                where[parts.REALIZATION] = slice(realization, realization + 1)
            values, there = self._cells(piece, cells, shape, where, slabs)
            times = taken[known] - where[parts.TIME].start if parts.TIME in where else taken[known] * 0
            contiguous = times.size == values.shape[1] and (np.diff(times) == 1).all()
            values = values if contiguous else values[:, times]
            if known.size == steps and there is None:
                found[:] = values
            else:
                rows = np.arange(cells.size) if there is None else there
                found[np.ix_(rows, known)] = values
        if self.scale != 1.0:
            found *= np.float32(self.scale)
        if self.offset != 0.0:
            found += np.float32(self.offset)
        return found

    @staticmethod
    def _cells(
        piece: Piece, cells: np.ndarray, shape: tuple[int, int], where: dict[str, slice], slabs: Slabs
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Read (n', T, L), and which of the cells these are, None for all."""
        if piece.cells is not None:
            places = piece.cells[cells]
            there = None if (places >= 0).all() else np.flatnonzero(places >= 0)
            places = places if there is None else places[there]
            if not places.size:
                return np.empty((0, 1, 1), dtype=np.float32), np.empty(0, dtype=np.int64)
            low, high = int(places.min()), int(places.max()) + 1
            order = (parts.REALIZATION, parts.CELL, parts.TIME, parts.LEAD)
            box = piece.read({**where, parts.CELL: slice(low, high)}, order, slabs)[0]
            return box[places - low], there
        row, column = np.divmod(cells, shape[1])
        row = shape[0] - 1 - row if piece.flip[0] else row
        column = shape[1] - 1 - column if piece.flip[1] else column
        span = {
            parts.ROW: slice(int(row.min()), int(row.max()) + 1),
            parts.COLUMN: slice(int(column.min()), int(column.max()) + 1),
        }
        on_grid = (parts.REALIZATION, parts.TIME, parts.ROW, parts.COLUMN, parts.LEAD)
        box = piece.read({**where, **span}, on_grid, slabs)[0]
        row, column = row - span[parts.ROW].start, column - span[parts.COLUMN].start
        return np.moveaxis(box[:, row, column], 0, 1), None
