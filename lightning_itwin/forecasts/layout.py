"""What a forecast file holds: where, when, how far ahead, and what it is a forecast of."""

# N series, M cells, T days, L leads, Q quantile levels

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

_SOIL_MOISTURE = "volume_fraction_of_condensed_water_in_soil"
_A_PATH = re.compile(r"(?<![\w:/.])(?:/[\w.@+~-]+){2,}/?")


class ForecastGrid(Protocol):
    """A grid, as ``GriddedHydroDataModule.grid`` is one. Series s is cell s % M in realization s // M.

    Attributes:
        lat: latitude of each row, (rows,), or of each point, (rows, columns).
        lon: longitude of each column, (columns,), or (rows, columns).
        row, column: of each cell, (M,).
        realizations: number of them.
        times: days, datetime64 or cftime, (T,).
        dims: names of the two dimensions.
    """

    @property
    def lat(self) -> np.ndarray: ...
    @property
    def lon(self) -> np.ndarray: ...
    @property
    def row(self) -> np.ndarray: ...
    @property
    def column(self) -> np.ndarray: ...
    @property
    def realizations(self) -> int: ...
    @property
    def times(self) -> np.ndarray: ...
    @property
    def dims(self) -> tuple[str, str]: ...


@dataclass(frozen=True, kw_only=True)
class ForecastTarget:
    """What is forecast.

    Args:
        name: of the variable in the user's data.
        units: of its values, "" where nobody knows them.
        long_name: in words; the file's variables keep it where the target is not soil moisture.
        is_soil_moisture: whether CF's standard name of soil moisture fits.
        anomaly: whether the forecast is one of standardised anomalies; else there is neither an anomaly nor a
            drought probability nor a warning level in the file.
    """

    name: str = "soil_moisture"
    units: str = "m3 m-3"
    long_name: str = ""
    is_soil_moisture: bool = True
    anomaly: bool = True

    @property
    def title(self) -> str:
        """The target in words."""
        return self.long_name or self.name.replace("_", " ")

    @property
    def standard_name(self) -> str | None:
        """CF's standard name, where it is known."""
        return _SOIL_MOISTURE if self.is_soil_moisture and self.units in ("m3 m-3", "1", "") else None


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastLayout:
    """What a forecast file holds.

    Args:
        grid: where the series are, and their days.
        leads: days ahead, rising, from 0, (L,).
        levels: of the quantiles, rising, between 0 and 1, (Q,).
        target: what is forecast.
        attributes: global attributes, such as ``model``, ``calibration``, ``institution``, ``references``;
            text or numbers. Absolute paths are cut to their last part: a file tells nothing of the machine
            that made it.
        grid_mapping: CF attributes of the grid mapping where it is known, such as
            ``{"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0}``.

    Raises:
        ValueError: leads or levels that do not rise, or cannot be.
    """

    grid: ForecastGrid
    leads: Sequence[int]
    levels: Sequence[float]
    target: ForecastTarget = field(default_factory=ForecastTarget)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    grid_mapping: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        leads, levels = np.asarray(self.leads), np.asarray(self.levels, dtype=np.float64)
        if leads.ndim != 1 or not leads.size or leads.min() < 0 or (np.diff(leads) <= 0).any():
            raise ValueError(f"Leads are days from 0, rising, one or more, not {list(self.leads)}.")
        inside = levels.size and levels.min() > 0 and levels.max() < 1
        if levels.ndim != 1 or not inside or (np.diff(levels) <= 0).any():
            raise ValueError(f"Levels rise between 0 and 1, one or more, not {list(self.levels)}.")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        lat, lon = np.asarray(self.grid.lat), np.asarray(self.grid.lon)
        return (lat.shape[0], lat.shape[1]) if lat.ndim == 2 else (lat.size, lon.size)

    @property
    def cells(self) -> int:
        """Number of cells, M."""
        return int(np.asarray(self.grid.row).size)

    @property
    def series(self) -> int:
        """Number of series, N."""
        return self.cells * self.grid.realizations

    @property
    def percentiles(self) -> int:
        """Number of drought percentiles: three, or none without an anomaly."""
        return 3 if self.target.anomaly else 0


def without_paths(value: Any) -> Any:
    """Cut absolute paths in a text to their last part.

    >>> without_paths("trained on /home/me/data/alps.zarr, see https://example.org/a/b")
    'trained on alps.zarr, see https://example.org/a/b'
    """
    if not isinstance(value, str):
        return value
    return _A_PATH.sub(lambda found: found.group().rstrip("/").rpartition("/")[2], value)
