from __future__ import annotations

import math

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from lightning_itwin.hpo.policies.configurations import Configuration
from lightning_itwin.hpo.policies.encoding import Encoding
from lightning_itwin.hpo.policies.observations import at_the_end, most_telling, observe, scaled


def configuration(number: int, curve: dict[int, float], **more: bool) -> Configuration:
    return Configuration(number=number, params={"x": number / 10}, distributions={}, curve=curve, **more)


def test_a_curve_gives_its_rungs_and_its_end() -> None:
    configurations = [
        configuration(0, {1: 4.0, 2: 2.0, 3: 3.0, 4: 1.0}),
        configuration(1, {}, busy=True),
        configuration(2, {1: 2.0}),
    ]
    seen = observe(configurations, Encoding({"x": FloatDistribution(0, 1)}), (1, 3, 9))
    assert seen.count == 4
    assert seen.points.c.tolist() == [0, 0, 0, 2]
    assert seen.points.z == pytest.approx(np.log([1, 3, 4, 1]) / np.log(9))
    assert seen.points.x[:, 0] == pytest.approx([0, 0, 0, 0.2])
    logs = np.log([4.0, 2.0, 1.0, 2.0])  # the lowest up to there
    assert seen.values_N == pytest.approx((logs - logs.mean()) / logs.std())


def test_what_diverged_or_was_lost_is_as_poor_as_the_poorest() -> None:
    configurations = [
        configuration(0, {1: 1.0}),
        configuration(1, {1: 2.0}),
        configuration(2, {1: 3.0, 2: math.nan}),
        configuration(3, {}, lost=True),
        configuration(4, {1: 1e30}),
    ]
    seen = observe(configurations, Encoding({"x": FloatDistribution(0, 1)}), (1, 3))
    assert seen.points.c.tolist() == [0, 1, 2, 2, 3, 4]
    assert seen.values_N[3:] == pytest.approx(seen.values_N.max())
    assert seen.values_N[2] < seen.values_N[3]  # what it had shown before


def test_losses_take_their_logarithm_up_to_a_fence() -> None:
    values = scaled(np.array([1.0, math.e, math.e**2, math.e**3, math.e**4, math.e**40, math.inf]))
    low, high = np.percentile([0, 1, 2, 3, 4, 40], [25, 75])
    fence = high + 1.5 * (high - low)
    assert values == pytest.approx([0, 1, 2, 3, 4, fence, fence])


def test_scores_below_zero_keep_their_order_and_take_no_logarithm() -> None:
    accuracies = -np.array([0.9, 0.5, 0.1, 0.0])
    values = scaled(accuracies)
    assert (np.diff(values) > 0).all()
    assert values[0] == pytest.approx(np.arcsinh(-1.0))  # the best is one unit below the median


def test_values_that_are_all_alike_are_zero() -> None:
    configurations = [configuration(number, {1: 0.0}) for number in range(3)]
    seen = observe(configurations, Encoding({"x": FloatDistribution(0, 1)}), (1, 3))
    assert seen.values_N.tolist() == [0.0, 0.0, 0.0]


def test_of_too_many_the_ends_and_the_low_stay() -> None:
    values = np.arange(20.0)
    ends = values % 2 == 0
    kept = most_telling(values, ends, most=9)
    assert len(kept) == 9
    assert set(range(0, 12, 2)) <= set(kept.tolist())  # two thirds: the lowest ends
    assert 19 in kept  # the rest: spread over what is left
    assert most_telling(values, ends, most=20).tolist() == list(range(20))


def test_the_end_of_a_training_is_one() -> None:
    points = at_the_end(np.array([[0.1], [0.2], [0.3]]), np.array([2, 0]))
    assert (points.x[:, 0].tolist(), points.z.tolist(), points.c.tolist()) == ([0.3, 0.1], [1, 1], [2, 0])
