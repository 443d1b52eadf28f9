"""What stands in the file of a simulated region: variables, dimensions, chunks and CF attributes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lightning_itwin.hydrology.terrain import Terrain
from lightning_itwin.hydrology.weather_forecast import STATISTICS, WEATHER_LEADS

FORECAST_CHUNK_DAYS = 64
_CHUNK_DAYS, _CHUNK_BYTES = 512, 2**29  # the bytes are those of all series of all cells
_CHUNK_CELLS = 32  # along each horizontal axis

GLOBAL_ATTRIBUTES = {
    "Conventions": "CF-1.10",
    "title": "simulated weather and soil moisture of a mountain region",
    "source": "lightning_itwin.hydrology.AlpsSimulator",
}

# name: standard name (empty where CF has none), long name, units, cell methods
SERIES = {
    "precipitation": ("lwe_precipitation_rate", "precipitation", "mm d-1", "time: mean"),
    "temperature": ("air_temperature", "air temperature", "degC", "time: mean"),
    "potential_evapotranspiration": ("", "potential evapotranspiration", "mm d-1", "time: mean"),
    "soil_moisture": (
        "volume_fraction_of_condensed_water_in_soil",
        "soil moisture of the root zone at the end of the day",
        "m3 m-3",
        "time: point",
    ),
}
_FORECASTS = {
    name: (
        "",
        f"{name.split('_')[1]} of the weather forecast's {name.split('_')[0]}",
        "mm d-1" if name.startswith("precipitation") else "degC",
        "",
    )
    for name in STATISTICS
}
_CONDENSED = "volume_fraction_of_condensed_water_in_soil"
_MAPS = {
    "elevation": ("surface_altitude", "elevation", "m", ""),
    "slope": ("", "slope, rise over run", "1", ""),
    "annual_precipitation": ("", "expected precipitation", "mm year-1", ""),
    "wilting_point": (f"{_CONDENSED}_at_wilting_point", "wilting point", "m3 m-3", ""),
    "field_capacity": (f"{_CONDENSED}_at_field_capacity", "field capacity", "m3 m-3", ""),
    "root_depth": ("root_depth", "thickness of the root zone", "mm", ""),
    "recharge_exponent": ("", "exponent of groundwater recharge", "1", ""),
    "evaporation_limit": ("", "share of available water above which evaporation is potential", "1", ""),
    "degree_day_factor": ("", "degree-day factor of snow melt", "mm K-1 d-1", ""),
    "percolation": ("", "largest percolation to the lower store", "mm d-1", ""),
    "fast_recession": ("", "share of the upper store that drains in a day", "d-1", ""),
    "slow_recession": ("", "share of the lower store that drains in a day", "d-1", ""),
}


@dataclass(frozen=True, kw_only=True)
class FileVariable:
    """A variable of a file.

    Attributes:
        name: of the variable.
        dimensions: their names.
        shape: their lengths.
        chunks: shape of a chunk.
        attributes: CF attributes.
        values: what is known beforehand; None for series, which are float32.
    """

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    attributes: dict[str, str]
    values: np.ndarray | None = field(default=None, repr=False)

    @property
    def is_coordinate(self) -> bool:
        """Whether it is the axis of its own dimension."""
        return self.dimensions == (self.name,)


def layout(terrain: Terrain, time: np.ndarray, realizations: int, forecasts: bool) -> list[FileVariable]:
    """List the variables of a file, the coordinates first.

    Args:
        terrain: maps and axes.
        time: days, (T,) datetime64[D].
        realizations: number of them; a single one has no dimension.
        forecasts: whether there are statistics of weather forecasts.
    """
    found = _coordinates(terrain, time, realizations, forecasts)
    for name, about in _MAPS.items():
        found.append(_known(name, ("lat", "lon"), getattr(terrain, name), _attributes(*about)))
    several = realizations > 1
    first = ((realizations,) if several else (), ("realization",) if several else (), (1,) if several else ())
    cells = tuple(min(_CHUNK_CELLS, length) for length in terrain.shape)
    days = len(time)
    for name, about in SERIES.items():
        found.append(
            FileVariable(
                name=name,
                dimensions=(*first[1], "time", "lat", "lon"),
                shape=(*first[0], days, *terrain.shape),
                chunks=(*first[2], min(chunk_days(terrain), days), *cells),
                attributes=_attributes(*about),
            )
        )
    for name, about in _FORECASTS.items() if forecasts else ():
        found.append(
            FileVariable(
                name=name,
                dimensions=(*first[1], "time", "weather_lead", "lat", "lon"),
                shape=(*first[0], days, WEATHER_LEADS, *terrain.shape),
                chunks=(*first[2], min(FORECAST_CHUNK_DAYS, days), WEATHER_LEADS, *cells),
                attributes=_attributes(*about),
            )
        )
    return found


def chunk_days(terrain: Terrain) -> int:
    """Give the days in a chunk, and so in memory: fewer where there are many cells."""
    days = _CHUNK_DAYS
    while days > FORECAST_CHUNK_DAYS and 4 * len(SERIES) * days * terrain.elevation.size > _CHUNK_BYTES:
        days //= 2
    return days


def _coordinates(
    terrain: Terrain, time: np.ndarray, realizations: int, forecasts: bool
) -> list[FileVariable]:
    found = [
        _known(
            "time",
            ("time",),
            (time - time[0]).astype(np.int64),
            {
                "standard_name": "time",
                "axis": "T",
                "units": f"days since {time[0]} 00:00:00",
                "calendar": "proleptic_gregorian",
            },
        ),
        _known(
            "lat", ("lat",), terrain.latitude, _attributes("latitude", "latitude", "degrees_north", axis="Y")
        ),
        _known(
            "lon",
            ("lon",),
            terrain.longitude,
            _attributes("longitude", "longitude", "degrees_east", axis="X"),
        ),
    ]
    if realizations > 1:
        about = _attributes("realization", "number of the simulated weather", "1", axis="E")
        found.append(_known("realization", ("realization",), np.arange(realizations), about))
    if forecasts:
        about = _attributes("", "days from the issue of the weather forecast", "1")
        found.append(_known("weather_lead", ("weather_lead",), np.arange(1, WEATHER_LEADS + 1), about))
    return found


def _known(
    name: str, dimensions: tuple[str, ...], values: np.ndarray, attributes: dict[str, str]
) -> FileVariable:
    return FileVariable(
        name=name,
        dimensions=dimensions,
        shape=values.shape,
        chunks=values.shape,
        attributes=attributes,
        values=values,
    )


def _attributes(
    standard_name: str, long_name: str, units: str, cell_methods: str = "", axis: str = ""
) -> dict[str, str]:
    given = {
        "standard_name": standard_name,
        "long_name": long_name,
        "units": units,
        "cell_methods": cell_methods,
        "axis": axis,
    }
    return {key: value for key, value in given.items() if value}
