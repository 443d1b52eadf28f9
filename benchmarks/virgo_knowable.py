"""What one who knows the instrument could know of its couplings from the recorded witnesses.

The witnesses have sensor noise, so even the true couplings cannot be subtracted whole. For each part of the
strain this gives the estimate that the true path makes of what was recorded, each linear path weighted as
Wiener's filter weighs it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from lightning_itwin.strain.simulator import SimulatedData, VirgoSimulator
from lightning_itwin.strain.simulator.background import Background
from lightning_itwin.strain.simulator.couplings import SEISMOMETERS, WAVELENGTH_UM
from lightning_itwin.strain.simulator.random_series import RandomSeries
from lightning_itwin.strain.simulator.virgo_instrument import Resonance, ground_asd

_FAST_NOISE = 1 / 30


def estimates(simulator: VirgoSimulator, data: SimulatedData) -> dict[str, np.ndarray]:
    """Give the best estimate of each part that a witness knows of, (T,), by its name."""
    instrument, background = simulator.instrument, Background(scale=simulator.background)
    rate_hz, samples = data.strain.sample_rate_hz, len(data.strain.values)
    frame = RandomSeries(samples, rate_hz, seed=0)
    ground = ground_asd(frame.frequency_hz)
    wiener = ground**2 / (ground**2 + _FAST_NOISE**2)
    witnesses = {one.name.removeprefix("V1:SIM_"): one for one in data.witnesses}

    def recorded(name: str) -> np.ndarray:
        factor = round(rate_hz / witnesses[name].sample_rate_hz)
        return signal.resample_poly(witnesses[name].values.astype(np.float64), factor, 1)

    def behind(name: str, path: Resonance) -> np.ndarray:
        scale = background.asd_at(path.frequency_hz) / ground_asd(np.array([path.frequency_hz]))
        return frame.filtered(recorded(name), scale * wiener * path.response(frame.frequency_hz))

    def slow(values: np.ndarray, edge_hz: float) -> np.ndarray:
        return signal.sosfiltfilt(signal.butter(6, edge_hz, fs=rate_hz, output="sos"), values)

    found = {f"linear/{name}": behind(name, path) for name, path in zip(SEISMOMETERS, instrument.linear)}
    angles = [slow(recorded(name), 4.0) for name in ("ANGLE_PITCH", "ANGLE_YAW")]
    gain = angles[instrument.acoustic_angle]
    gain = 0.5 + 0.8 * gain + 0.3 * (gain**2 - 1)
    found["nonstationary/MICROPHONE"] = behind("MICROPHONE", instrument.acoustic) * gain
    near = signal.butter(4, [48.0, 52.0], btype="bandpass", fs=rate_hz, output="sos")
    phase = np.angle(signal.hilbert(signal.sosfiltfilt(near, recorded("MAINS"))))
    for harmonic, angle, strength in zip((1, 3), angles, instrument.mains_strengths):
        size = 2 * strength * background.asd_at(50.0 * harmonic)
        found[f"bilinear/MAINS_{harmonic}"] = size * angle * np.cos(harmonic * phase)
    fringes = 4 * np.pi * slow(recorded("BENCH_POSITION"), 1.0) / WAVELENGTH_UM
    amplitude = instrument.scattering_strength * background.asd_at(20.0) / np.sqrt(0.012)
    found["scattering/BENCH_POSITION"] = amplitude * np.sin(fringes + instrument.scattering_phase_rad)
    monitor = recorded("MONITOR")
    loud = ndimage.maximum_filter1d(np.abs(monitor), round(0.04 * rate_hz)) > 0.05
    coupled = frame.filtered(np.tanh(monitor * loud), instrument.glitch.response(frame.frequency_hz))
    found["glitches/witnessed"] = coupled * background.asd_at(instrument.glitch.frequency_hz)
    return found
