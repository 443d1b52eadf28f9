from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import signal

from lightning_itwin.subtraction.wavelengths import FringeGain, find_wavelengths

RATE_HZ, BAND_HZ, WAVELENGTH = 512.0, (10.0, 200.0), 1.064


@cache
def scattered(strength: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Give a strain with scattered light of strength times white noise, the position, and its speed."""
    rng = np.random.default_rng(3)
    samples = round(96 * RATE_HZ)
    slow = signal.firwin(8193, [0.1, 0.3], fs=RATE_HZ, pass_zero=False)
    position = signal.oaconvolve(rng.standard_normal(samples + 8192), slow, mode="valid")
    position *= 6.0 / position.std()
    speed = float(np.gradient(position).std() * RATE_HZ)
    strain = rng.standard_normal(samples) + strength * np.sin(4 * np.pi / WAVELENGTH * position + 0.7)
    return strain, position, speed


@pytest.mark.parametrize("unit", [1.0, 0.37, 1e-6])
def test_the_wavelength_is_found_in_whatever_units_the_channel_has(unit: float) -> None:
    strain, position, speed = scattered(1.0)
    [found] = find_wavelengths(strain, unit * position, unit * speed, RATE_HZ, BAND_HZ)
    assert found == pytest.approx(unit * WAVELENGTH, rel=3e-4)


def test_where_there_are_no_fringes_none_are_found() -> None:
    strain, position, speed = scattered(0.0)
    assert find_wavelengths(strain, position, speed, RATE_HZ, BAND_HZ) == []


def test_a_supposed_wavelength_stays_unless_the_data_say_otherwise() -> None:
    strain, position, speed = scattered(0.0)
    assert find_wavelengths(strain, position, speed, RATE_HZ, BAND_HZ, [1.0]) == [1.0]
    strain, position, speed = scattered(1.0)
    [moved] = find_wavelengths(strain, position, speed, RATE_HZ, BAND_HZ, [1.001 * WAVELENGTH])
    assert moved == pytest.approx(WAVELENGTH, rel=3e-4)
    # Its fringes never reach the band.
    assert find_wavelengths(strain, position, speed, RATE_HZ, BAND_HZ, [100.0])[0] != 100.0


def test_chance_does_not_look_like_fringes() -> None:
    strain, position, _ = scattered(0.0)
    gain = FringeGain(strain, position, RATE_HZ, BAND_HZ)
    gains = [gain(wavelength) for wavelength in np.geomspace(0.5, 2.0, 20)]
    assert max(gains) < 3.0
    assert gain(1.064) < 3.0 < 50.0 < FringeGain(*scattered(1.0)[:2], RATE_HZ, BAND_HZ)(WAVELENGTH)
