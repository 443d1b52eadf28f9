"""What the witnesses of the simulated detector sense, and what of it reaches the strain."""

# F frequencies, T samples

from __future__ import annotations

import numpy as np

from lightning_itwin.strain.simulator.random_series import RandomSeries, unit_power
from lightning_itwin.strain.simulator.scene import Scene
from lightning_itwin.strain.simulator.virgo_instrument import (
    MAINS_HZ,
    Resonance,
    VirgoInstrument,
    ground_asd,
    virgo_asd,
)

SEISMOMETERS = ("SEISMOMETER_1", "SEISMOMETER_2", "SEISMOMETER_3")
WAVELENGTH_UM = 1.064
_SENSOR_NOISE = 1 / 30  # of a fast witness, relative to what it senses
_SLOW_NOISE = 1e-3
_BENCH_RMS_UM = 7.0
_BENCH_NOISE_UM = 0.01
_SLOWER = 8


class Sources:
    """What is there to be sensed, whatever the instrument.

    Args:
        random: makes the noise.
        sample_rate_hz: sample rate.
        scene: what is there beside ground, sound, mains and angles.
        monitored: what the glitch monitor senses, (T,).
    """

    def __init__(
        self, random: RandomSeries, sample_rate_hz: float, scene: Scene, monitored: np.ndarray
    ) -> None:
        self._random, self._scene, self.monitored = random, scene, monitored
        slow = 1.0 / (1.0 + (random.frequency_hz / 0.25) ** 2)
        # The frequency of a European grid keeps within some 10 mHz of 50 Hz.
        mains_hz = MAINS_HZ + 0.01 * unit_power(random.noise("mains frequency", slow))
        self.mains_phase_rad = 2 * np.pi * np.cumsum(mains_hz) / sample_rate_hz
        self.pitch = unit_power(random.noise("pitch", slow))
        self.yaw = unit_power(random.noise("yaw", slow))
        self.fast = {
            name: random.spectrum(name, ground_asd(random.frequency_hz))
            for name in (*SEISMOMETERS, "MICROPHONE", *(("MAGNETOMETER",) if scene.nonstationary else ()))
        }
        if scene.nonstationary:
            self.temperature = unit_power(random.noise("temperature", slow))
        if scene.scattering:
            # The microseism: most between 0.1 and 0.3 Hz
            frequency_hz = np.maximum(random.frequency_hz, 1e-3)
            microseism = 1.0 / (1.0 + (4.0 * np.log(frequency_hz / 0.18)) ** 4)
            self.bench_um = _BENCH_RMS_UM * unit_power(random.noise("bench", microseism))

    def witnesses(self) -> dict[str, np.ndarray]:
        """Give what the channels record, by name; slow ones at 1/8 of the sample rate."""
        random, phase = self._random, self.mains_phase_rad

        def sensed(name: str) -> np.ndarray:
            return random.series(self.fast[name] + random.spectrum(f"{name} sensor", _SENSOR_NOISE))

        def slow(name: str, values: np.ndarray, noise: float = _SLOW_NOISE) -> np.ndarray:
            return (values + random.noise(f"{name} sensor", noise))[::_SLOWER]

        found = {name: sensed(name) for name in (*SEISMOMETERS, "MICROPHONE")}
        found["MAINS"] = np.cos(phase) + 0.1 * np.cos(3 * phase) + random.noise("MAINS sensor", _SLOW_NOISE)
        found["ANGLE_PITCH"] = slow("ANGLE_PITCH", self.pitch)
        found["ANGLE_YAW"] = slow("ANGLE_YAW", self.yaw)
        if self._scene.nonstationary:
            found["MAGNETOMETER"] = sensed("MAGNETOMETER")
            found["TEMPERATURE"] = slow("TEMPERATURE", self.temperature)
        if self._scene.scattering:
            found["BENCH_POSITION"] = self.bench_um[::_SLOWER].copy()
            noise = random.stream("BENCH_POSITION sensor").standard_normal(len(found["BENCH_POSITION"]))
            found["BENCH_POSITION"] += _BENCH_NOISE_UM * noise
        if self._scene.glitches_per_hour:
            white = random.stream("MONITOR sensor").standard_normal(len(self.monitored))
            found["MONITOR"] = self.monitored + _SENSOR_NOISE * white
        for number in range(1, self._scene.dummies + 1):
            name = "DUMMY" if number == 1 else f"DUMMY_{number}"
            found[name] = random.noise(name, ground_asd(random.frequency_hz))
        return found


class Couplings:
    """What an instrument makes of the sources.

    Args:
        instrument: the couplings.
        random: what made the sources.
        sources: what is there.
        scene: which couplings there are beside the linear and the bilinear ones.
    """

    def __init__(
        self, instrument: VirgoInstrument, random: RandomSeries, sources: Sources, scene: Scene
    ) -> None:
        self._instrument, self._random, self._sources, self._scene = instrument, random, sources, scene

    def parts(self) -> dict[str, np.ndarray]:
        """Give the parts of the strain, (T,) each, by name."""
        instrument, sources = self._instrument, self._sources
        parts = {
            f"linear/{name}": self._behind(sources.fast[name], path)
            for name, path in zip(SEISMOMETERS, instrument.linear)
        }
        mix = instrument.acoustic_mix_rad
        gain = np.cos(mix) * sources.pitch + np.sin(mix) * sources.yaw
        parts["bilinear/MICROPHONE"] = self._behind(sources.fast["MICROPHONE"], instrument.acoustic) * gain
        angles = (sources.pitch, sources.yaw)
        for harmonic, angle, strength in zip((1, 3), angles, instrument.mains_strengths):
            # A line times an angle fills about 1 Hz on each side.
            rms = strength * virgo_asd(np.array([harmonic * MAINS_HZ]))[0] * np.sqrt(2.0)
            line = np.cos(harmonic * sources.mains_phase_rad)
            parts[f"bilinear/MAINS_{harmonic}"] = rms * angle * np.sqrt(2) * line
        if self._scene.nonstationary:
            temperature = sources.temperature
            gain = 0.5 + 0.8 * temperature + 0.3 * (temperature**2 - 1)
            coupled = self._behind(sources.fast["MAGNETOMETER"], instrument.nonstationary)
            parts["nonstationary/MAGNETOMETER"] = coupled * gain
        if self._scene.scattering:
            parts["scattering/BENCH_POSITION"] = self._scattered()
        if self._scene.glitches_per_hour:
            path = instrument.glitch
            response = path.response(self._random.frequency_hz)
            coupled = self._random.filtered(np.tanh(sources.monitored), response)
            parts["glitches/witnessed"] = coupled * virgo_asd(np.array([path.frequency_hz]))[0]
        return parts

    def _behind(self, sensed_F: np.ndarray, path: Resonance) -> np.ndarray:
        at_resonance = np.array([path.frequency_hz])
        scale = virgo_asd(at_resonance) / ground_asd(at_resonance)
        return self._random.series(sensed_F * scale * path.response(self._random.frequency_hz))

    def _scattered(self) -> np.ndarray:
        """Give scattered light, spread over the fringe frequencies 2 v / lambda of the bench's speed v."""
        phase = 4 * np.pi * self._sources.bench_um / WAVELENGTH_UM + self._instrument.scattering_phase_rad
        # Of a Gaussian speed with 17 Hz of fringes rms, the PSD of sin at 20 Hz is 0.012 / Hz.
        amplitude = self._instrument.scattering_strength * virgo_asd(np.array([20.0]))[0] / np.sqrt(0.012)
        return amplitude * np.sin(phase)
