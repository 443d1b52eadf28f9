from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.waveforms.multibanding import Multibanding, band_starts, on_bands, plan_bands


def chirp(number: np.ndarray) -> np.ndarray:
    """A leading-order chirp of 30 solar masses, on steps of 1/8 Hz."""
    frequency_hz = number / 8
    phase = 3 / 128 * (np.pi * 30 * 4.9254909e-6 * frequency_hz) ** (-5 / 3)
    return frequency_hz ** (-7 / 6) * np.stack([np.cos(phase), np.sin(phase)])


def test_a_chirp_is_brought_to_all_frequencies() -> None:
    bands = plan_bands(80, 8000, band_starts(Multibanding(), 1 / 8, 80, 8000, (34.0, 35.0)))
    asked: list[np.ndarray] = []

    def evaluate(numbers: np.ndarray) -> np.ndarray:
        asked.append(numbers)
        return chirp(numbers)

    made, truth = on_bands(evaluate, bands), chirp(np.arange(80, 8001))
    assert made.shape == truth.shape
    assert np.abs(made - truth).max() < 1e-6 * np.abs(truth).max()
    assert len(asked) == 1
    assert len(asked[0]) < 700
    assert (np.diff(asked[0]) > 0).all()


def test_bands_follow_each_other_and_get_coarser() -> None:
    bands = plan_bands(10, 5000, {2: 300, 4: 700, 8: 1500})
    assert [band.stride for band in bands] == [1, 2, 4, 8]
    assert bands[0].start == 10
    assert bands[-1].stop == 5000
    assert [band.stop for band in bands[:-1]] == [band.start for band in bands[1:]]
    assert all(band.start >= lowest for band, lowest in zip(bands, (10, 300, 700, 1500)))


def test_a_band_that_is_too_short_is_left_out() -> None:
    assert [band.stride for band in plan_bands(10, 60, {2: 20, 4: 40})] == [1]
    made = on_bands(chirp, plan_bands(80, 100, {2: 90}))
    np.testing.assert_array_equal(made, chirp(np.arange(80, 101)))


def test_steps_grow_with_frequency_and_shrink_with_a_longer_signal() -> None:
    frequency_hz = np.array([20.0, 40.0, 400.0])
    heavy = Multibanding().steps_hz(frequency_hz, 60.0, 140.0)
    light = Multibanding().steps_hz(frequency_hz, 20.0, 46.0)
    assert (np.diff(heavy) > 0).all()
    assert heavy[0] > light[0]
    # 0.758 s from 20 Hz to the merger at a chirp mass of 30 suns, gr-qc/9402014, equation 2.19
    alone = Multibanding(samples_per_cycle=1.0, earliest=1.0, around_merger=0.0)
    assert 1 / alone.steps_hz(np.array([20.0]), 30.0, 69.0)[0] == pytest.approx(0.7579, abs=1e-4)
