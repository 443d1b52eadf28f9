"""Standardised indices against the published ones of climate_indices; see published_spi.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lightning_itwin.hydrology import (
    StandardizedIndex,
    accumulate,
    standardized_precipitation_index,
    standardized_soil_moisture_index,
)
from lightning_itwin.hydrology.index_distributions import (
    beta_cdf,
    empirical_cdf,
    fit_beta,
    fit_pearson3,
    pearson3_cdf,
)


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "published_spi.npz", allow_pickle=False) as file:
        return dict(file)


def months(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the month and whether it belongs to 1981 to 2010."""
    year = 1895 + np.arange(count) // 12
    return np.arange(count) % 12, (year >= 1981) & (year <= 2010)


@pytest.mark.parametrize(
    ("name", "scale", "distribution", "all_years", "tolerance"),
    [
        ("spi_01_gamma", 1, "gamma", True, 1e-9),
        ("spi_06_gamma", 6, "gamma", True, 1e-9),
        ("spi_01_pearson3", 1, "pearson3", False, 1e-9),
        ("spi_06_pearson3", 6, "pearson3", False, 1e-9),
        ("spi_01_pearson3_full", 1, "pearson3", True, 6e-4),  # published to three decimals
    ],
)
def test_the_spi_is_the_published_one(
    published: dict[str, np.ndarray],
    name: str,
    scale: int,
    distribution: str,
    all_years: bool,
    tolerance: float,
) -> None:
    rain, wanted = published["precipitation_mm"], published[name].clip(-3.09, 3.09)
    month, reference = months(len(rain))
    found = standardized_precipitation_index(
        rain, month, scale, distribution, None if all_years else reference
    )
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_allclose(found, wanted, atol=tolerance)


def test_daily_gamma_parameters_are_the_published_ones(published: dict[str, np.ndarray]) -> None:
    rain = published["daily_precipitation_mm"]
    day, year = np.arange(len(rain)) % 366, 1998 + np.arange(len(rain)) // 366
    fitted = StandardizedIndex.fit(rain, day, reference=year <= 2016, least_values=2)
    wanted, found = published["daily_gamma"], fitted.parameters[0].T
    both = np.isfinite(found) & np.isfinite(wanted)
    assert both.mean() > 0.3
    np.testing.assert_allclose(found[both], wanted[both], atol=1e-12)


def test_cells_are_apart_and_gaps_are_left_out() -> None:
    generator = np.random.default_rng(0)
    values = generator.gamma(2, 10, (3, 360))
    values[1, 5:60:7] = np.nan
    month = np.arange(360) % 12
    for distribution in ("gamma", "pearson3", "empirical"):
        together = StandardizedIndex.fit(values, month, distribution).index(values, month)
        alone = [StandardizedIndex.fit(row, month, distribution).index(row, month) for row in values]
        np.testing.assert_allclose(together, alone, atol=1e-12)
        np.testing.assert_array_equal(np.isnan(together), np.isnan(values))


def test_a_zero_has_the_probability_of_zeros() -> None:
    values = np.concatenate([np.zeros(30), np.random.default_rng(0).gamma(2, 10, 70)])
    for distribution in ("gamma", "pearson3"):
        fitted = StandardizedIndex.fit(values, np.zeros(100, int), distribution)
        below = fitted.probability(values, np.zeros(100, int))
        np.testing.assert_allclose(below[:30], 0.3)
        assert (below[30:] > 0.3).all()


def test_where_it_never_rains_a_dry_month_is_usual_and_rain_unknown() -> None:
    dry, place = np.zeros(40), np.zeros(40, int)
    found = StandardizedIndex.fit(dry, place).index(np.append(dry, 1.0), np.append(place, 0))
    assert found[:-1].tolist() == [0.0] * 40
    assert np.isnan(found[-1])


def test_days_are_counted_with_their_neighbours_round_the_year() -> None:
    generator = np.random.default_rng(0)
    day = np.arange(20 * 365) % 365
    soil = 0.3 + 0.1 * np.cos(2 * np.pi * day / 365) + 0.02 * generator.standard_normal(len(day))
    index = standardized_soil_moisture_index(soil, day, 1, "gamma", window=3)
    np.testing.assert_allclose([index.mean(), index.std()], [0, 1], atol=0.03)
    fitted = StandardizedIndex.fit(soil, day, "empirical", window=2)
    near = np.isin(day, [363, 364, 0, 1, 2])
    np.testing.assert_array_equal(fitted.parameters[0, 0], np.sort(soil[near]))


def test_the_empirical_index_has_gringortens_positions() -> None:
    values = np.array([0.4, 0.1, 0.2, 0.2, 0.3])
    found = empirical_cdf(np.append(values, [0.35, 0.0, 9.0, np.nan]), np.sort(values))
    ranks = np.array([5, 1, 2.5, 2.5, 4, 4.5, 1, 5, np.nan])
    np.testing.assert_allclose(found, (ranks - 0.44) / 5.12)


def test_pearson3_is_that_of_scipy() -> None:
    generator = np.random.default_rng(1)
    for skew in (-1.5, 0.0, 0.4, 2.5):
        parameters = np.array([10.0, 3.0, skew])
        values = np.linspace(0, 25, 60)
        wanted = stats.pearson3.cdf(values, skew, loc=10.0, scale=3.0)
        np.testing.assert_allclose(pearson3_cdf(values, parameters), wanted, atol=1e-9)
        sample = stats.pearson3.rvs(skew, loc=10.0, scale=3.0, size=200_000, random_state=generator)
        np.testing.assert_allclose(fit_pearson3(sample), parameters, atol=0.08)


def test_beta_is_that_of_scipy() -> None:
    sample = stats.beta.rvs(3.0, 5.0, size=100_000, random_state=np.random.default_rng(0))
    fitted = fit_beta(sample)
    np.testing.assert_allclose(fitted, [3.0, 5.0], rtol=0.02)
    values = np.linspace(0, 1, 20)
    np.testing.assert_allclose(beta_cdf(values, fitted), stats.beta.cdf(values, *fitted), atol=1e-12)


def test_a_dry_year_after_the_reference_period_is_dry() -> None:
    generator = np.random.default_rng(0)
    month = np.arange(372) % 12
    soil = np.clip(0.3 + 0.03 * generator.standard_normal(372), 0, 1)
    soil[-12:] -= 0.06
    for distribution in ("gamma", "pearson3", "beta", "empirical"):
        index = standardized_soil_moisture_index(soil, month, 1, distribution, reference=np.arange(372) < 360)
        assert index[-12:].mean() < -1.3
        assert abs(index[:360].mean()) < 0.02


def test_accumulation_knows_gaps() -> None:
    found = accumulate(np.array([1.0, 2.0, np.nan, 4.0, 5.0]), 2)
    np.testing.assert_array_equal(found, [np.nan, 3.0, np.nan, np.nan, 9.0])
    np.testing.assert_array_equal(accumulate(np.array([1.0, 3.0]), 2, mean=True), [np.nan, 2.0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: StandardizedIndex.fit(np.ones(24), np.arange(24) % 12, "normal"), "one of"),
        (lambda: StandardizedIndex.fit(np.ones(24), np.arange(23)), "positions"),
        (lambda: StandardizedIndex.fit(np.ones((2, 2, 24)), np.arange(24)), "cells, times"),
        (lambda: StandardizedIndex.fit(np.arange(24.0), np.arange(24) % 12), "10 are needed"),
        (lambda: StandardizedIndex.fit(-np.arange(240.0), np.arange(240) % 12), "0 or more"),
        (lambda: StandardizedIndex.fit(np.arange(240.0), np.arange(240) % 12, "beta"), "from 0 to 1"),
        (lambda: accumulate(np.ones(3), 4), "length of the series"),
    ],
)
def test_mistakes_are_explained(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
