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

from lightning_itwin.hydrology.alps_file import open_writer
from lightning_itwin.hydrology.hbv import HBV
from lightning_itwin.hydrology.terrain import Terrain, simulate_terrain
from lightning_itwin.hydrology.weather_generator import BLOCK_DAYS, Climate, WeatherGenerator

SPIN_UP_YEARS = 2
_SERIES = 16384  # that are run together


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some days of some realizations.

    Attributes:
        day: index of the first day.
        precipitation: mm/day, (D, G, C) float32, as all that follow.
        temperature: degC.
        potential_evapotranspiration: mm/day.
        soil_moisture: m3 m-3.
        evapotranspiration: actual, mm/day; None where it was not wanted.
        runoff: mm/day; None where it was not wanted.
        snow: mm of water; None where it was not wanted.
        modes: state of the weather, (D, G, M).
        state: stores before the first day, (5, G, C).
        end: stores after the last day, (5, G, C).
    """

    day: int
    precipitation: np.ndarray
    temperature: np.ndarray
    potential_evapotranspiration: np.ndarray
    soil_moisture: np.ndarray
    evapotranspiration: np.ndarray | None
    runoff: np.ndarray | None
    snow: np.ndarray | None
    modes: np.ndarray
    state: np.ndarray
    end: np.ndarray


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

    def __post_init__(self) -> None:
        for name in ("years", "realizations", "rows", "columns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not self.spacing_km > 0:
            raise ValueError(f"spacing_km must be above 0, not {self.spacing_km}.")
        if min(self.terrain_seed, self.weather_seed) < 0:
            raise ValueError(f"seeds must be at least 0, not {self.terrain_seed} and {self.weather_seed}.")
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
        generator, hbv = self.weather_generator, HBV(self.terrain)
        days = self._days(self.first_year - SPIN_UP_YEARS)
        skipped = len(days) - len(self.time)
        day_of_year = day_of_year_of(days)
        sources = [np.random.default_rng([self.weather_seed, number]) for number in realizations]
        groups = len(sources)
        modes = np.concatenate([generator.stationary(source) for source in sources])
        state = hbv.initial(groups)
        for begin in range(0, len(days), BLOCK_DAYS):
            # A whole block is drawn at the end of the data, too: longer data begin like shorter ones.
            noise = np.empty((BLOCK_DAYS, groups, generator.count), dtype=np.float32)
            for group, source in enumerate(sources):
                noise[:, group] = source.standard_normal((BLOCK_DAYS, generator.count), dtype=np.float32)
            here = slice(begin, min(begin + BLOCK_DAYS, len(days)))
            block_modes = generator.advance(modes, noise)[: here.stop - begin]
            modes = block_modes[-1]
            forcing = generator.weather(block_modes, day_of_year[here])
            cut = min(max(skipped - begin, 0), here.stop - begin)
            if cut:
                hbv.run(state, forcing[:, :cut])
            if cut == here.stop - begin:
                continue
            before = state.copy()
            given = hbv.run(state, forcing[:, cut:], fluxes=fluxes)
            yield Block(
                day=begin + cut - skipped,
                precipitation=forcing[0, cut:],
                temperature=forcing[1, cut:],
                potential_evapotranspiration=forcing[2, cut:],
                soil_moisture=given.soil_moisture,
                evapotranspiration=given.evapotranspiration,
                runoff=given.runoff,
                snow=given.snow,
                modes=block_modes[cut:],
                state=before,
                end=state.copy(),
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
        with open_writer(path, self.terrain, self.time, self.realizations) as writer:
            for begin, together in self._together(tuple(range(self.realizations))):
                for block in self.blocks(together):
                    writer.add(begin, block.day, block)

    def _together(self, numbers: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
        count = max(1, _SERIES // (self.rows * self.columns))
        for begin in range(0, len(numbers), count):
            yield begin, numbers[begin : begin + count]


def day_of_year_of(days: np.ndarray) -> np.ndarray:
    """Give the day of the year, from 1, of datetime64[D].

    >>> day_of_year_of(np.array(["2024-12-31"], dtype="datetime64[D]"))
    array([366])
    """
    return (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1
