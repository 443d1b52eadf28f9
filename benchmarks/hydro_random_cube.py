"""A converted folder of made-up series of any size, written quickly, to measure memory and set-up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightning_itwin.datamodules.hydro.cell_major import CellMajorFolder
from lightning_itwin.datamodules.hydro.day_axis import DayAxis
from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.source import Columns

_COLUMNS = 400
_AT_ONCE = 512


def write_random_cube(folder: Path, cells: int, years: int, seed: int = 0) -> int:
    """Write a folder in our layout: three inputs, two maps, soil moisture with 1 % of its values missing.

    Args:
        folder: to write.
        cells: number of cells, in rows of 400.
        years: from 1990 on.
        seed: of the values.

    Returns:
        Bytes of the values.
    """
    first = np.datetime64("1990-01-01").astype(np.int64)
    days = int(np.datetime64(f"{1990 + years}-01-01").astype(np.int64) - first)
    number = np.arange(cells)
    rows = -(-cells // _COLUMNS)
    grid = Grid(
        lat=44 + 0.01 * np.arange(rows),
        lon=6 + 0.01 * np.arange(_COLUMNS),
        row=number // _COLUMNS,
        column=number % _COLUMNS,
        realizations=1,
        axis=DayAxis(int(first), days),
    )
    names = ("precipitation", "temperature", "potential_evapotranspiration")
    columns = Columns(
        inputs=names,
        statics=("elevation", "field_capacity"),
        target="soil_moisture",
        meanings={name: name for name in (*names, "soil_moisture")},
        logarithms=("precipitation",),
    )
    random = np.random.default_rng(seed)
    made = CellMajorFolder.create(folder, columns, grid, random.random((cells, 2)).astype(np.float32))
    season = np.cos(2 * np.pi * np.arange(days) / 365.25).astype(np.float32)
    noise = random.standard_normal((_AT_ONCE, days + 64, 4)).astype(np.float32)
    noise[:, :, 0] = np.maximum(noise[:, :, 0], 0) * 8
    for begin in range(0, cells, _AT_ONCE):
        series = np.arange(begin, min(begin + _AT_ONCE, cells))
        block = noise[: series.size, begin // _AT_ONCE % 64 :][:, :days].copy()
        block[:, :, 1] += 8 - 10 * season
        block[:, :, 3] = 0.3 + 0.05 * season + 0.02 * block[:, :, 3]
        block[:, begin % days :: 100, 3] = np.nan
        made.write(series, 0, days, block)
    return cells * days * columns.width * 4
