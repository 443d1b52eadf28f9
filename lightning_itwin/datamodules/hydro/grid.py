"""Where and when the series of a data set are."""

# N series (cell x realization), M cells, T days

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.datamodules.hydro.day_axis import DayAxis


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The grid and time axis of a data set.

    Series ``s`` is cell ``s % cells`` in realization ``s // cells``.

    Args:
        lat: latitude of each row, (rows,), or of each point of a curvilinear grid, (rows, columns).
        lon: longitude of each column, (columns,), or (rows, columns).
        row, column: of each cell that is used, (M,) int64.
        realizations: number of weather histories of the same cells.
        axis: the time axis.
        dims: names of the two dimensions in the file.
    """

    lat: np.ndarray
    lon: np.ndarray
    row: np.ndarray
    column: np.ndarray
    realizations: int
    axis: DayAxis
    dims: tuple[str, str] = ("lat", "lon")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        if self.lat.ndim == 2:
            return self.lat.shape[0], self.lat.shape[1]
        return self.lat.size, self.lon.size

    @property
    def cells(self) -> int:
        """Number of cells that are used."""
        return self.row.size

    @property
    def series(self) -> int:
        """Number of series."""
        return self.cells * self.realizations

    @property
    def times(self) -> np.ndarray:
        """Days, ``datetime64[D]`` or cftime objects, (T,)."""
        return self.axis.times

    @property
    def index(self) -> np.ndarray:
        """Row and column of each series, (N, 2) int64."""
        return np.tile(np.stack([self.row, self.column], axis=1), (self.realizations, 1))

    @property
    def realization(self) -> np.ndarray:
        """Realization of each series, (N,) int64."""
        return np.repeat(np.arange(self.realizations), self.cells)

    @property
    def cell(self) -> np.ndarray:
        """Cell of each series, (N,) int64."""
        return np.tile(np.arange(self.cells), self.realizations)

    def positions(self) -> np.ndarray:
        """Give latitude and longitude of each cell, (M, 2) float64."""
        if self.lat.ndim == 2:
            return np.stack([self.lat[self.row, self.column], self.lon[self.row, self.column]], axis=1)
        return np.stack([self.lat[self.row], self.lon[self.column]], axis=1)
