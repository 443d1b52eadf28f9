"""Weather and water of a simulated region, a block of days after the other."""

# G realizations, D days, M modes, C cells

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.hydrology.hbv import HBV
from lightning_itwin.hydrology.weather_generator import BLOCK_DAYS, WeatherGenerator


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
        ahead: that of the days after the block, (64, G, M).
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
    ahead: np.ndarray
    state: np.ndarray
    end: np.ndarray


def simulate_blocks(
    generator: WeatherGenerator,
    days: np.ndarray,
    kept: int,
    seed: int,
    realizations: Sequence[int],
    fluxes: bool = False,
) -> Iterator[Block]:
    """Simulate realizations together; each draws from its own stream of random numbers.

    Args:
        generator: of the weather, over a terrain.
        days: datetime64[D], those before the data too.
        kept: number of days at the end that are given.
        seed: of the weather.
        realizations: numbers of the realizations.
        fluxes: give evapotranspiration, runoff and snow, too.
    """
    hbv, day_of_year = HBV(generator.terrain), day_of_year_of(days)
    skipped = len(days) - kept
    sources = [np.random.default_rng([seed, number]) for number in realizations]
    state = hbv.initial(len(sources))
    drawn = _mode_blocks(generator, sources)
    current = next(drawn)
    for begin in range(0, len(days), BLOCK_DAYS):
        ahead = next(drawn)
        here = slice(begin, min(begin + BLOCK_DAYS, len(days)))
        count = here.stop - begin
        forcing = generator.weather(current[:count], day_of_year[here])
        cut = min(max(skipped - begin, 0), count)
        if cut:
            hbv.run(state, forcing[:, :cut])
        if cut < count:
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
                modes=current[cut:count],
                ahead=np.concatenate([current[count:], ahead])[:BLOCK_DAYS],
                state=before,
                end=state.copy(),
            )
        current = ahead


def _mode_blocks(generator: WeatherGenerator, sources: list[np.random.Generator]) -> Iterator[np.ndarray]:
    """Draw modes without end, (64, G, M) at a time: longer data begin like shorter ones."""
    modes = np.concatenate([generator.stationary(source) for source in sources])
    while True:
        noise = np.empty((BLOCK_DAYS, *modes.shape), dtype=np.float32)
        for group, source in enumerate(sources):
            noise[:, group] = source.standard_normal((BLOCK_DAYS, modes.shape[1]), dtype=np.float32)
        block = generator.advance(modes, noise)
        modes = block[-1]
        yield block


def day_of_year_of(days: np.ndarray) -> np.ndarray:
    """Give the day of the year, from 1, of datetime64[D].

    >>> day_of_year_of(np.array(["2024-12-31"], dtype="datetime64[D]"))
    array([366])
    """
    return (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1
