"""Greenwich mean sidereal time of a GPS time: how far the Earth has turned under the sky."""

from __future__ import annotations

import bisect
import math

# GPS times at which a leap second was added, IERS Bulletin C; the newest is of 1 January 2017.
LEAP_SECONDS_GPS_S = (
    46828800,
    78364801,
    109900802,
    173059203,
    252028804,
    315187205,
    346723206,
    393984007,
    425520008,
    457056009,
    504489610,
    551750411,
    599184012,
    820108813,
    914803214,
    1025136015,
    1119744016,
    1167264017,
)
_GPS_EPOCH_AFTER_J2000_DAYS = 2444244.5 - 2451545.0  # 6 January 1980, 0 h UTC
_DAY_S = 86400.0
_CENTURY_DAYS = 36525.0


def sidereal_time_rad(gps_time_s: float) -> float:
    """Give Greenwich mean sidereal time, with UT1 taken as UTC.

    Args:
        gps_time_s: GPS time.

    Returns:
        angle from 0 to 2 pi.

    Reference:
        The 1982 expression, Aoki et al., Astronomy and Astrophysics 105, 359; the same as in lal and bilby.

    >>> round(sidereal_time_rad(1126259462.4), 6)
    2.456533
    """
    utc_s = gps_time_s - bisect.bisect_right(LEAP_SECONDS_GPS_S, gps_time_s)
    whole_days, second_s = divmod(utc_s, _DAY_S)
    days = whole_days + _GPS_EPOCH_AFTER_J2000_DAYS
    centuries = (days + second_s / _DAY_S) / _CENTURY_DAYS
    # 876600 h a century are whole turns for whole days: keep the digits, leave out the turns.
    turned_s = second_s + (days % 1.0) * _DAY_S
    sidereal_s = (
        67310.54841 + turned_s + (8640184.812866 + (0.093104 - 6.2e-6 * centuries) * centuries) * centuries
    )
    return sidereal_s % _DAY_S * (math.pi / 43200.0)


def sidereal_rate_rad_per_s(gps_time_s: float) -> float:
    """Give how fast the sidereal time grows at a GPS time.

    Args:
        gps_time_s: GPS time.

    Returns:
        rate in radians per second, about 7.29e-5.
    """
    centuries = (gps_time_s / _DAY_S + _GPS_EPOCH_AFTER_J2000_DAYS) / _CENTURY_DAYS
    slow = 8640184.812866 + (2 * 0.093104 - 3 * 6.2e-6 * centuries) * centuries
    return (1 + slow / (_CENTURY_DAYS * _DAY_S)) * math.pi / 43200.0
