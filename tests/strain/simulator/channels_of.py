"""Channels of simulated data by name, and what two series have in common."""

from __future__ import annotations

import numpy as np
from scipy import signal

from lightning_itwin.strain.channel_pieces import Channel
from lightning_itwin.strain.simulator import SimulatedData


def channel(data: SimulatedData, name: str) -> Channel:
    return next(one for one in data.witnesses if one.name == f"V1:SIM_{name}")


def witness(data: SimulatedData, name: str) -> np.ndarray:
    """Samples at the strain's rate."""
    one = channel(data, name)
    factor = round(data.strain.sample_rate_hz / one.sample_rate_hz)
    return signal.resample_poly(one.values.astype(np.float64), factor, 1)


def coherence(a: np.ndarray, b: np.ndarray, rate_hz: float, low_hz: float, high_hz: float) -> float:
    frequency_hz, value = signal.coherence(a, b, rate_hz, nperseg=round(2 * rate_hz))
    return float(np.mean(value[(frequency_hz > low_hz) & (frequency_hz < high_hz)]))
