"""A short stretch of the strong detector as arrays, for tests of the subtraction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from lightning_itwin.strain.bns_range import bns_range_mpc
from lightning_itwin.strain.resampling import resample
from lightning_itwin.strain.simulator import VirgoSimulator
from lightning_itwin.strain.spectra import power_spectrum
from lightning_itwin.subtraction.fitting import Data

RATE_HZ = 1024.0
BAND_HZ = (10.0, 450.0)


@dataclass(frozen=True)
class Stretch:
    names: tuple[str, ...]
    values: np.ndarray
    oracle: np.ndarray

    @property
    def data(self) -> Data:
        return Data.of_array(self.names, self.values, RATE_HZ, BAND_HZ)


@cache
def stretch(
    duration_s: float = 192.0, noise_seed: int = 1, instrument_seed: int = 0, unsafe: float | None = None
) -> Stretch:
    simulator = VirgoSimulator.strong(
        duration_s=duration_s,
        noise_seed=noise_seed,
        instrument_seed=instrument_seed,
        recording={"unsafe_noise": unsafe},
    )
    data = simulator.simulate()
    rows = [data.strain.values]
    rows += [resample(one.values, one.sample_rate_hz, RATE_HZ, one.name) for one in data.witnesses]
    samples = round(duration_s * RATE_HZ)
    return Stretch(
        names=(data.strain.name, *(one.name for one in data.witnesses)),
        values=np.stack([np.asarray(row, dtype=np.float64)[:samples] for row in rows]),
        oracle=data.oracle.values,
    )


def range_mpc(values: np.ndarray) -> float:
    frequency_hz, psd = power_spectrum(values, RATE_HZ, 4.0)
    return float(bns_range_mpc(psd, frequency_hz))
