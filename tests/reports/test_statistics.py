from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_itwin.reports import statistics

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 19, 50])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.9, 0.975, 0.999])
def test_student_quantiles_are_those_of_scipy(probability: float, degrees: int) -> None:
    expected = stats.t.ppf(probability, degrees)
    assert statistics.student_t_quantile(probability, degrees) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("count", range(6, 31))
def test_the_signed_rank_interval_is_the_narrowest_that_covers(count: int) -> None:
    # exact distribution by brute enumeration of the polynomial prod (1 + x^rank)
    ways = np.ones(1)
    for rank in range(1, count + 1):
        step = np.zeros(rank + 1)
        step[[0, rank]] = 1
        ways = np.convolve(ways, step)
    cumulative = np.cumsum(ways) / 2.0**count
    bound = statistics._signed_rank_bound(count)
    assert cumulative[bound] <= 0.025 < cumulative[bound + 1]


def test_the_interval_of_a_single_repeat_is_unknown() -> None:
    found = statistics.median_interval([12.0])
    assert (found.value, found.low, found.high) == (12.0, None, None)


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [-1.0]])
def test_what_is_no_time_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="one positive number a repeat"):
        statistics.median_interval(values)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 20])
def test_the_median_lies_in_its_interval_and_scales_with_the_unit(count: int) -> None:
    values = list(12 * np.exp(0.1 * np.random.default_rng(3).normal(size=count)))
    seconds = statistics.median_interval(values)
    milliseconds = statistics.median_interval([1000 * value for value in values])
    assert seconds.low is not None
    assert seconds.high is not None
    assert milliseconds.low is not None
    assert seconds.value == pytest.approx(np.median(values))
    assert 0 < seconds.low < seconds.value < seconds.high
    assert milliseconds.low == pytest.approx(1000 * seconds.low)


def test_equal_repeats_have_an_interval_of_no_width() -> None:
    for count in (2, 3, 5, 10):
        found = statistics.median_interval([2.0] * count)
        assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_the_interval_of_three_repeats_is_that_of_the_studentised_median() -> None:
    logs = np.log([10.0, 11.0, 12.5])
    half = 2.544 * logs.std(ddof=1)
    found = statistics.median_interval([12.5, 10.0, 11.0])
    assert (found.low, found.high) == pytest.approx((11 * math.exp(-half), 11 * math.exp(half)))


@pytest.mark.parametrize(
    "noise",
    [
        lambda rng, size: 1 + 0.03 * rng.normal(size=size),
        lambda rng, size: np.exp(0.3 * rng.normal(size=size)),
    ],
    ids=["normal", "skewed"],
)
@pytest.mark.parametrize("repeats", [3, 20])
def test_the_interval_covers_the_truth_as_often_as_it_says(noise, repeats: int) -> None:
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(300):
        found = statistics.median_interval(list(12 * noise(rng, repeats)))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 12 <= found.high
    assert 0.90 <= held / 300 <= 0.985


@pytest.mark.parametrize(("repeats", "noise"), [(20, 0.03), (5, 0.015), (3, 0.01)])
def test_a_true_difference_of_3_percent_is_ranked_right(repeats: int, noise: float) -> None:
    rng = np.random.default_rng(5)
    right = 0
    for _ in range(400):
        rounds = np.exp(0.1 * rng.normal(size=repeats))
        fast = rounds * (1 + noise * rng.normal(size=repeats))
        slow = 1.03 * rounds * (1 + noise * rng.normal(size=repeats))
        right += statistics.compare(dict(enumerate(fast)), dict(enumerate(slow))).ratio < 1
    assert right / 400 >= 0.95


@pytest.mark.parametrize("repeats", [3, 6, 20])
def test_alike_strategies_are_seldom_called_decided(repeats: int) -> None:
    rng = np.random.default_rng(6)
    decided = sum(
        statistics.compare(
            dict(enumerate(np.exp(0.03 * rng.normal(size=repeats)))),
            dict(enumerate(np.exp(0.03 * rng.normal(size=repeats)))),
        ).decided
        for _ in range(600)
    )
    assert decided / 600 <= 0.08


def test_a_comparison_is_turned_round_by_turning_the_series_round() -> None:
    first, second = {0: 3.0, 1: 4.0, 2: 5.5}, {0: 2.0, 1: 3.0, 2: 4.0}
    there, back = statistics.compare(first, second), statistics.compare(second, first)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(1 / back.high)


def test_the_paired_interval_of_few_rounds_is_students() -> None:
    first, second = {0: 3.0, 1: 4.0, 2: 5.5}, {2: 4.0, 0: 2.0, 1: 3.0, 7: 9.0}
    logs = np.log([3 / 2, 4 / 3, 5.5 / 4])
    expected = stats.t.interval(0.95, 2, logs.mean(), logs.std(ddof=1) / math.sqrt(3))
    found = statistics.compare(first, second)
    assert found.rounds == 3
    assert (found.low, found.high) == pytest.approx(tuple(np.exp(expected)))


def test_repeats_of_no_common_round_are_compared_as_they_are() -> None:
    found = statistics.compare({"a": 2.0, "b": 2.02, "c": 1.98}, {"d": 1.0, "e": 1.01, "f": 0.99})
    assert found.rounds == 0
    assert found.ratio == pytest.approx(2.0)
    assert found.decided


def test_two_single_runs_decide_nothing() -> None:
    found = statistics.compare({0: 2.0}, {0: 1.0})
    assert (found.ratio, found.low, found.decided) == (2.0, None, False)
    with pytest.raises(ValueError, match="empty"):
        statistics.compare({}, {0: 1.0})
