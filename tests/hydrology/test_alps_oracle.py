"""Tests of the limit of predictability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightning_itwin.hydrology import AlpsSimulator
from lightning_itwin.hydrology.alps_oracle import oracle, state_after
from lightning_itwin.hydrology.alps_simulator import AlpsRun
from lightning_itwin.hydrology.regime_filter import RegimeRegression, regime_from_circulation

LEADS, MEMBERS = [1, 7, 21, 60], 19


@pytest.fixture(scope="module")
def run() -> AlpsRun:
    return AlpsSimulator(years=16, realizations=8, rows=2, columns=2, spacing_km=60.0).run()


@pytest.fixture(scope="module")
def forecasts(run: AlpsRun) -> tuple[np.ndarray, np.ndarray]:
    """Ensembles, (N, L, M), and the truth, (N, L), of many seasons and realizations, cell by cell."""
    origins = list(range(100, len(run.time) - 61, 117))
    ensembles = np.stack([oracle(run, origins, LEADS, MEMBERS, 3, number) for number in range(8)])
    truth = run.soil_moisture.reshape(8, len(run.time), -1)
    days = np.array(origins)[:, None] + LEADS
    return (
        ensembles.transpose(0, 1, 4, 2, 3).reshape(-1, len(LEADS), MEMBERS),
        truth[:, days].transpose(0, 1, 3, 2).reshape(-1, len(LEADS)),
    )


def crps(ensemble: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fair CRPS over the last axis, straight from its definition."""
    members = ensemble.shape[-1]
    error = np.abs(ensemble - truth[..., None]).mean(axis=-1)
    spread = np.abs(ensemble[..., :, None] - ensemble[..., None, :]).sum(axis=(-1, -2))
    return error - spread / (2 * members * (members - 1))


def test_the_state_is_that_of_the_run(run: AlpsRun) -> None:
    terrain = run.simulator.terrain
    for day in (0, 63, 64, 1000, len(run.time) - 1):
        state = state_after(run, day, realization=1)
        moisture = state[2] / terrain.root_depth.reshape(-1) + terrain.wilting_point.reshape(-1)
        np.testing.assert_allclose(moisture, run.soil_moisture[1, day].reshape(-1), rtol=1e-6)
    np.testing.assert_array_equal(state, run.end[1])


@pytest.mark.parametrize("realizations", [1, 3])
def test_a_run_stays_as_it_is(realizations: int) -> None:
    run = AlpsSimulator(years=1, realizations=realizations, rows=2, columns=3).run()
    before = {name: np.copy(value) for name, value in vars(run).items() if isinstance(value, np.ndarray)}
    first = oracle(run, [100, 200], [1, 5], 3, seed=0)
    np.testing.assert_array_equal(oracle(run, [100, 200], [1, 5], 3, seed=0), first)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(run, name), value)


def test_the_truth_is_one_of_the_members(forecasts: tuple[np.ndarray, np.ndarray]) -> None:
    ensemble, truth = forecasts
    # Chi squared of the ranks in five classes. Neighbouring origins, and cells, are related: the number of
    # independent cases is taken to be that of origins, a quarter of all.
    rank = (ensemble < truth[..., None]).sum(axis=-1) + 0.5 * (ensemble == truth[..., None]).sum(axis=-1)
    for number in range(len(LEADS)):
        share = np.histogram(rank[:, number] / MEMBERS, bins=5, range=(0, 1 + 1e-9))[0] / len(rank)
        statistic = len(rank) / 4 * np.sum((share - 0.2) ** 2 / 0.2)
        assert statistic < 18.5, (LEADS[number], share)  # p = 0.001 of four degrees of freedom


def test_no_other_forecast_scores_better(forecasts: tuple[np.ndarray, np.ndarray]) -> None:
    ensemble, truth = forecasts
    ideal = crps(ensemble, truth).mean(axis=0)
    centre = ensemble.mean(axis=-1, keepdims=True)
    others = {
        "sharper": centre + 0.7 * (ensemble - centre),
        "wider": centre + 1.4 * (ensemble - centre),
        "shifted": ensemble + 0.3 * ensemble.std(axis=-1, keepdims=True),
        "another day's": np.roll(ensemble, 4 * 9, axis=0),
    }
    for name, other in others.items():
        assert (crps(other, truth).mean(axis=0) > ideal).all(), name
    assert (np.diff(ideal) > 0).all()


def test_an_origin_does_not_depend_on_the_others(run: AlpsRun) -> None:
    together = oracle(run, [300, 500, 700], [2, 5], 4, seed=1)
    np.testing.assert_array_equal(oracle(run, [700], [2, 5], 4, seed=1)[0], together[2])
    assert together.shape == (3, 2, 4, 4)
    assert together.dtype == np.float32
    assert not np.array_equal(oracle(run, [700], [2, 5], 4, seed=2)[0], together[2])
    assert not np.array_equal(oracle(run, [700], [2, 5], 4, 1, realization=1)[0], together[2])


def test_lead_one_of_a_frozen_or_dry_day_is_the_next_day(run: AlpsRun) -> None:
    dry = np.flatnonzero((run.precipitation[0, 1:].reshape(-1, 4) == 0).all(axis=1))[:20]
    ensemble = oracle(run, dry, [1], 200, seed=0)[:, 0]
    truth = run.soil_moisture[0, dry + 1].reshape(len(dry), 4)
    # Days without rain differ by evaporation alone: the driest members lie close to the truth.
    assert (np.abs(ensemble - truth[:, None]).min(axis=1) < 2e-4).mean() > 0.9


def test_the_filter_of_the_circulation_is_calibrated(run: AlpsRun) -> None:
    standard = []
    for number in range(8):
        mean, variance = regime_from_circulation(run, number)
        assert 0.02 < variance[-1] < 0.5
        standard.append((run.regime[number] - mean)[100:] / np.sqrt(variance[100:]))
    assert np.mean(np.square(standard)) == pytest.approx(1, abs=0.12)


def test_the_filter_does_not_see_the_future(run: AlpsRun) -> None:
    mean, _ = regime_from_circulation(run)
    short = run.modes.copy()
    short[:, 500:] = 9
    altered = AlpsRun(**{**vars(run), "modes": short})
    np.testing.assert_array_equal(regime_from_circulation(altered)[0][:500], mean[:500])


def test_the_regression_knows_less_than_the_filter(run: AlpsRun) -> None:
    other = AlpsSimulator(years=16, realizations=8, rows=2, columns=2, spacing_km=60.0, weather_seed=5).run()
    regression = RegimeRegression.fit(other)
    mean, variance = regression.estimate(run, 2)
    assert regime_from_circulation(run, 2)[1][-1] < variance[-1] < 0.75
    error = np.mean([(regression.estimate(run, n)[0] - run.regime[n])[200:] ** 2 for n in range(8)])
    assert error == pytest.approx(regression.variance, rel=0.15)
    assert mean.shape == (len(run.time),)


def test_who_does_not_see_the_regime_scores_between(
    run: AlpsRun, forecasts: tuple[np.ndarray, np.ndarray]
) -> None:
    origins = list(range(100, len(run.time) - 61, 117))
    truth = run.soil_moisture.reshape(8, len(run.time), -1)
    blind = (np.zeros(len(run.time)), np.ones(len(run.time)))
    scores = []
    for regime in ("seen", "filtered", "unknown"):
        found = []
        for number in range(8):
            known = {"seen": None, "filtered": regime_from_circulation(run, number), "unknown": blind}[regime]
            ensemble = oracle(run, origins, [21], MEMBERS, 3, number, regime=known)[:, 0]
            found.append(crps(np.moveaxis(ensemble, 1, -1), truth[number, np.array(origins) + 21]).mean())
        scores.append(np.mean(found))
    assert scores[0] < scores[1] < scores[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"leads": [0]}, "at least 1"),
        ({"leads": []}, "at least 1"),
        ({"members": 0}, "at least 1"),
        ({"origins": [-1]}, "days from 0"),
        ({"origins": [10**6]}, "days from 0"),
        ({"realization": 8}, "realization must be from 0 to 7"),
    ],
)
def test_what_cannot_be_is_refused(run: AlpsRun, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        oracle(run, **{"origins": [5], "leads": [1], "members": 2, "seed": 0} | change)
