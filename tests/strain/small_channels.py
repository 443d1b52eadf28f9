"""Small channels for tests."""

import numpy as np

from lightning_itwin.strain.channel_pieces import Channel

GPS_S = 1.2e9


def noise(name, rate_hz=256.0, duration_s=16.0, start_s=GPS_S, seed=0, scale=1e-21, unit=""):
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    return Channel(
        name=name,
        values=scale * rng.standard_normal(round(rate_hz * duration_s)),
        sample_rate_hz=rate_hz,
        gps_start_s=start_s,
        unit=unit,
    )
