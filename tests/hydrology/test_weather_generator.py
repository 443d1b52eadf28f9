"""Tests of stochastic weather."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.hydrology.terrain import simulate_terrain
from lightning_itwin.hydrology.weather_generator import (
    Climate,
    Component,
    WeatherGenerator,
    extraterrestrial_radiation,
)

YEARS = 60


@pytest.fixture(scope="module")
def generator() -> WeatherGenerator:
    return WeatherGenerator(simulate_terrain(6, 6, 20.0, seed=0))


@pytest.fixture(scope="module")
def modes(generator: WeatherGenerator) -> np.ndarray:
    """Sixty years, (D, 1, M)."""
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((365 * YEARS, 1, generator.count), dtype=np.float32)
    return generator.advance(generator.stationary(rng), noise)


@pytest.fixture(scope="module")
def weather(generator: WeatherGenerator, modes: np.ndarray) -> np.ndarray:
    return generator.weather(modes, np.arange(len(modes)) % 365 + 1)[:, :, 0]


def test_modes_are_ar1_of_unit_variance(generator: WeatherGenerator, modes: np.ndarray) -> None:
    series = modes[:, 0].astype(np.float64)
    fast = generator.memory < 0.9
    np.testing.assert_allclose(series.var(axis=0)[fast], 1, atol=0.06)
    lag = (series[1:] * series[:-1]).mean(axis=0) / series.var(axis=0)
    np.testing.assert_allclose(lag[fast], generator.memory[fast], atol=0.03)
    assert generator.memory[0] == pytest.approx(np.exp(-1 / 33))


def test_advance_in_parts_is_advance(generator: WeatherGenerator) -> None:
    rng = np.random.default_rng(0)
    start = generator.stationary(rng, 2)
    noise = rng.standard_normal((10, 2, generator.count), dtype=np.float32)
    whole = generator.advance(start, noise.copy())
    first = generator.advance(start, noise[:4].copy())
    np.testing.assert_array_equal(generator.advance(first[-1], noise[4:].copy()), whole[4:])


def test_precipitation_has_the_mean_of_the_map(generator: WeatherGenerator) -> None:
    days = 365 * 100
    unrelated = np.random.default_rng(3).standard_normal((days, 1, generator.count), dtype=np.float32)
    rain = generator.weather(unrelated, np.arange(days) % 365 + 1)[0, :, 0]
    annual = rain.mean(axis=0, dtype=np.float64) * 365.25
    np.testing.assert_allclose(annual, generator.terrain.annual_precipitation.reshape(-1), rtol=0.04)


def test_precipitation_is_correlated_in_space_and_dry_on_many_days(weather: np.ndarray) -> None:
    rain = weather[0].reshape(-1, 6, 6)
    assert 0.3 < (rain > 1).mean() < 0.5
    assert 0.35 < (rain == 0).mean() < 0.6

    def correlation(columns: int) -> float:
        return float(np.corrcoef(rain[:, 2, 0], rain[:, 2, columns])[0, 1])

    assert correlation(1) > correlation(3) > correlation(5) > 0.15
    assert correlation(1) > 0.55


def test_temperature_falls_with_height_and_on_wet_days(weather: np.ndarray) -> None:
    terrain = simulate_terrain(6, 6, 20.0, seed=0)
    mean = weather[1].mean(axis=0, dtype=np.float64)
    lapse = np.polyfit(terrain.elevation.reshape(-1) / 1000, mean, 1)[0]
    assert lapse == pytest.approx(-5.5, abs=0.25)
    wet = weather[0] > 1
    assert weather[1][wet].mean() < weather[1][~wet].mean() - 0.5


def test_the_regime_is_wet_and_cool(modes: np.ndarray, weather: np.ndarray) -> None:
    regime = modes[:, 0, 0]
    wet, dry = regime > 1, regime < -1
    assert weather[0][wet].mean() > 1.5 * weather[0][dry].mean()
    assert weather[1][wet].mean() < weather[1][dry].mean() - 1


def test_potential_evapotranspiration_is_oudins(generator: WeatherGenerator, weather: np.ndarray) -> None:
    radiation = extraterrestrial_radiation(np.arange(1, 366), generator.terrain.latitude)
    warm = np.maximum(weather[1, :365].reshape(365, 6, 6) + 5, 0)
    expected = radiation[:, :, None] / 2.45 * warm / 100
    np.testing.assert_allclose(weather[2, :365].reshape(365, 6, 6), expected, rtol=1e-4, atol=1e-5)


def test_exchanged_regimes_leave_the_weather_of_the_day(
    generator: WeatherGenerator, modes: np.ndarray
) -> None:
    today = np.repeat(modes[100], 3, axis=0)
    before = generator.weather(today[None], np.array([100]))
    generator.exchange_regime(today, np.array([-2, 0, 3], dtype=np.float32))
    assert today[:, 0].tolist() == [-2, 0, 3]
    np.testing.assert_allclose(generator.weather(today[None], np.array([100])), before, atol=2e-4)


def test_a_field_of_one_part_fills_the_region() -> None:
    climate = Climate(
        precipitation=(Component(variance=1.0, memory=0.2),),
        temperature=(Component(variance=1.0, memory=0.2),),
    )
    generator = WeatherGenerator(simulate_terrain(3, 4, 5.0, seed=0), climate)
    assert generator.count == 3
    weather = generator.weather(np.ones((2, 1, 3), dtype=np.float32), np.array([1, 2]))
    scaled = weather[0, :, 0] / generator.terrain.annual_precipitation.reshape(-1)
    np.testing.assert_allclose(scaled, scaled[:, :1].repeat(12, axis=1), rtol=1e-5)
