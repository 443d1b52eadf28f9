"""Which days and which cells belong to training, calibration, validation and test."""

# N series, M cells, T days of a window, H longest lead

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from lightning_itwin.datamodules.hydro.day_axis import DayAxis, TimeAxisError
from lightning_itwin.datamodules.hydro.grid import Grid

SPLITS = ("train", "calibration", "val", "test")
_HELD_OUT_SHARE = 0.25

Period = list[str] | tuple[str, str] | float


class SplitError(ValueError):
    """A split has no days, no cells, or days of another; the message names it and what to change."""


@dataclass(frozen=True, kw_only=True)
class SplitPeriods:
    """The days of each split: first and last date, ``["1990-01-01", "2007-12-31"]``, or shares of the axis.

    Shares follow one another in the order train, calibration, val, test. Dates and shares do not mix. A split
    with share 0 is empty. Years or months stand for all their days: ``["1990", "2007"]``.

    Args:
        train: for training, and for all statistics and climatologies.
        calibration: for the conformal calibration of forecasts.
        val: for validation during training.
        test: for test.
    """

    train: Period = 0.6
    calibration: Period = 0.15
    val: Period = 0.1
    test: Period = 0.15

    def __post_init__(self) -> None:
        values = [getattr(self, one.name) for one in fields(self)]
        shares = [value for value in values if isinstance(value, int | float) and value]
        dates = [value for value in values if not isinstance(value, int | float)]
        if shares and dates:
            raise SplitError(f"periods are all dates or all shares (a split may be 0), not {values}.")
        if shares and (min(shares) < 0 or sum(shares) > 1 + 1e-6):
            raise SplitError(f"shares of periods must be at least 0 and come to 1 at most, not {values}.")
        if any(len(date) != 2 for date in dates):
            raise SplitError(f"a period is its first and its last date, not {values}.")

    def spans(self, axis: DayAxis) -> dict[str, tuple[int, int]]:
        """Give the first day of each split and the one after its last, on an axis.

        Raises:
            SplitError: two splits share days, or one of dates lies outside the axis.
            TimeAxisError: this is no date.
        """
        found: dict[str, tuple[int, int]] = {}
        begun = 0.0
        for name in SPLITS:
            value = getattr(self, name)
            if isinstance(value, int | float):
                first = round(begun * axis.size)
                begun += value
                found[name] = (first, min(axis.size, round(begun * axis.size)))
                continue
            first, end = axis.index(str(value[0])), _end(axis, str(value[1]))
            if end <= 0 or first >= axis.size or end <= first:
                raise SplitError(
                    f"{name} from {value[0]} to {value[1]} has no day of the data, which go from "
                    f"{axis.text(0)} to "
                    f"{axis.text(axis.size - 1)}."
                )
            found[name] = (max(0, first), min(axis.size, end))
        for one in SPLITS:
            for other in SPLITS[SPLITS.index(one) + 1 :]:
                (a, b), (c, d) = found[one], found[other]
                if max(a, c) < min(b, d):
                    raise SplitError(
                        f"{one} and {other} share the days {axis.text(max(a, c))} to "
                        f"{axis.text(min(b, d) - 1)}."
                    )
        return found


def _end(axis: DayAxis, date: str) -> int:
    numbers = date.strip().split("T")[0].split("-")
    try:
        if len(numbers) == 1:
            return axis.index(f"{int(numbers[0]) + 1}-01-01")
        if len(numbers) == 2:
            year, month = int(numbers[0]), int(numbers[1])
            return axis.index(f"{year + month // 12}-{month % 12 + 1}-01")
    except ValueError as error:
        raise TimeAxisError(f"{date!r} is no date YYYY-MM-DD of calendar {axis.calendar}.") from error
    return axis.index(date) + 1


def window_starts(span: tuple[int, int], seq_length: int, warmup: int, horizon: int) -> tuple[int, int]:
    """Give the first start of a window of a split, and the one after the last.

    The days that count lie inside the split: those that are forecast from the steps after the warm-up, and
        the
    longest lead from the last step. The days of the warm-up may lie before it, where they are inputs alone.

    Args:
        span: of the split.
        seq_length: days of a window.
        warmup: its days that do not count.
        horizon: the longest lead, in days.
    """
    first, end = span
    return max(0, first - warmup), end - seq_length - horizon + 1


def split_cells(grid: Grid, split: str, interval_value: int, block_split: int, seed: int) -> np.ndarray:
    """Give the cells of a split.

    Args:
        grid: of the data.
        split: its name.
        interval_value: every how many rows and columns a cell is taken; splits begin at other cells. 1 takes
            all.
        block_split: side of square blocks, in cells; a quarter of those that hold cells is held out from
            training and makes up the other splits. 0 leaves it out.
        seed: of the choice of blocks.

    Returns:
        Numbers of cells, rising.

    Raises:
        SplitError: no cell is left.
    """
    kept = np.ones(grid.cells, dtype=bool)
    if interval_value > 1:
        step = interval_value
        origin = {"train": (0, 0), "val": (1, 1), "calibration": (1, 0)}
        origin["test"] = (2, 2) if step > 2 else (0, 1)
        row, column = origin[split]
        kept &= (grid.row % step == row) & (grid.column % step == column)
    if block_split:
        across = -(-grid.shape[1] // block_split)
        block = grid.row // block_split * across + grid.column // block_split
        blocks = np.unique(block)
        if blocks.size < 2:
            raise SplitError(
                f"block_split={block_split} makes one block of the grid of {grid.shape}; choose a smaller "
                f"one."
            )
        order = np.random.Generator(np.random.Philox(key=[seed, 2])).permutation(blocks)
        held_out = order[: max(1, round(_HELD_OUT_SHARE * blocks.size))]
        kept &= np.isin(block, held_out) != (split == "train")
    cells = np.flatnonzero(kept)
    if not cells.size:
        raise SplitError(
            f"No cell is left for {split} with interval_value={interval_value} and "
            f"block_split={block_split} among "
            f"{grid.cells} cells on a grid of {grid.shape}; lower them."
        )
    return cells
