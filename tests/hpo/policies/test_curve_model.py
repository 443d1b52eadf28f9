from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from lightning_itwin.hpo.policies import curve_model
from lightning_itwin.hpo.policies.curve_model import CurveModel, Points


def some(count: int = 30, seed: int = 0) -> tuple[Points, np.ndarray]:
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, 10, count)
    points = Points(x=rng.random((10, 3))[owner], z=rng.random(count), c=owner)
    values = np.sin(4 * points.x[:, 0]) - points.z + 0.1 * rng.normal(size=count)
    return points, (values - values.mean()) / values.std()


def loss_of(model: CurveModel, points: Points, values: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    """The function that ``fit`` lowers."""
    found = {}

    def keep(loss, start, **_):
        found["loss"] = loss
        return type("Result", (), {"x": start})

    monkeypatch.setattr(curve_model.optimize, "minimize", keep)
    model.fit(points, values)
    monkeypatch.undo()
    return found["loss"]


def test_the_loss_is_the_probability_of_the_values_and_of_the_hyperparameters(monkeypatch) -> None:
    points, values = some()
    model = CurveModel(np.array([0, 1, 1]))
    loss = loss_of(model, points, values, monkeypatch)
    theta = model.centre_H + 0.3
    model.theta_H = theta
    covariance = model.covariance(points, points) + np.exp(theta[-1]) * np.eye(len(values))
    evidence = multivariate_normal(np.zeros(len(values)), covariance).logpdf(values)
    prior = -0.5 * (0.3**2 / model.spread_H**2).sum()
    constant = -0.5 * len(values) * np.log(2 * np.pi)
    assert loss(theta)[0] == pytest.approx(-(evidence - constant + prior), rel=1e-9)


def test_the_gradient_is_that_of_the_loss(monkeypatch) -> None:
    points, values = some()
    model = CurveModel(np.array([0, 1, 1]))
    loss = loss_of(model, points, values, monkeypatch)
    theta = model.centre_H + 0.2 * np.random.default_rng(1).normal(size=model.centre_H.size)
    expected = approx_fprime(theta, lambda theta: loss(theta)[0], 1e-6)
    assert loss(theta)[1] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_prediction_is_that_of_a_conditioned_normal_distribution() -> None:
    points, values = some(12)
    asked, _ = some(5, seed=3)
    asked = asked.unknown()
    model = CurveModel(np.array([0, 1, 2]))
    model.condition(points, values)
    mean, deviation = model.predict(asked)
    noisy = model.covariance(points, points) + np.exp(model.theta_H[-1]) * np.eye(12)
    cross = model.covariance(points, asked)
    assert mean == pytest.approx(cross.T @ np.linalg.solve(noisy, values), rel=1e-8)
    own = np.exp(model.theta_H[-2])  # what a configuration has for itself
    variance = np.diag(model.covariance(asked, asked) - cross.T @ np.linalg.solve(noisy, cross)) + own
    assert deviation == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_it_learns_that_slow_starters_end_well() -> None:
    """Curves cross: the higher x, the later and the lower it ends."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 12)
    epochs = [np.arange(1, 41) if index % 3 == 0 else np.arange(1, 4) for index in range(12)]

    def curve(x: float, epoch: np.ndarray) -> np.ndarray:
        return 1.0 - 0.6 * x + np.exp(-epoch / (1 + 8 * x)) * (1 + x)

    c = np.repeat(np.arange(12), [len(one) for one in epochs])
    epoch = np.concatenate(epochs)
    values = np.concatenate([curve(x[i], epochs[i]) for i in range(12)]) + 0.005 * rng.normal(size=len(c))
    points = Points(x=x[c][:, None], z=np.log(epoch) / np.log(40), c=c)
    mean, spread = values.mean(), values.std()
    model = CurveModel(np.array([0]))
    model.fit(points, (values - mean) / spread)
    model.condition(points, (values - mean) / spread)
    ends, deviations = model.predict(Points(x=x[:, None], z=np.ones(12), c=np.arange(12)))
    truth = np.array([curve(one, np.array(40.0)) for one in x])
    assert np.abs(ends * spread + mean - truth)[:-1].max() < 0.1  # the last lies beyond what was run
    assert values[(epoch == 3) & (c == 10)] > values[(epoch == 3) & (c == 1)]  # though it started worse
    assert ends[10] < ends[1]
    assert deviations[0] < deviations[10]  # one ran to its end
