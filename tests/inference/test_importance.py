from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_itwin.inference.importance import importance_weights, normalise, pareto_k, resample


def gaussian_weights(num: int, width: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample N(0, width^2) for a target of exp(-x^2 / 2), whose integral is sqrt(2 pi)."""
    samples = width * np.random.default_rng(seed).normal(size=num)
    log_proposal = -0.5 * (samples / width) ** 2 - math.log(width * math.sqrt(2 * math.pi))
    return samples, -0.5 * samples**2, log_proposal


def test_evidence_and_efficiency_of_a_wide_proposal() -> None:
    _, target, proposal = gaussian_weights(200_000, width=1.5)
    found = importance_weights(target, proposal)
    # E w^2 / (E w)^2 = width^2 / sqrt(2 width^2 - 1)
    assert found.efficiency == pytest.approx(math.sqrt(2 * 1.5**2 - 1) / 1.5**2, rel=0.01)
    assert abs(found.log_evidence - 0.5 * math.log(2 * math.pi)) < 4 * found.log_evidence_error
    assert found.log_evidence_error == pytest.approx(
        math.sqrt((1 / found.efficiency - 1) / 200_000), rel=1e-12
    )
    assert found.invalid == 0
    assert found.pareto_k < 0.3


def test_the_standard_error_is_the_spread_over_repeats() -> None:
    runs = [importance_weights(*gaussian_weights(1000, 1.5, seed)[1:]) for seed in range(400)]
    spread = np.std([run.log_evidence for run in runs])
    assert np.mean([run.log_evidence_error for run in runs]) == pytest.approx(spread, rel=0.15)


def test_a_proposal_that_is_too_narrow_has_a_heavy_tail() -> None:
    # Weights of a proposal of width s have the tail index k = 1 - s^2.
    for width, low, high in ((0.5, 0.6, 0.9), (0.9, 0.05, 0.35)):
        _, target, proposal = gaussian_weights(100_000, width)
        assert low < importance_weights(target, proposal).pareto_k < high


def test_the_tail_is_the_one_that_was_put_in() -> None:
    random = np.random.default_rng(3)
    for k in (0.3, 0.7, 1.0):
        weights = (random.random(100_000) ** -k - 1) / k + 1
        assert pareto_k(np.log(weights)) == pytest.approx(k, abs=0.1)
    assert pareto_k(np.zeros(1000)) == -math.inf
    assert math.isnan(pareto_k(np.zeros(10)))


def test_nan_rows_weigh_nothing_and_are_counted() -> None:
    target = np.array([0.0, math.nan, -math.inf, math.inf, 0.0, 0.0])
    proposal = np.array([0.0, 0.0, 0.0, 0.0, math.nan, -math.inf])
    found = importance_weights(target, proposal)
    assert found.invalid == 4
    assert found.normalised.tolist() == [1, 0, 0, 0, 0, 0]
    assert found.log_evidence == pytest.approx(-math.log(6))
    nothing = importance_weights(np.full(3, -math.inf), np.zeros(3))
    assert (nothing.efficiency, nothing.log_evidence, nothing.log_evidence_error) == (0, -math.inf, math.inf)


def test_large_log_weights_do_not_overflow() -> None:
    found = importance_weights(np.array([5000.0, 5000.0]), np.zeros(2))
    assert found.log_evidence == 5000
    assert found.normalised.tolist() == [0.5, 0.5]


def test_resampling_keeps_the_weights() -> None:
    weights = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        drawn = resample(np.log(weights), 1000, seed=4)
    np.testing.assert_array_equal(np.bincount(drawn, minlength=4), [100, 0, 600, 300])
    np.testing.assert_array_equal(resample(np.zeros(5), 10, seed=1), resample(np.zeros(5), 10, seed=1))
    with pytest.raises(ValueError, match="missed the posterior"):
        resample(np.full(3, -math.inf), 5, seed=0)


def test_one_density_a_sample() -> None:
    with pytest.raises(ValueError, match="One density a sample"):
        importance_weights(np.zeros(3), np.zeros(4))
    assert normalise(np.full(2, -math.inf)).tolist() == [0, 0]
