"""A small detector whose glitches one witness sees through a saturation and a short path."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lightning_itwin.strain.hdf5_channels import Channel, write_channels

RATE_HZ = 512.0
NAMES = ("X1:STRAIN", "X1:DUMMY", "X1:AUX")
_UNIT = 1e-21
_GPS_S = 1262304018.0


def path_taps() -> np.ndarray:
    """Impulse response from the saturated witness to the strain."""
    time_s = np.arange(24) / RATE_HZ
    return np.exp(-time_s / 0.012) * np.cos(2 * np.pi * 90.0 * time_s)


def glitches(samples: int, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Sine-Gaussians at random times, most of them far louder than the witness's noise of 0.02."""
    series = np.zeros(samples)
    time_s = np.arange(-128, 128) / RATE_HZ
    for _ in range(rng.poisson(rate_hz * samples / RATE_HZ)):
        frequency_hz, width_s = rng.uniform(40.0, 130.0), rng.uniform(0.008, 0.03)
        shape = np.exp(-((time_s / width_s) ** 2)) * np.cos(2 * np.pi * frequency_hz * time_s)
        start = rng.integers(0, samples - len(shape))
        series[start : start + len(shape)] += rng.uniform(0.7, 3.0) * shape
    return series


def make(duration_s: float, seed: int) -> dict[str, np.ndarray]:
    """Channels and truth by name."""
    rng = np.random.default_rng(seed)
    samples = round(duration_s * RATE_HZ)
    seen = glitches(samples, 0.4, rng)
    witnessed = 6.0 * np.convolve(np.tanh(seen), path_taps())[:samples]
    alone = 12.0 * glitches(samples, 0.1, rng)
    background = rng.standard_normal(samples)
    background[1:] += 0.5 * background[:-1]
    return {
        "X1:STRAIN": _UNIT * (background + witnessed + alone),
        "X1:DUMMY": rng.standard_normal(samples),
        "X1:AUX": 3.0 + seen + 0.02 * rng.standard_normal(samples),
        "truth/glitches/witnessed": _UNIT * witnessed,
        "truth/glitches/unwitnessed": _UNIT * alone,
    }


def write(path: Path, duration_s: float, seed: int, truth: bool = True) -> Path:
    """Write a file of channels, with or without the truth."""
    channels = [
        Channel(
            name=name,
            values=values,
            sample_rate_hz=RATE_HZ,
            gps_start_s=_GPS_S,
            unit="V" if name in NAMES[1:] else "strain",
        )
        for name, values in make(duration_s, seed).items()
        if truth or not name.startswith("truth")
    ]
    write_channels(path, channels, {"channels": json.dumps(NAMES)})
    return path
