"""Tests of the simulated mountain region."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.hydrology.alps_simulator import AlpsRun

SETTINGS: dict[str, Any] = {"years": 2, "realizations": 3, "rows": 5, "columns": 7, "weather_seed": 11}
SERIES = ("precipitation", "temperature", "potential_evapotranspiration", "soil_moisture")


@pytest.fixture(scope="module")
def run() -> AlpsRun:
    return AlpsSimulator(**SETTINGS).run(fluxes=True)


def test_series_have_the_shape_and_the_days(run: AlpsRun) -> None:
    assert run.time[0] == np.datetime64("1990-01-01")
    assert len(run.time) == 730
    for name in SERIES:
        values = getattr(run, name)
        assert values.shape == (3, 730, 5, 7)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert run.regime.shape == (3, 730)
    assert run.year_fraction[0] == 0
    assert run.year_fraction[364] == pytest.approx(364 / 365)


def test_a_realization_depends_on_its_seed_and_number_alone(run: AlpsRun) -> None:
    alone = AlpsSimulator(**SETTINGS).run([2, 0])
    one_of_many = AlpsSimulator(**SETTINGS | {"realizations": 50}).run([2])
    for name in SERIES:
        np.testing.assert_array_equal(getattr(alone, name), getattr(run, name)[[2, 0]])
        np.testing.assert_array_equal(getattr(one_of_many, name)[0], getattr(run, name)[2])
    assert not np.array_equal(run.precipitation[0], run.precipitation[1])


def test_longer_data_begin_like_shorter_ones(run: AlpsRun) -> None:
    longer = AlpsSimulator(**SETTINGS | {"years": 3}).run([1])
    np.testing.assert_array_equal(longer.soil_moisture[0, :730], run.soil_moisture[1])


def test_seeds_are_of_what_they_say(run: AlpsRun) -> None:
    other_weather = AlpsSimulator(**SETTINGS | {"weather_seed": 12})
    np.testing.assert_array_equal(other_weather.terrain.elevation, run.simulator.terrain.elevation)
    assert not np.array_equal(other_weather.run([0]).modes[0], run.modes[0])
    other_terrain = AlpsSimulator(**SETTINGS | {"terrain_seed": 1})
    assert not np.array_equal(other_terrain.terrain.elevation, run.simulator.terrain.elevation)
    np.testing.assert_array_equal(other_terrain.run([0]).modes[0], run.modes[0])


def test_the_water_balance_closes(run: AlpsRun) -> None:
    assert run.evapotranspiration is not None
    assert run.runoff is not None
    fallen = run.precipitation.sum(axis=1, dtype=np.float64).reshape(3, -1)
    left = (run.evapotranspiration + run.runoff).sum(axis=1, dtype=np.float64).reshape(3, -1)
    stored = (run.end.astype(np.float64) - run.states[:, 0]).sum(axis=1)
    np.testing.assert_allclose(left + stored, fallen, rtol=3e-6)


def test_many_cells_are_run_in_groups_and_tiles() -> None:
    settings = AlpsSimulator(years=1, realizations=3, rows=100, columns=90)
    together, alone = settings.run(), settings.run([2])
    np.testing.assert_array_equal(together.soil_moisture[2], alone.soil_moisture[0])
    np.testing.assert_array_equal(together.states[2], alone.states[0])


def test_years_are_those_of_the_alps() -> None:
    run = AlpsSimulator(years=8, realizations=16, rows=8, columns=8, spacing_km=40.0).run(fluxes=True)
    assert run.evapotranspiration is not None
    assert run.runoff is not None
    annual = {
        name: getattr(run, name).mean(dtype=np.float64) * 365.25
        for name in ("precipitation", "potential_evapotranspiration", "evapotranspiration", "runoff")
    }
    assert annual["precipitation"] == pytest.approx(930, rel=0.08)
    assert annual["potential_evapotranspiration"] == pytest.approx(484, rel=0.12)
    assert annual["evapotranspiration"] == pytest.approx(370, rel=0.15)
    assert annual["runoff"] == pytest.approx(528, rel=0.15)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"years": 0}, "years must be at least 1"),
        ({"realizations": 0}, "realizations must be at least 1"),
        ({"rows": -1}, "rows must be at least 1"),
        ({"columns": 0}, "columns must be at least 1"),
        ({"spacing_km": 0.0}, "spacing_km must be above 0"),
        ({"weather_seed": -1}, "seeds must be at least 0"),
        ({"first_year": 1600}, "between 1700 and 9999"),
        ({"weather_members": 1}, "weather_members must be 0 or at least 2"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AlpsSimulator(**SETTINGS | change)


@pytest.mark.parametrize("numbers", [[], [3], [-1]])
def test_a_realization_that_there_is_not_is_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="numbers from 0 to 2"):
        AlpsSimulator(**SETTINGS).run(numbers)


def test_settings_are_plain_values() -> None:
    settings = AlpsSimulator(**SETTINGS)
    assert AlpsSimulator(**dataclasses.asdict(settings)) == settings
