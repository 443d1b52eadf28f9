"""Cut windows out of prepared series: from all of them in memory, or from one block after the other."""

# N series, n series of a block, B batch, T days of the axis, W days of a window with its leads, V columns, P
# percentiles

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.hydro.batch import HydroBatch
from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.preparation import DROUGHT_LEVELS, Preparation
from lightning_itwin.datamodules.hydro.source import CubeSource
from lightning_itwin.datamodules.hydro.window_order import Windows


@dataclass(frozen=True, kw_only=True)
class WindowShape:
    """What a window holds.

    Args:
        seq_length: its days.
        horizon: the longest lead, in days.
        inputs: number of inputs, the first columns.
        weather: number of leads and of statistics of a weather forecast.
    """

    seq_length: int
    horizon: int
    inputs: int
    weather: tuple[int, int] = (0, 0)

    @property
    def days(self) -> int:
        """Days with the leads, W."""
        return self.seq_length + self.horizon


class WindowMaker:
    """Makes batches of windows of prepared values.

    Args:
        shape: of a window.
        grid: of the data.
        static: standardised maps, (M, S).
        context: means of the domain, (R, T, C).
        preparation: of the data, for thresholds.
    """

    def __init__(
        self,
        shape: WindowShape,
        grid: Grid,
        static: Tensor,
        context: Tensor,
        preparation: Preparation,
    ) -> None:
        self.shape = shape
        self._static = static
        self._context = context
        self._cells, self._days = grid.cells, grid.axis.size
        # days before the axis, which windows with a short history begin with, have the fraction they would
        # have
        self._before = shape.days
        extended = _extended_fraction(grid, self._before, shape.days)
        self._fraction = torch.from_numpy(extended)
        self._preparation = preparation
        self._cycle = _cycle(extended, grid.axis.size + 2 * shape.days)
        self._of_cycle = self._fraction[: min(self._cycle + shape.days, extended.size)]

    def table_shape(self, series: int) -> tuple[int, int, int]:
        """Give the shape of a table of thresholds, (n, days of a cycle of the calendar + W, P)."""
        levels = 0 if self._preparation.climatology is None else len(DROUGHT_LEVELS)
        return series, len(self._of_cycle), levels

    def fill_table(self, series: np.ndarray, out: Tensor) -> None:
        """Lay out the thresholds of some series in a table."""
        self._preparation.thresholds(series, self._of_cycle, out)

    def make(
        self, values: Tensor, first: int, rows: Tensor, windows: Windows, table: tuple[Tensor, Tensor] | None
    ) -> HydroBatch:
        """Make a batch.

        Args:
            values: prepared, (n, days at hand, V), contiguous.
            first: the first day at hand.
            rows: row in ``values`` of each window's series, (B,).
            windows: series and starts.
            table: of thresholds, and the row in it of each window; None where there is none.
        """
        shape = self.shape
        series, start = torch.from_numpy(windows.series), torch.from_numpy(windows.start)
        at_hand, width = values.shape[1:]
        low, high = int(windows.start.min()), int(windows.start.max()) + shape.days
        if low >= first and high <= first + at_hand:
            flat = values.view(-1)
            count = len(values) * at_hand - shape.days + 1
            every = flat.as_strided((count, shape.days * width), (width, 1), flat.storage_offset())
            cut = torch.index_select(every, 0, rows * at_hand + (start - first))
            cut = cut.view(len(start), shape.days, width)
        else:
            cut = self._short(values, first, rows, start)
        length, inputs = shape.seq_length, shape.inputs
        leads, statistics = shape.weather
        weather = None
        if leads:
            weather = cut[:, :length, inputs:-1].reshape(len(start), length, leads, statistics)
        cell = series % self._cells
        return HydroBatch(
            dynamic=cut[:, :length, :inputs],
            static=self._static.index_select(0, cell),
            context=self._regional(series, start),
            year_fraction=_slices(self._fraction, start + self._before, shape.days),
            target=cut[:, :, -1],
            thresholds=self._drought(cell, start, table),
            series=series,
            start=start,
            weather=weather,
        )

    def _short(self, values: Tensor, first: int, rows: Tensor, start: Tensor) -> Tensor:
        """Cut windows that reach beyond the days at hand: inputs are 0 there, the others missing."""
        day = start[:, None] - first + torch.arange(self.shape.days)
        there = (day >= 0) & (day < values.shape[1])
        cut = values[rows[:, None], day.clamp(0, values.shape[1] - 1)]
        beyond = torch.full((values.shape[2],), torch.nan)
        beyond[: self.shape.inputs] = 0.0
        return torch.where(there[..., None], cut, beyond)

    def _regional(self, series: Tensor, start: Tensor) -> Tensor:
        histories, days, width = self._context.shape
        length = self.shape.seq_length
        if not width:
            return torch.empty(len(start), length, 0)
        begin = torch.div(series, self._cells, rounding_mode="floor") * days + start
        if int(start.min()) >= 0 and int(start.max()) + length <= days:
            return _slices(self._context.reshape(histories * days, width), begin, length)
        day = start[:, None] + torch.arange(length)
        there = (day >= 0) & (day < days)
        history = torch.div(series, self._cells, rounding_mode="floor")
        cut = self._context[history[:, None], day.clamp(0, days - 1)]
        return torch.where(there[..., None], cut, 0.0)

    def _drought(self, cell: Tensor, start: Tensor, table: tuple[Tensor, Tensor] | None) -> Tensor:
        days = self.shape.days
        if self._preparation.climatology is None:
            return torch.empty(len(start), days, 0)
        place = start + self._before
        if table is None:
            fraction = _slices(self._fraction, place, days)
            return self._preparation.climatology.thresholds(cell, fraction, DROUGHT_LEVELS).float()
        rows, length, levels = table[0].shape
        flat = table[0].view(rows * length, levels)
        return _slices(flat, table[1] * length + place % self._cycle, days)


class MemoryWindows:
    """Windows of series that are all in memory.

    Args:
        maker: makes the batches.
        values: all series, prepared, (N, T, V).
        cells: number of cells.
    """

    def __init__(self, maker: WindowMaker, values: Tensor, cells: int) -> None:
        self._maker = maker
        self._values = values
        self._cells = cells
        self._table = torch.empty(maker.table_shape(cells))
        maker.fill_table(np.arange(cells), self._table)

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Nothing is to be prepared."""

    def read(self, events: Windows, epoch: int, number: int) -> HydroBatch:
        """Make the batch of some windows."""
        series = torch.from_numpy(events.series)
        return self._maker.make(self._values, 0, series, events, (self._table, series % self._cells))


class BlockWindows:
    """Windows of series that lie on disk: one block is in memory, in a buffer that is used again.

    Args:
        maker: makes the batches.
        source: reads values.
        preparation: standardises them in place.
        buffer: where blocks are read to; it grows to the largest block and is shared by the splits.
    """

    def __init__(
        self, maker: WindowMaker, source: CubeSource, preparation: Preparation, buffer: BlockBuffer
    ) -> None:
        self._maker = maker
        self._source = source
        self._preparation = preparation
        self._buffer = buffer

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Nothing is to be prepared: the buffer grows with the first block."""

    def read(self, events: Windows, epoch: int, number: int) -> HydroBatch:
        """Make the batch of some windows; read their block where it is not the last one."""
        size = self._source.grid.axis.size
        if events.block is None:
            series, rows = np.unique(events.series, return_inverse=True)
            first = max(0, int(events.start.min()))
            end = min(size, int(events.start.max()) + self._maker.shape.days)
            values, _ = self._buffer.take((series.size, end - first, self._source.columns.width), (0, 0, 0))
            self._fill(values, series, first, end)
            return self._maker.make(values, first, torch.from_numpy(rows.astype(np.int64)), events, None)
        series = events.block
        held = self._buffer.held(self, series)
        if held is None:
            shape = (series.size, size, self._source.columns.width)
            held = self._buffer.take(shape, self._maker.table_shape(series.size))
            self._fill(held[0], series, 0, size)
            self._maker.fill_table(series, held[1])
            self._buffer.keep(self, series, held)
        at = torch.from_numpy(np.searchsorted(series, events.series))
        return self._maker.make(held[0], 0, at, events, (held[1], at))

    def _fill(self, values: Tensor, series: np.ndarray, first: int, end: int) -> None:
        self._source.read(series, first, end, values.numpy())
        self._preparation(values, series, first)


class BlockBuffer:
    """The memory of one block with its thresholds, and whose series lie in it."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)
        self._kept: tuple[object, np.ndarray, tuple[Tensor, Tensor]] | None = None

    def take(self, *shapes: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Give the memory in the shapes of values and thresholds; what was in it is gone."""
        self._kept = None
        sizes = [int(np.prod(shape)) for shape in shapes]
        if self._memory.numel() < sum(sizes):
            self._memory = torch.empty(0)  # before there is another
            self._memory = torch.empty(sum(sizes))
        values, thresholds = self._memory[: sum(sizes)].split(sizes)
        return values.view(shapes[0]), thresholds.view(shapes[1])

    def held(self, owner: object, series: np.ndarray) -> tuple[Tensor, Tensor] | None:
        """Give values and thresholds where they are still those of an owner and its series."""
        if self._kept is not None and self._kept[0] is owner and np.array_equal(self._kept[1], series):
            return self._kept[2]
        return None

    def keep(self, owner: object, series: np.ndarray, held: tuple[Tensor, Tensor]) -> None:
        """Note whose they are."""
        self._kept = (owner, series, held)


def _slices(rows: Tensor, begin: Tensor, length: int) -> Tensor:
    """Give stretches of rows, (T,) or (T, C), that begin at some rows: (B, length) or (B, length, C)."""
    width = rows.shape[1] if rows.ndim == 2 else 1
    flat = rows.reshape(-1)
    every = flat.as_strided((len(rows) - length + 1, length * width), (width, 1), flat.storage_offset())
    cut = torch.index_select(every, 0, begin)
    return cut.view(len(begin), length, width) if rows.ndim == 2 else cut


def _extended_fraction(grid: Grid, before: int, beyond: int) -> np.ndarray:
    axis = grid.axis
    return type(axis)(axis.first - before, axis.size + before, axis.calendar).year_fraction(beyond)


def _cycle(fraction: np.ndarray, size: int) -> int:
    """Give after how many days the calendar repeats itself on this axis; all its days where it does not."""
    for days in (360, 365, 366, 4 * 365 + 1):
        if days < size and np.array_equal(fraction[days:], fraction[:-days]):
            return days
    return size
