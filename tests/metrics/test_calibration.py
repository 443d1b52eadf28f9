from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_itwin.metrics import (
    IntervalCoverage,
    PITHistogram,
    at_levels,
    cdf_of_quantiles,
    pit_of_ensemble,
    randomised_pit,
)

LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]
NAN = float("nan")


def samples(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_rank_among_members_counts_ties() -> None:
    ensemble = torch.tensor([1.0, 2.0, 2.0, 3.0])
    found = [pit_of_ensemble(ensemble, torch.tensor(y)) for y in (0.0, 2.0, 2.5, 9.0)]
    ranges = torch.tensor([[float(low), float(high)] for low, high in found]) * 5
    torch.testing.assert_close(ranges, torch.tensor([[0.0, 1.0], [1.0, 4.0], [3.0, 4.0], [4.0, 5.0]]))


@pytest.mark.parametrize(
    ("target", "low", "high"),
    [
        (-1.0, 0.0, 0.1),  # below all quantiles
        (0.0, 0.0, 0.1),  # on the least
        (0.5, 0.175, 0.175),
        (1.0, 0.25, 0.75),  # a mass: three quantiles coincide
        (1.5, 0.825, 0.825),
        (2.0, 0.9, 1.0),
        (3.0, 0.9, 1.0),
    ],
)
def test_the_distribution_function_of_quantiles(target: float, low: float, high: float) -> None:
    found = cdf_of_quantiles(torch.tensor([0.0, 1.0, 1.0, 1.0, 2.0]), torch.tensor(target), LEVELS)
    assert [float(end) for end in found] == pytest.approx([low, high])


def test_a_target_on_a_quantile_has_its_level() -> None:
    low, high = cdf_of_quantiles(torch.arange(5.0).expand(3, -1), torch.tensor([1.0, 2.0, 3.0]), LEVELS)
    torch.testing.assert_close(low, torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(high, low)


def test_missing_values_have_no_pit() -> None:
    quantiles = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, NAN, 2.0, 3.0, 4.0]])
    assert cdf_of_quantiles(quantiles, torch.tensor([NAN, 1.5]), LEVELS)[0].isnan().all()
    assert pit_of_ensemble(quantiles, torch.tensor([NAN, 1.5]))[1].isnan().all()


def test_a_calibrated_forecast_has_a_flat_histogram_and_a_narrow_one_a_u() -> None:
    target = samples(50_000)
    levels = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    quantiles = torch.special.ndtri(levels).expand(len(target), -1)
    flat = PITHistogram("quantiles", levels=levels)(quantiles, target)
    np.testing.assert_allclose(flat, 0.1, atol=0.005)
    narrow = PITHistogram("quantiles", levels=levels)(quantiles / 2, target)
    assert narrow[0] > 0.2
    assert narrow[-1] > 0.2
    np.testing.assert_allclose(PITHistogram("cdf")(torch.special.ndtr(target), target), 0.1, atol=0.005)
    np.testing.assert_allclose(PITHistogram()(samples(50_000, 9, seed=1), target), 0.1, atol=0.005)


def test_the_histogram_is_the_mean_of_randomised_ones() -> None:
    ensemble, target = samples(300, 7), samples(300, seed=1).round(decimals=0)
    ensemble = ensemble.round(decimals=0)  # many ties
    lower, upper = pit_of_ensemble(ensemble, target)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([randomised_pit(lower, upper, generator) for _ in range(400)])
    wanted = torch.histc(drawn, 10, 0, 1) / len(drawn)
    np.testing.assert_allclose(PITHistogram()(ensemble, target), wanted, atol=2e-3)


def test_edges_of_bins_hold_the_pit() -> None:
    found = PITHistogram("cdf", bins=4)(torch.tensor([0.0, 0.25, 0.5, 1.0]), torch.zeros(4))
    assert found.tolist() == [0.25, 0.25, 0.25, 0.25]
    assert float(PITHistogram("cdf", bins=3)(torch.rand(99), torch.zeros(99)).sum()) == pytest.approx(1)


def test_coverage_of_several_intervals_from_quantiles() -> None:
    target = samples(100_000)
    quantiles = torch.special.ndtri(torch.tensor(LEVELS, dtype=torch.float64)).expand(len(target), -1)
    found = IntervalCoverage([0.5, 0.8], LEVELS)(quantiles, target)
    np.testing.assert_allclose(found, [0.5, 0.8], atol=0.005)


def test_coverage_of_given_ends_and_their_width() -> None:
    metric = IntervalCoverage()
    metric.update(
        torch.tensor([[0.0, 2.0], [0.0, 2.0], [0.0, 1.0], [0.0, 9.0]]), torch.tensor([0.0, 2.0, 3.0, NAN])
    )
    assert float(metric.compute()) == pytest.approx(2 / 3)
    assert float(metric.mean_width()) == pytest.approx(5 / 3)


def test_coverage_where_soil_is_dry() -> None:
    ends = torch.tensor([-1.0, 1.0]).expand(6, 2, 2)
    target = torch.tensor([[-2.0, 0.0], [0.0, 0.0], [-2.0, 2.0], [0.5, 0.5], [0.0, 2.0], [2.0, 2.0]])
    decile = torch.tensor([0, 0, 0, 1, 1, 1])
    metric = IntervalCoverage(num_outputs=2, num_groups=2)
    metric.update(ends, target, decile)
    np.testing.assert_allclose(metric.compute(), [[1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    only_dry = IntervalCoverage(num_groups=1)
    only_dry.update(ends, target, torch.where(target < 0.2, 0, -1))  # a mask, sample by sample
    assert float(only_dry.compute()) == pytest.approx(4 / 6)


def test_levels_are_interpolated() -> None:
    quantiles = torch.tensor([[0.0, 1.0, 3.0]])
    found = at_levels(quantiles, [0.1, 0.5, 0.9], [0.1, 0.3, 0.5, 0.8, 0.9])
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.5, 1.0, 2.5, 3.0]]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: PITHistogram("members"), "'ensemble'"),  # type: ignore[arg-type]
        (lambda: PITHistogram(bins=0), "1 bin"),
        (lambda: PITHistogram("quantiles"), "need their levels"),
        (lambda: PITHistogram("cdf", levels=LEVELS), "nothing else"),
        (lambda: IntervalCoverage([0.9], LEVELS), "forecast more"),
        (lambda: IntervalCoverage([1.0], LEVELS), "between 0 and 1"),
        (lambda: IntervalCoverage([0.5, 0.8]), "one interval"),
        (lambda: IntervalCoverage(num_outputs=0), "1 or more"),
        (
            lambda: IntervalCoverage(num_outputs=3).update(torch.zeros(5, 2, 2), torch.zeros(5, 2)),
            "ends in axes",
        ),
        (
            lambda: IntervalCoverage().update(torch.zeros(5, 2), torch.zeros(5), torch.zeros(5).long()),
            "num_groups",
        ),
        (lambda: IntervalCoverage(num_groups=2).update(torch.zeros(5, 2), torch.zeros(5)), "num_groups"),
        (
            lambda: IntervalCoverage(num_groups=2).update(torch.zeros(5, 2), torch.zeros(5), torch.arange(5)),
            "Group 4 of 2",
        ),
        (
            lambda: IntervalCoverage(num_groups=2).update(torch.zeros(5, 2), torch.zeros(5), torch.zeros(5)),
            "whole numbers",
        ),
    ],
)
def test_mistakes_are_explained(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
