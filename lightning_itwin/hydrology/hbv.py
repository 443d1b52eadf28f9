"""The water of a grid, day by day: degree-day snow, a soil box and two stores, as in HBV."""

# G realizations or members, C cells, D days

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.hydrology.terrain import Terrain

SNOW, SNOW_WATER, SOIL, UPPER, LOWER = range(5)  # rows of a state
STORES = 5
REFREEZING = 0.05  # of the degree-day factor; Bergstrom 1992
HOLDING = 0.1  # liquid water that snow holds, of its water equivalent; Bergstrom 1992
_OVERFLOW_MM, _OVERFLOW = 30.0, 0.25  # threshold of the upper store's second outlet, and what it drains a day
_TILE = 8192  # series that are stepped together, so that they stay in the cache


@dataclass(frozen=True, kw_only=True)
class Fluxes:
    """What a block of days gave, float32 of shape (D, G, C).

    Attributes:
        soil_moisture: root-zone water over its volume in m3 m-3, at the end of the day.
        evapotranspiration: actual, mm/day; None where it was not wanted.
        runoff: mm/day; None where it was not wanted.
        snow: water equivalent of snow and the water in it, mm; None where it was not wanted.
    """

    soil_moisture: np.ndarray
    evapotranspiration: np.ndarray | None
    runoff: np.ndarray | None
    snow: np.ndarray | None


class HBV:
    """Steps the stores of all cells of a terrain.

    A day is, in this order, with temperature T, precipitation P and potential evapotranspiration E:

        snowfall = P clip((1 - T) / 2, 0, 1);  melt = min(ddf max(T, 0), snow)
        frost    = min(0.05 ddf max(-T, 0), water in the snow)
        input    = rain + meltwater above 0.1 snow
        recharge = input (S / FC)^beta, and what exceeds FC
        evaporation = min(E min(S / (LP FC), 1), S)
        runoff   = 0.25 max(U - 30, 0) + k1 U + k2 L;  percolation = min(perc, U)

    S is the soil's water, U the upper and L the lower store, in mm. What comes in goes out or stays: the
    balance closes in every cell.

    Args:
        terrain: maps of the parameters.

    Reference:
        Bergstrom 1992, SMHI RH 4; Seibert and Vis 2012, HESS 16, 3315.
    """

    def __init__(self, terrain: Terrain) -> None:
        def flat(values: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(values.reshape(-1), dtype=np.float32)

        self.cells = terrain.elevation.size
        capacity = flat(terrain.available_water)
        self._maps = np.stack(
            [
                flat(terrain.degree_day_factor),
                capacity,
                1 / capacity,
                flat(terrain.recharge_exponent),
                1 / (flat(terrain.evaporation_limit) * capacity),
                flat(terrain.percolation),
                flat(terrain.fast_recession),
                flat(terrain.slow_recession),
                1 / flat(terrain.root_depth),
                flat(terrain.wilting_point),
            ]
        )

    def initial(self, groups: int) -> np.ndarray:
        """Give stores to begin with, no snow and a soil that is half full, (5, G, C) float32."""
        state = np.zeros((STORES, groups, self.cells), dtype=np.float32)
        state[SOIL] = 0.5 * self._maps[1]
        state[LOWER] = 20
        return state

    def run(
        self,
        state: np.ndarray,
        forcing: np.ndarray,
        fluxes: bool = False,
        stores: bool = True,
    ) -> Fluxes:
        """Step a block of days.

        Args:
            state: stores in mm before the days, (5, G, C) float32, contiguous; afterwards those at the end.
            forcing: precipitation in mm/day, temperature in degC and potential evapotranspiration in mm/day,
                (3, D, G, C) float32.
            fluxes: give evapotranspiration, runoff and snow, too.
            stores: step the upper and the lower store; soil moisture does not need them.
        """
        _, days, groups, cells = forcing.shape
        series = groups * cells
        soil_moisture = np.empty((days, series), dtype=np.float32)
        wanted = np.empty((3, days, series), dtype=np.float32) if fluxes else None
        flat_state, flat_forcing = state.reshape(STORES, series), forcing.reshape(3, days, series)
        maps = np.tile(self._maps, (1, groups)) if groups > 1 else self._maps
        for begin in range(0, series, _TILE):
            tile = slice(begin, min(begin + _TILE, series))
            own = np.ascontiguousarray(flat_state[:, tile])
            step = _TileStep(np.ascontiguousarray(maps[:, tile]), own)
            for day in range(days):
                rain, temperature, potential = flat_forcing[:, day, tile]
                evaporation, runoff = step(rain, temperature, potential, stores)
                step.soil_moisture(soil_moisture[day, tile])
                if wanted is not None:
                    wanted[0, day, tile], wanted[1, day, tile] = evaporation, runoff
                    np.add(own[SNOW], own[SNOW_WATER], out=wanted[2, day, tile])
            flat_state[:, tile] = own
        shape = (days, groups, cells)
        given = [None] * 3 if wanted is None else [values.reshape(shape) for values in wanted]
        return Fluxes(
            soil_moisture=soil_moisture.reshape(shape),
            evapotranspiration=given[0],
            runoff=given[1],
            snow=given[2],
        )


class _TileStep:
    """One day of some series, without new arrays."""

    def __init__(self, maps: np.ndarray, state: np.ndarray) -> None:
        self.maps, self.state = maps, state
        self.scratch = np.empty((4, state.shape[1]), dtype=np.float32)

    def __call__(
        self, rain: np.ndarray, temperature: np.ndarray, potential: np.ndarray, stores: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        ddf, capacity, per_capacity, beta, per_limit, percolation, fast, slow, _, _ = self.maps
        snow, snow_water, soil, upper, lower = self.state
        a, b, water, recharge = self.scratch
        f32 = np.float32
        # snow
        np.multiply(temperature, f32(-0.5), out=a)
        np.add(a, f32(0.5), out=a)
        np.clip(a, f32(0), f32(1), out=a)
        np.multiply(a, rain, out=a)  # snowfall
        np.add(snow, a, out=snow)
        np.subtract(rain, a, out=water)
        np.multiply(ddf, temperature, out=a)
        np.multiply(a, f32(REFREEZING), out=b)
        np.minimum(a, snow, out=a)
        np.negative(snow_water, out=recharge)
        np.maximum(b, recharge, out=b)
        np.minimum(b, f32(0), out=b)  # refreezing, negative
        np.maximum(a, f32(0), out=a)
        np.add(a, b, out=a)  # melt, less what freezes
        np.subtract(snow, a, out=snow)
        np.add(water, a, out=water)
        np.add(water, snow_water, out=water)
        np.multiply(snow, f32(HOLDING), out=snow_water)
        np.minimum(snow_water, water, out=snow_water)
        np.subtract(water, snow_water, out=water)
        # soil
        np.multiply(soil, per_capacity, out=a)
        np.maximum(a, f32(1e-6), out=a)
        np.log(a, out=a)
        np.multiply(a, beta, out=a)
        np.exp(a, out=a)
        np.minimum(a, f32(1), out=a)
        np.multiply(a, water, out=recharge)
        np.subtract(water, recharge, out=water)
        np.add(soil, water, out=soil)
        np.subtract(soil, capacity, out=a)
        np.maximum(a, f32(0), out=a)
        np.subtract(soil, a, out=soil)
        np.add(recharge, a, out=recharge)
        np.multiply(soil, per_limit, out=a)
        np.minimum(a, f32(1), out=a)
        np.multiply(a, potential, out=a)
        np.minimum(a, soil, out=a)  # evapotranspiration
        np.subtract(soil, a, out=soil)
        if not stores:
            return a, recharge
        # stores
        np.add(upper, recharge, out=upper)
        np.minimum(upper, percolation, out=b)
        np.subtract(upper, b, out=upper)
        np.add(lower, b, out=lower)
        np.subtract(upper, f32(_OVERFLOW_MM), out=b)
        np.maximum(b, f32(0), out=b)
        np.multiply(b, f32(_OVERFLOW), out=b)
        np.multiply(upper, fast, out=recharge)
        np.add(b, recharge, out=b)
        np.subtract(upper, b, out=upper)
        np.multiply(lower, slow, out=recharge)
        np.subtract(lower, recharge, out=lower)
        np.add(b, recharge, out=b)
        return a, b

    def soil_moisture(self, out: np.ndarray) -> None:
        np.multiply(self.state[SOIL], self.maps[8], out=out)
        np.add(out, self.maps[9], out=out)
