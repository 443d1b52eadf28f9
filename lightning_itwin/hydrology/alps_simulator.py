"""A simulated mountain region whose weather, snow and soil are known to the last store.

``AlpsSimulator(years=12, realizations=4, rows=16, columns=16).write("alps.zarr")``
"""

# G realizations or members, D days, M modes, C cells

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from lightning_itwin.hydrology.alps_blocks import Block, simulate_blocks
from lightning_itwin.hydrology.alps_file import open_writer
from lightning_itwin.hydrology.terrain import Terrain, simulate_terrain
from lightning_itwin.hydrology.weather_forecast import with_forecasts
from lightning_itwin.hydrology.weather_generator import Climate, WeatherGenerator

SPIN_UP_YEARS = 2
_SERIES = 16384  # that are run together
_SERIES_WITH_FORECASTS = 2048


@dataclass(frozen=True, kw_only=True)
class AlpsRun:
    """Realizations of a simulated region and their hidden state.

    Attributes:
        simulator: the settings.
        realizations: their numbers, (R,).
        time: days, (T,) datetime64[D].
        precipitation: mm/day, (R, T, rows, columns) float32, as all that follow.
        temperature: degC.
        potential_evapotranspiration: mm/day.
        soil_moisture: m3 m-3, of the root zone, at the end of the day.
        evapotranspiration: actual, mm/day; None unless ``fluxes`` was asked for, as the two that follow.
        runoff: mm/day.
        snow: mm of water.
        modes: state of the weather, (R, T, M); the regime is the first mode.
        states: stores in mm before the days ``state_days``, (R, blocks, 5, C).
        state_days: indices of days, (blocks,).
        end: stores in mm after the last day, (R, 5, C).
    """

    simulator: AlpsSimulator
    realizations: tuple[int, ...]
    time: np.ndarray
    precipitation: np.ndarray
    temperature: np.ndarray
    potential_evapotranspiration: np.ndarray
    soil_moisture: np.ndarray
    evapotranspiration: np.ndarray | None
    runoff: np.ndarray | None
    snow: np.ndarray | None
    modes: np.ndarray = field(repr=False)
    states: np.ndarray = field(repr=False)
    state_days: np.ndarray = field(repr=False)
    end: np.ndarray = field(repr=False)

    @property
    def regime(self) -> np.ndarray:
        """The hidden slow regime, of unit variance, (R, T)."""
        return self.modes[..., 0]

    @property
    def year_fraction(self) -> np.ndarray:
        """Time of the year, 0 on the first of January and below 1, (T,) float64."""
        years = self.time.astype("datetime64[Y]")
        first = years.astype("datetime64[D]")
        length = (years + 1).astype("datetime64[D]") - first
        return (self.time - first) / length


@dataclass(frozen=True, kw_only=True)
class AlpsSimulator:
    """Settings of a simulated mountain region.

    Args:
        years: length of the data, in whole years of the Gregorian calendar.
        realizations: independent weathers over the same terrain.
        rows: cells from south to north.
        columns: cells from west to east.
        spacing_km: distance of neighbouring cells.
        terrain_seed: seed of elevation and soil.
        weather_seed: seed of the weather; a realization depends on this seed and its own number alone.
        first_year: of the data; two years before it are simulated and thrown away.
        weather_members: members of a simulated weather forecast of 15 days, issued on every day, whose mean
            and spread (standard deviation) are written; 0 for none.

    Raises:
        ValueError: a value is outside its range.
    """

    years: int
    realizations: int = 1
    rows: int = 16
    columns: int = 16
    spacing_km: float = 5.0
    terrain_seed: int = 0
    weather_seed: int = 1
    first_year: int = 1990
    weather_members: int = 0

    def __post_init__(self) -> None:
        for name in ("years", "realizations", "rows", "columns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not self.spacing_km > 0:
            raise ValueError(f"spacing_km must be above 0, not {self.spacing_km}.")
        if min(self.terrain_seed, self.weather_seed) < 0:
            raise ValueError(f"seeds must be at least 0, not {self.terrain_seed} and {self.weather_seed}.")
        if self.weather_members < 0 or self.weather_members == 1:
            raise ValueError(
                f"weather_members must be 0 or at least 2, to have a spread, not {self.weather_members}."
            )
        if self.first_year < 1700 or self.first_year + self.years > 9999:
            raise ValueError(
                f"The years must lie between 1700 and 9999, not {self.first_year} and {self.years} more."
            )

    @cached_property
    def terrain(self) -> Terrain:
        """Maps of the region."""
        return simulate_terrain(self.rows, self.columns, self.spacing_km, self.terrain_seed)

    @cached_property
    def weather_generator(self) -> WeatherGenerator:
        """What draws the weather."""
        return WeatherGenerator(self.terrain, Climate())

    @cached_property
    def time(self) -> np.ndarray:
        """Days of the data, (T,) datetime64[D]."""
        return self._days(self.first_year)

    def _days(self, first_year: int) -> np.ndarray:
        begin, end = (
            np.datetime64(f"{year:04d}-01-01") for year in (first_year, self.first_year + self.years)
        )
        return np.arange(begin, end)

    def blocks(self, realizations: Sequence[int], fluxes: bool = False) -> Iterator[Block]:
        """Simulate some realizations together, a block of days after the other.

        Args:
            realizations: their numbers.
            fluxes: give evapotranspiration, runoff and snow, too.
        """
        return simulate_blocks(
            self.weather_generator,
            self._days(self.first_year - SPIN_UP_YEARS),
            len(self.time),
            self.weather_seed,
            realizations,
            fluxes,
        )

    def run(self, realizations: Sequence[int] | None = None, fluxes: bool = False) -> AlpsRun:
        """Simulate into memory: 16 bytes a cell and day.

        Args:
            realizations: their numbers, from 0; all that the settings name by default.
            fluxes: keep evapotranspiration, runoff and snow, too.

        Raises:
            ValueError: a number is not that of a realization.
        """
        numbers = tuple(range(self.realizations) if realizations is None else realizations)
        if not numbers or not all(0 <= number < self.realizations for number in numbers):
            raise ValueError(
                f"realizations must be numbers from 0 to {self.realizations - 1}, not {numbers}."
            )
        shape = (len(numbers), len(self.time), self.rows * self.columns)
        names = ["precipitation", "temperature", "potential_evapotranspiration", "soil_moisture"]
        names += ["evapotranspiration", "runoff", "snow"] if fluxes else []
        arrays = {name: np.empty(shape, dtype=np.float32) for name in names}
        modes = np.empty((*shape[:2], self.weather_generator.count), dtype=np.float32)
        states, ends = [], []
        days: list[int] = []
        for begin, together in self._together(numbers):
            group = slice(begin, begin + len(together))
            own_states: list[np.ndarray] = []
            days = []
            for block in self.blocks(together, fluxes):
                here = slice(block.day, block.day + len(block.modes))
                for name, values in arrays.items():
                    values[group, here] = getattr(block, name).swapaxes(0, 1)
                modes[group, here] = block.modes.swapaxes(0, 1)
                own_states.append(block.state.swapaxes(0, 1))
                days.append(block.day)
            states.append(np.stack(own_states, axis=1))
            ends.append(block.end.swapaxes(0, 1))
        grid = (*shape[:2], self.rows, self.columns)
        maps = {name: values.reshape(grid) for name, values in arrays.items()}
        return AlpsRun(
            simulator=self,
            realizations=numbers,
            time=self.time,
            modes=modes,
            states=np.concatenate(states),
            state_days=np.array(days),
            end=np.concatenate(ends),
            evapotranspiration=maps.get("evapotranspiration"),
            runoff=maps.get("runoff"),
            snow=maps.get("snow"),
            precipitation=maps["precipitation"],
            temperature=maps["temperature"],
            potential_evapotranspiration=maps["potential_evapotranspiration"],
            soil_moisture=maps["soil_moisture"],
        )

    def write(self, path: str | Path) -> None:
        """Simulate and write a file, some realizations after the other; the file appears when it is whole.

        Args:
            path: ends in ``.zarr`` or ``.nc``; what stands there is replaced.

        Raises:
            ValueError: the path has another ending.
            MissingExtraError: zarr or netCDF4 is not installed.
        """
        with open_writer(
            path, self.terrain, self.time, self.realizations, forecasts=self.weather_members > 0
        ) as writer:
            for begin, together in self._together(tuple(range(self.realizations))):
                blocks = self.blocks(together)
                if not self.weather_members:
                    for block in blocks:
                        writer.add(begin, block)
                    continue
                for block, forecast in with_forecasts(
                    blocks,
                    self.weather_generator,
                    self.time,
                    self.weather_seed,
                    together,
                    self.weather_members,
                ):
                    writer.add(begin, block, forecast)

    def _together(self, numbers: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
        series = _SERIES if not self.weather_members else _SERIES_WITH_FORECASTS
        count = max(1, series // (self.rows * self.columns))
        for begin in range(0, len(numbers), count):
            yield begin, numbers[begin : begin + count]
