from __future__ import annotations

import numpy as np
import pytest

from lightning_itwin.strain.simulator.background import Background
from lightning_itwin.strain.simulator.virgo_instrument import virgo_asd


def test_its_asd_is_the_design_times_a_scale() -> None:
    assert Background(scale=2.0).asd_at(100.0) == 2 * virgo_asd(np.array([100.0]))[0]


def test_the_optimal_snr_of_a_sine_gaussian_is_known() -> None:
    # sqrt(2 E / S) of a series of energy E in a narrow band with a one-sided PSD of S
    rate_hz, background = 1024.0, Background(scale=2.35)
    time_s = np.arange(-4, 4, 1 / rate_hz)
    series = 1e-21 * np.exp(-((time_s / 0.5) ** 2)) * np.cos(2 * np.pi * 150.0 * time_s)
    energy = np.sum(series**2) / rate_hz
    expected = np.sqrt(2 * energy) / background.asd_at(150.0)
    assert background.optimal_snr(series, rate_hz) == pytest.approx(expected, rel=1e-3)
