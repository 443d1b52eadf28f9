from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from lightning_itwin.subtraction.fitting import fit
from lightning_itwin.subtraction.safety import safe_noise
from tests.subtraction.small_detector import BAND_HZ, RATE_HZ, range_mpc, stretch

SECONDS = 32
RNG = np.random.default_rng(0)


def band(low_hz: float, high_hz: float) -> np.ndarray:
    spectrum = np.fft.rfft(RNG.standard_normal(round(SECONDS * RATE_HZ)))
    frequency_hz = np.fft.rfftfreq(round(SECONDS * RATE_HZ), 1 / RATE_HZ)
    return np.fft.irfft(spectrum * ((frequency_hz > low_hz) & (frequency_hz < high_hz)))


def test_what_is_in_the_strain_is_subtracted_whole() -> None:
    noise = band(30.0, 200.0)
    strain = band(0.0, 500.0) + noise
    safe, share = safe_noise(noise, strain, RATE_HZ, BAND_HZ)
    assert share == 0.0
    assert np.array_equal(safe, noise)


def test_a_band_that_became_wrong_is_left_alone_and_the_others_are_not() -> None:
    right, wrong = 2 * band(30.0, 200.0), band(300.0, 310.0)
    strain = band(0.0, 500.0) + right
    safe, share = safe_noise(right + wrong, strain, RATE_HZ, BAND_HZ)
    assert 0.02 < share < 0.1
    inner = slice(1024, -1024)
    assert np.std((safe - right)[inner]) < 0.35 * np.std(wrong)


def test_of_another_instrument_nothing_is_believed() -> None:
    found = fit(stretch().data)
    changed = stretch(noise_seed=3, instrument_seed=7)
    strain = changed.values[0]
    noise = found.filter(changed.values[1:])
    assert range_mpc(strain - noise) < range_mpc(strain)
    safe, share = safe_noise(noise, strain, RATE_HZ, BAND_HZ)
    assert share == 1.0
    assert not safe.any()


@pytest.mark.parametrize("seconds", [16, 64, 128])
def test_true_noise_that_leaves_a_band_louder_by_chance_is_not_subtracted_there(seconds: int) -> None:
    rng = np.random.default_rng(5)
    background, little = rng.standard_normal((2, round(seconds * RATE_HZ))) * [[1.0], [0.15]]
    strain = background + little
    safe, share = safe_noise(little, strain, RATE_HZ, BAND_HZ)
    chance, left = worst_rise(strain, strain - little), worst_rise(strain, strain - safe)
    assert chance > 0.008
    assert left <= 0.01
    assert 0.0 < share < 0.5
    assert np.std(strain - safe) < np.std(strain)


def worst_rise(before: np.ndarray, after: np.ndarray) -> float:
    """Give by how much the amplitude of the worst band of 1 Hz rises."""
    segment = round(4 * RATE_HZ)
    frequency_hz, of_before = scipy.signal.welch(before, RATE_HZ, nperseg=segment)
    _, of_after = scipy.signal.welch(after, RATE_HZ, nperseg=segment)
    inside = (frequency_hz >= BAND_HZ[0]) & (frequency_hz <= BAND_HZ[1])
    bands = [np.convolve(power[inside], np.ones(4), mode="valid") for power in (of_before, of_after)]
    return float(np.sqrt(bands[1] / bands[0]).max() - 1)
