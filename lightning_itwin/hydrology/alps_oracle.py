"""The limit of predictability of a simulated region: the ensemble that the truth is one member of."""

# G members, D days, M modes, C cells

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightning_itwin.hydrology.alps_blocks import day_of_year_of
from lightning_itwin.hydrology.alps_simulator import AlpsRun
from lightning_itwin.hydrology.hbv import HBV

_SERIES = 65536  # of members and cells that are run together


def state_after(run: AlpsRun, day: int, realization: int = 0) -> np.ndarray:
    """Give all stores at the end of a day, (5, C) float32.

    Args:
        run: what was simulated.
        day: index into ``run.time``.
        realization: index into ``run.realizations``.
    """
    block = int(np.searchsorted(run.state_days, day, side="right")) - 1
    begin = int(run.state_days[block])
    state = run.states[realization, block][:, None].copy(order="C")
    days = slice(begin, day + 1)
    forcing = np.stack(
        [
            values[realization, days].reshape(day + 1 - begin, 1, -1)
            for values in (run.precipitation, run.temperature, run.potential_evapotranspiration)
        ]
    )
    HBV(run.simulator.terrain).run(state, forcing)
    return state[:, 0]


def oracle(
    run: AlpsRun,
    origins: Sequence[int],
    leads: Sequence[int],
    members: int,
    seed: int,
    realization: int = 0,
    regime: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Draw the ideal ensemble of soil moisture: the true state, gone on with other weather.

    Snow, soil, the modes of the weather and the hidden regime are those at the end of the origin's day; every
    member has its own noise from then on. No forecast scores better in expectation.

    Args:
        run: what was simulated.
        origins: indices into ``run.time``, the days after whose end the forecasts begin.
        leads: days ahead, from 1; the forecast of lead 1 is for the day after the origin.
        members: of an ensemble.
        seed: of the noise; an origin's members depend on it, the realization and the origin alone.
        realization: index into ``run.realizations``.
        regime: mean and variance of the regime on every day, (T,) each, as ``regime_filter`` finds them from
            weather. Members then begin with regimes drawn from it, and with the fast circulation that leaves
            the weather of the origin as it is: the limit for who sees all but the regime.

    Returns:
        Soil moisture in m3 m-3, (origins, leads, members, C) float32.

    Raises:
        ValueError: an origin, a lead, the realization or the number of members is outside its range.
    """
    origins, leads = [int(day) for day in origins], [int(lead) for lead in leads]
    if not leads or min(leads) < 1 or members < 1:
        raise ValueError(f"leads and members must be at least 1, not {leads} and {members}.")
    if any(not 0 <= day < len(run.time) for day in origins):
        raise ValueError(f"origins must be days from 0 to {len(run.time) - 1}, not {origins}.")
    if not 0 <= realization < len(run.realizations):
        raise ValueError(f"realization must be from 0 to {len(run.realizations) - 1}, not {realization}.")
    generator, hbv = run.simulator.weather_generator, HBV(run.simulator.terrain)
    days, count = max(leads), hbv.cells
    together = max(1, _SERIES // count)
    at = np.array(leads) - 1
    found = np.empty((len(origins), len(leads), members, count), dtype=np.float32)
    for number, origin in enumerate(origins):
        rng = np.random.default_rng([seed, run.realizations[realization], origin])
        modes = np.repeat(run.modes[realization, origin][None], members, axis=0)
        if regime is not None:
            deviation = np.sqrt(regime[1][origin])
            drawn = regime[0][origin] + deviation * rng.standard_normal(members)
            generator.exchange_regime(modes, drawn.astype(np.float32))
        day_of_year = day_of_year_of(run.time[origin] + 1 + np.arange(days))
        before = state_after(run, origin, realization)[:, None]
        for begin in range(0, members, together):
            group = slice(begin, min(begin + together, members))
            width = group.stop - begin
            noise = rng.standard_normal((width, days, generator.count), dtype=np.float32)
            future = generator.advance(modes[group], np.ascontiguousarray(noise.swapaxes(0, 1)))
            forcing = generator.weather(future, day_of_year)
            given = hbv.run(np.repeat(before, width, axis=1), forcing, stores=False)
            found[number, :, group] = given.soil_moisture[at]
    return found
