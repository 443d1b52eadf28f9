from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_itwin.detectors import sidereal_time_rad
from lightning_itwin.detectors.sidereal_time import LEAP_SECONDS_GPS_S, sidereal_rate_rad_per_s

TIMES_GPS_S = [*np.random.default_rng(1).uniform(1e6, 1.7e9, 300), *(t + 1.5 for t in LEAP_SECONDS_GPS_S)]


def test_it_is_that_of_lal() -> None:
    lal = pytest.importorskip("lal")
    for time_s in TIMES_GPS_S:
        truth = lal.GreenwichMeanSiderealTime(lal.LIGOTimeGPS(time_s))
        apart = (sidereal_time_rad(time_s) - truth + math.pi) % (2 * math.pi) - math.pi
        assert abs(apart) < 1e-8


def test_leap_seconds_are_those_of_lal() -> None:
    lal = pytest.importorskip("lal")
    assert [lal.LeapSeconds(t) - lal.LeapSeconds(t - 1) for t in LEAP_SECONDS_GPS_S] == [1] * 18
    assert lal.LeapSeconds(2_000_000_000) == 18 + 19  # of TAI, 19 s ahead of GPS


def test_the_rate_is_its_slope() -> None:
    time_s = 1126259462.4
    slope = (sidereal_time_rad(time_s + 100) - sidereal_time_rad(time_s - 100)) / 200
    assert sidereal_rate_rad_per_s(time_s) == pytest.approx(slope, rel=1e-8)
