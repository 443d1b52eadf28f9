"""Simulated forecasts of a numerical weather model: an ensemble that knows the coming weather in part."""

# G realizations, D days of issue, L leads, E members, M modes, C cells

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lightning_itwin.hydrology.alps_blocks import Block, day_of_year_of
from lightning_itwin.hydrology.weather_generator import WeatherGenerator

WEATHER_LEADS = 15  # days; ECMWF's ensemble reaches as far
STATISTICS = ("precipitation_mean", "precipitation_spread", "temperature_mean", "temperature_spread")
_REACH_DAYS, _HALF_LENGTH_KM = 8.0, 30.0


def forecast_weights(generator: WeatherGenerator) -> np.ndarray:
    """Give the correlation of a forecast's knowledge with the truth, per lead and mode, (L, M) float32.

    It is ``exp(-(lead / reach)^1.5)`` with a reach of 8 days for what the region shares, and
    ``8 length / (length + 30 km)`` days for a part of some length: 5 days at 60 km.
    """
    lead = np.arange(1, WEATHER_LEADS + 1)[:, None]
    length_km = generator.lengths_km
    # With an infinite length, the share is 1.
    reach = _REACH_DAYS / (1 + _HALF_LENGTH_KM / length_km)
    return np.exp(-((lead / reach) ** 1.5)).astype(np.float32)


def with_forecasts(
    blocks: Iterator[Block],
    generator: WeatherGenerator,
    time: np.ndarray,
    seed: int,
    realizations: Sequence[int],
    members: int,
) -> Iterator[tuple[Block, np.ndarray]]:
    """Issue a forecast of the next 15 days at the end of every day of blocks.

    What a forecast knows of a mode ``z`` of a coming day is ``x = w z + sqrt(1 - w^2) e``; its members are
    draws from the posterior ``N(w x, 1 - w^2)``. The truth is one more draw: the ensemble is calibrated, and
    tends to climatology with the lead. Its random numbers are not those of the weather, which is the same
    with and without forecasts.

    Args:
        blocks: of the realizations.
        generator: of their weather.
        time: days of the data, datetime64[D].
        seed: of the weather.
        realizations: their numbers.
        members: of the ensemble.

    Yields:
        A block and its forecasts: mean and spread of precipitation in mm/day, then of temperature in degC,
        (4, D, G, L, C) float32.
    """
    sources = [np.random.default_rng([seed, number, 1]) for number in realizations]
    weight = forecast_weights(generator)
    unknown = np.sqrt(1 - weight.astype(np.float64) ** 2).astype(np.float32)
    for block in blocks:
        coming = np.concatenate([block.modes, block.ahead])
        days, groups, count = block.modes.shape
        day_of_year = day_of_year_of(time[block.day] + np.arange(days + WEATHER_LEADS))
        cells = block.precipitation.shape[-1]
        found = np.empty((len(STATISTICS), days, groups, WEATHER_LEADS, cells), dtype=np.float32)
        for group, source in enumerate(sources):
            for lead in range(1, WEATHER_LEADS + 1):
                w, rest = weight[lead - 1], unknown[lead - 1]
                error = source.standard_normal((days, count), dtype=np.float32)
                centre = w * (w * coming[lead : lead + days, group] + rest * error)
                noise = source.standard_normal((days, members, count), dtype=np.float32)
                ensemble = generator.weather(centre[:, None] + rest * noise, day_of_year[lead : lead + days])
                for number, values in enumerate(ensemble[:2]):
                    found[2 * number, :, group, lead - 1] = values.mean(axis=1)
                    found[2 * number + 1, :, group, lead - 1] = values.std(axis=1, ddof=1)
        yield block, found
