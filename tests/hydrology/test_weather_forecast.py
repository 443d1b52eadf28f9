"""Tests of simulated weather forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.hydrology.weather_forecast import WEATHER_LEADS, forecast_weights, with_forecasts

MEMBERS = 20


@pytest.fixture(scope="module")
def issued() -> tuple[np.ndarray, np.ndarray]:
    """Forecasts, (4, D, L, C), and the truth, (2, D, C), over four years."""
    simulator = AlpsSimulator(years=4, rows=3, columns=3, spacing_km=20.0)
    found = list(
        with_forecasts(simulator.blocks([0]), simulator.weather_generator, simulator.time, 1, [0], MEMBERS)
    )
    run = simulator.run()
    truth = np.stack([run.precipitation[0], run.temperature[0]]).reshape(2, len(run.time), 9)
    return np.concatenate([forecast[:, :, 0] for _, forecast in found], axis=1), truth


def errors(issued: tuple[np.ndarray, np.ndarray], lead: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    forecast, truth = issued
    ahead = truth[number, lead:]
    return forecast[2 * number, :-lead, lead - 1] - ahead, forecast[2 * number + 1, :-lead, lead - 1]


def test_weights_fall_with_the_lead_and_the_length() -> None:
    generator = AlpsSimulator(years=1).weather_generator
    weight = forecast_weights(generator)
    assert weight.shape == (WEATHER_LEADS, generator.count)
    assert (np.diff(weight, axis=0) < 0).all()
    assert weight[0, 0] == pytest.approx(np.exp(-((1 / 8) ** 1.5)))
    assert weight[4, generator.lengths_km == 20.0].max() < weight[4, generator.lengths_km == 60.0].min()


@pytest.mark.parametrize("number", [0, 1])
def test_forecasts_are_skilful_at_first(issued: tuple[np.ndarray, np.ndarray], number: int) -> None:
    square = [np.mean(errors(issued, lead, number)[0] ** 2) for lead in (1, 3, 7, 15)]
    assert square == sorted(square)
    assert square[0] < 0.4 * square[-1]


def test_the_spread_is_that_of_the_errors(issued: tuple[np.ndarray, np.ndarray]) -> None:
    for lead in (3, 7, 15):
        error, spread = errors(issued, lead, 1)
        expected = np.mean(spread.astype(np.float64) ** 2) * (1 + 1 / MEMBERS)
        assert np.mean(error.astype(np.float64) ** 2) == pytest.approx(expected, rel=0.15)
