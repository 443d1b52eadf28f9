from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.strain.simulator.random_series import RandomSeries, unit_power


def test_white_noise_has_its_density_and_each_name_its_stream() -> None:
    random = RandomSeries(2**16, 256.0, seed=3)
    white = random.noise("a", 0.5)
    assert np.std(white) == pytest.approx(0.5 * np.sqrt(128.0), rel=0.02)
    np.testing.assert_array_equal(white, RandomSeries(2**16, 256.0, seed=3).noise("a", 0.5))
    assert abs(np.corrcoef(white, random.noise("b", 0.5))[0, 1]) < 0.02
    assert abs(np.corrcoef(white, RandomSeries(2**16, 256.0, seed=4).noise("a", 0.5))[0, 1]) < 0.02


def test_a_filtered_series_does_not_run_over_its_end() -> None:
    random = RandomSeries(512, 256.0, seed=0)
    impulse = np.zeros(512)
    impulse[-10] = 1.0
    delayed = random.filtered(impulse, np.exp(-2j * np.pi * random.frequency_hz * 20 / 256.0))
    np.testing.assert_allclose(delayed, 0.0, atol=1e-12)


def test_unit_power() -> None:
    assert np.mean(unit_power(np.array([3.0, -4.0])) ** 2) == pytest.approx(1.0)
