"""Tests of the water of a grid."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lightning_itwin.hydrology.hbv import HBV, LOWER, SNOW, SNOW_WATER, SOIL, UPPER
from lightning_itwin.hydrology.terrain import Terrain, simulate_terrain

DAYS, GROUPS = 400, 3


@pytest.fixture(scope="module")
def terrain() -> Terrain:
    return simulate_terrain(3, 4, 5.0, seed=1)


def forcing(cells: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (DAYS, GROUPS, cells)
    rain = np.maximum(rng.normal(-1, 8, shape), 0)
    season = -8 * np.cos(2 * np.pi * np.arange(DAYS) / 365)[:, None, None]
    temperature = 3 + season + rng.normal(0, 4, shape)
    return np.stack([rain, temperature, np.maximum(0.2 * (temperature + 5), 0)]).astype(np.float32)


def one_day(terrain: Terrain, state: np.ndarray, rain: float, temperature: float, potential: float):
    """Step one cell in float64, in plain words."""
    parameter = {
        name: float(getattr(terrain, name).flat[0])
        for name in (
            "degree_day_factor",
            "recharge_exponent",
            "evaporation_limit",
            "percolation",
            "fast_recession",
            "slow_recession",
            "available_water",
            "root_depth",
            "wilting_point",
        )
    }
    snow, water, soil, upper, lower = (float(value) for value in state)
    snowfall = rain * min(max((1 - temperature) / 2, 0), 1)
    potential_melt = parameter["degree_day_factor"] * temperature
    melt = min(max(potential_melt, 0), snow + snowfall)
    frost = min(max(-0.05 * potential_melt, 0), water)
    snow = snow + snowfall - melt + frost
    water = water + rain - snowfall + melt - frost
    entering = max(water - 0.1 * snow, 0)
    water -= entering
    capacity = parameter["available_water"]
    recharge = entering * (soil / capacity) ** parameter["recharge_exponent"]
    soil += entering - recharge
    excess = max(soil - capacity, 0)
    soil, recharge = soil - excess, recharge + excess
    evaporation = min(potential * min(soil / (parameter["evaporation_limit"] * capacity), 1), soil)
    soil -= evaporation
    upper += recharge
    percolated = min(upper, parameter["percolation"])
    upper -= percolated
    quick = 0.25 * max(upper - 30, 0) + parameter["fast_recession"] * upper
    lower += percolated
    slow = parameter["slow_recession"] * lower
    moisture = parameter["wilting_point"] + soil / parameter["root_depth"]
    return np.array([snow, water, soil, upper - quick, lower - slow]), evaporation, quick + slow, moisture


def test_a_day_is_what_the_equations_say(terrain: Terrain) -> None:
    hbv, weather = HBV(terrain), forcing(12)
    state = hbv.initial(GROUPS)
    expected = state[:, 0, 0].astype(float)
    given = hbv.run(state, weather, fluxes=True)
    for day in range(DAYS):
        expected, evaporation, runoff, moisture = one_day(terrain, expected, *weather[:, day, 0, 0].tolist())
        assert given.soil_moisture[day, 0, 0] == pytest.approx(moisture, rel=2e-4)
        assert given.evapotranspiration[day, 0, 0] == pytest.approx(evaporation, rel=1e-3, abs=1e-4)
        assert given.runoff[day, 0, 0] == pytest.approx(runoff, rel=1e-3, abs=1e-3)
        assert given.snow[day, 0, 0] == pytest.approx(
            expected[SNOW] + expected[SNOW_WATER], rel=1e-3, abs=1e-3
        )
    np.testing.assert_allclose(state[:, 0, 0], expected, rtol=1e-3, atol=1e-3)


def test_the_water_balance_closes(terrain: Terrain) -> None:
    hbv, weather = HBV(terrain), forcing(12)
    state = hbv.initial(GROUPS)
    before = state.sum(axis=0, dtype=np.float64)
    given = hbv.run(state, weather, fluxes=True)
    left = (given.evapotranspiration + given.runoff).sum(axis=0, dtype=np.float64)
    stored = state.sum(axis=0, dtype=np.float64) - before
    fallen = weather[0].sum(axis=0, dtype=np.float64)
    assert fallen.min() > 500
    np.testing.assert_allclose(left + stored, fallen, rtol=3e-6)


def test_stores_stay_where_they_can_be(terrain: Terrain) -> None:
    hbv = HBV(terrain)
    state = hbv.initial(GROUPS)
    extreme = forcing(12) * np.array([20, 3, 5], dtype=np.float32)[:, None, None, None]
    given = hbv.run(state, extreme, fluxes=True)
    assert (state >= 0).all()
    assert (state[SOIL] <= terrain.available_water.reshape(-1)).all()
    assert (given.evapotranspiration <= extreme[2]).all()
    moisture = given.soil_moisture
    assert (moisture >= terrain.wilting_point.reshape(-1) - 1e-6).all()
    assert (moisture <= terrain.field_capacity.reshape(-1) + 1e-6).all()


def test_a_dry_soil_stays_finite(terrain: Terrain) -> None:
    hbv = HBV(terrain)
    state = hbv.initial(1)
    drought = np.zeros((3, 5000, 1, 12), dtype=np.float32)
    drought[1], drought[2] = 30, 8
    given = hbv.run(state, drought)
    assert np.isfinite(given.soil_moisture).all()
    assert state[SOIL].max() < 1e-3
    assert state[[SNOW, SNOW_WATER, UPPER]].max() < 1e-3
    assert state[LOWER].max() < 1e-3


def test_blocks_and_groups_change_no_bit(terrain: Terrain) -> None:
    hbv, weather = HBV(terrain), forcing(12)
    together = hbv.initial(GROUPS)
    whole = hbv.run(together, weather, fluxes=True)
    alone = hbv.initial(1)
    for begin in range(0, DAYS, 37):
        part = hbv.run(alone, np.ascontiguousarray(weather[:, begin : begin + 37, 1:2]), fluxes=True)
        for field in dataclasses.fields(part):
            expected = getattr(whole, field.name)[begin : begin + 37, 1:2]
            np.testing.assert_array_equal(getattr(part, field.name), expected)
    np.testing.assert_array_equal(alone[:, 0], together[:, 1])


def test_soil_moisture_needs_no_stores_below_it(terrain: Terrain) -> None:
    hbv, weather = HBV(terrain), forcing(12)
    with_stores = hbv.run(hbv.initial(GROUPS), weather).soil_moisture
    np.testing.assert_array_equal(
        hbv.run(hbv.initial(GROUPS), weather, stores=False).soil_moisture, with_stores
    )
