"""Tests of simulated terrain."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.hydrology.terrain import KM_PER_DEGREE, random_field, simulate_terrain

MAPS = (
    "elevation",
    "slope",
    "annual_precipitation",
    "wilting_point",
    "field_capacity",
    "root_depth",
    "recharge_exponent",
    "evaporation_limit",
    "degree_day_factor",
    "percolation",
    "fast_recession",
    "slow_recession",
)


def test_a_random_field_has_unit_variance_and_its_length() -> None:
    at_km = np.array([0.0, 30.0, 60.0])
    fields = np.stack(
        [random_field(at_km, np.zeros(1), 30.0, np.random.default_rng(seed))[:, 0] for seed in range(4000)]
    )
    covariance = fields.T @ fields / len(fields)
    expected = np.exp(-((at_km[:, None] - at_km) ** 2) / (2 * 30.0**2))
    np.testing.assert_allclose(covariance, expected, atol=0.08)


def test_a_larger_or_finer_grid_shows_the_same_mountains() -> None:
    small = simulate_terrain(4, 6, 10.0, seed=3)
    large = simulate_terrain(16, 12, 5.0, seed=3)
    np.testing.assert_array_equal(large.elevation[:8:2, ::2], small.elevation)
    assert not np.array_equal(simulate_terrain(4, 6, 10.0, seed=4).elevation, small.elevation)


def test_the_axes_are_the_spacing_apart() -> None:
    terrain = simulate_terrain(5, 3, 5.0, seed=0)
    middle = np.radians(terrain.latitude.mean())
    np.testing.assert_allclose(np.diff(terrain.latitude) * KM_PER_DEGREE, 5.0)
    np.testing.assert_allclose(np.diff(terrain.longitude) * KM_PER_DEGREE * np.cos(middle), 5.0)


@pytest.mark.parametrize("seed", range(5))
def test_maps_are_such_as_soils_have(seed: int) -> None:
    terrain = simulate_terrain(20, 30, 5.0, seed)
    for name in MAPS:
        values = getattr(terrain, name)
        assert values.dtype == np.float32
        assert values.shape == terrain.shape == (20, 30)
        assert np.isfinite(values).all()
    assert 150 <= terrain.elevation.min() < terrain.elevation.max() <= 3300
    assert (terrain.field_capacity > terrain.wilting_point + 0.05).all()
    assert (terrain.fast_recession < 0.75).all()  # what the upper store's other outlet leaves


def test_a_single_cell_has_no_slope() -> None:
    assert simulate_terrain(1, 1, 5.0, seed=0).slope == 0
