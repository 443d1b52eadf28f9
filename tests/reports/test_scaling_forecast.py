from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from lightning_itwin.reports.scaling_forecast import ScalingPosterior, fit_scaling

COUNTS = (1, 2, 4, 8, 16)


def quantiles(posterior: ScalingPosterior, workers: int) -> tuple[float, float, float]:
    low, middle, high = np.quantile(posterior.epoch_times_s(workers), (0.05, 0.5, 0.95))
    return float(low), float(middle), float(high)


@pytest.mark.parametrize(
    "truth",
    [
        lambda p: 100 / p,
        lambda p: 100 / p + 3,
        lambda p: 100 / p + 2 + 0.5 * math.log2(p) / p,
        lambda p: 100 / p + 1 + 0.5 * math.log2(p),
        lambda p: 100 / p + 1 + 0.05 * (p - 1),
        lambda p: 100 / p + 20 * (p - 1) / p**2 + 1,
    ],
)
def test_every_law_of_a_strong_scaling_is_within_reach(truth: Callable[[int], float]) -> None:
    posterior = fit_scaling(COUNTS, [truth(p) for p in COUNTS])
    for workers in (12, 32, 64):
        low, _, high = quantiles(posterior, workers)
        assert low <= truth(workers) <= high
    assert quantiles(posterior, 12)[1] == pytest.approx(truth(12), rel=0.04)


@pytest.mark.parametrize(
    "truth",
    [
        lambda p: 10.0,
        lambda p: 10 + 2 * (p - 1) / p,
        lambda p: 10 + 0.3 * math.log2(p),
        lambda p: 10 + 0.02 * p,
    ],
)
def test_every_law_of_a_weak_scaling_is_within_reach(truth: Callable[[int], float]) -> None:
    posterior = fit_scaling(COUNTS, [truth(p) for p in COUNTS], scaling="weak")
    low, _, high = quantiles(posterior, 64)
    assert low <= truth(64) <= high


def test_published_curves_are_predicted_better_than_by_amdahls_law() -> None:
    curves = [  # benchmarks/scaling_forecast.py
        (51.18, 27.74, 15.38, 9.09),
        (57.23, 31.46, 17.86, 11.19),
        (57.83, 31.92, 18.42, 11.07),
        (2.65, 1.69, 1.29, 1.06),
        (3.94, 2.83, 2.35, 2.15),
        (2.92, 1.99, 1.41, 1.11),
    ]
    errors = []
    for times in curves:
        low, middle, high = quantiles(fit_scaling((4, 8, 16), times[:3]), 32)
        assert low <= times[3] <= high
        errors.append(abs(middle / times[3] - 1))
    assert np.mean(errors) < 0.035
    assert max(errors) < 0.07


def test_an_interval_grows_with_the_distance_and_with_the_noise() -> None:
    times = [100 / p + 3 for p in COUNTS]
    widths = []
    for errors in (None, [0.1] * 5):
        posterior = fit_scaling(COUNTS, times, errors)
        for workers in (16, 32, 64):
            low, middle, high = quantiles(posterior, workers)
            widths.append((high - low) / middle)
    assert widths[0] < widths[1] < widths[2]
    assert widths[3] > 2 * widths[0]


def test_a_noisy_row_counts_less() -> None:
    times = [100 / p + 3 for p in COUNTS]
    times[-1] *= 1.5
    trusted = quantiles(fit_scaling(COUNTS, times, [0.01] * 5), 32)[1]
    doubted = quantiles(fit_scaling(COUNTS, times, [0.01] * 4 + [0.5]), 32)[1]
    assert abs(doubted - 6.125) < abs(trusted - 6.125)


def test_the_same_numbers_give_the_same_forecast_in_any_order() -> None:
    first = fit_scaling((1, 2, 4), (10.0, 6.0, 4.0)).epoch_times_s(8)
    assert np.array_equal(first, fit_scaling((1, 2, 4), (10.0, 6.0, 4.0)).epoch_times_s(8))
    turned = np.median(fit_scaling((4, 1, 2), (4.0, 10.0, 6.0)).epoch_times_s(8))
    assert turned == pytest.approx(np.median(first), rel=0.05)


def test_the_unit_of_time_does_not_matter() -> None:
    seconds = fit_scaling((1, 2, 4), (10.0, 6.0, 4.0)).epoch_times_s(8)
    milliseconds = fit_scaling((1, 2, 4), (1e4, 6e3, 4e3)).epoch_times_s(8)
    assert np.median(milliseconds) == pytest.approx(1000 * np.median(seconds), rel=1e-6)


def test_amdahls_knee_is_found() -> None:
    serial = 0.1
    times = [100 * (serial + (1 - serial) / p) for p in (1, 2, 4, 8, 16)]
    knees = fit_scaling(COUNTS, times).knees()
    low, middle, high = np.quantile(knees, (0.05, 0.5, 0.95))
    assert low <= (1 - serial) / serial <= high
    assert middle == pytest.approx(9, abs=2)


def test_a_perfect_scaling_has_its_knee_out_of_reach() -> None:
    assert np.median(fit_scaling(COUNTS, [100 / p for p in COUNTS]).knees()) == 64
    assert np.median(fit_scaling(COUNTS, [10.0] * 5, scaling="weak").knees()) == 64


def test_what_lies_too_far_is_refused() -> None:
    posterior = fit_scaling((2, 4), (6.0, 4.0))
    posterior.epoch_times_s(16)
    with pytest.raises(ValueError, match=r"17 workers cannot be forecast.*from 1 to 16"):
        posterior.epoch_times_s(17)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((2,), (1.0,)), "two different numbers"),
        (((2, 2), (1.0, 1.1)), "two different numbers"),
        (((1, 2), (1.0,)), "two different numbers"),
        (((0, 2), (1.0, 2.0)), "two different numbers"),
        (((1, 2), (1.0, 0.0)), "positive seconds"),
        (((1, 2), (1.0, math.nan)), "positive seconds"),
        (((1, 2), (1.0, 1.0), None, "upwards"), "there are strong, weak"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_scaling(*arguments)  # type: ignore[arg-type]
