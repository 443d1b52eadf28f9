"""What is there for the witnesses of the simulated detector to sense, and what of it reaches the strain."""

# F frequencies, T samples

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.strain.simulator.background import Background
from lightning_itwin.strain.simulator.random_series import RandomSeries, unit_power
from lightning_itwin.strain.simulator.scene import Scene
from lightning_itwin.strain.simulator.virgo_instrument import (
    MAINS_HZ,
    Resonance,
    VirgoInstrument,
    ground_asd,
)

SEISMOMETERS = ("SEISMOMETER_1", "SEISMOMETER_2", "SEISMOMETER_3")
ANGLES = ("ANGLE_PITCH", "ANGLE_YAW")
WAVELENGTH_UM = 1.064
_FAST_NOISE = 1 / 30  # ASD of a fast sensor, relative to the least that it senses
_SLOW_NOISE = 1e-3
# The sensor's noise is 10 nm, the monitor's 1 % of saturation, over a band of 512 Hz.
_BENCH_NOISE_UM = 0.01 / np.sqrt(512.0)
_MONITOR_NOISE = 0.01 / np.sqrt(512.0)
_BENCH_RMS_UM = 7.0
_FADE_S = 0.25  # in which one instrument becomes another


@dataclass(frozen=True, kw_only=True)
class Sensed:
    """What a sensor is exposed to.

    Args:
        values: the spectrum, complex (F,), or the series, (T,).
        noise_asd: of the sensor.
        slow: whether it is recorded at 1/8 of the sample rate.
    """

    values: np.ndarray
    noise_asd: float
    slow: bool = False


class Sources:
    """What is there to be sensed, whatever the instrument.

    Args:
        random: makes the noise.
        sample_rate_hz: sample rate.
        scene: what is there beside ground, sound, mains and angles.
        monitored: what the glitch monitor is exposed to, (T,), in units of the saturation.
    """

    def __init__(
        self, random: RandomSeries, sample_rate_hz: float, scene: Scene, monitored: np.ndarray
    ) -> None:
        self.monitored, self._scene = monitored, scene
        slow = 1.0 / (1.0 + (random.frequency_hz / 0.25) ** 2)
        # The frequency of a European grid keeps within some 10 mHz of 50 Hz.
        mains_hz = MAINS_HZ + 0.01 * unit_power(random.noise("mains frequency", slow))
        self.mains_phase_rad = 2 * np.pi * np.cumsum(mains_hz) / sample_rate_hz
        self.pitch = unit_power(random.noise("pitch", slow))
        self.yaw = unit_power(random.noise("yaw", slow))
        ground = ground_asd(random.frequency_hz)
        self.fast = {name: random.spectrum(name, ground) for name in (*SEISMOMETERS, "MICROPHONE")}
        if scene.scattering:
            # The microseism: most between 0.1 and 0.33 Hz, next to nothing above 1 Hz
            frequency_hz = np.maximum(random.frequency_hz, 1e-3)
            microseism = np.exp(-0.5 * (np.log(frequency_hz / 0.18) / 0.3) ** 2)
            self.bench_um = _BENCH_RMS_UM * unit_power(random.noise("bench", microseism))

    def sensed(self) -> dict[str, Sensed]:
        """Give what the sensors are exposed to, by name."""
        phase = self.mains_phase_rad
        found = {name: Sensed(values=values, noise_asd=_FAST_NOISE) for name, values in self.fast.items()}
        found["MAINS"] = Sensed(values=np.cos(phase) + 0.1 * np.cos(3 * phase), noise_asd=_SLOW_NOISE)
        for name, angle in zip(ANGLES, (self.pitch, self.yaw)):
            found[name] = Sensed(values=angle, noise_asd=_SLOW_NOISE, slow=True)
        if self._scene.scattering:
            found["BENCH_POSITION"] = Sensed(values=self.bench_um, noise_asd=_BENCH_NOISE_UM)
        if self._scene.glitches_per_hour:
            found["MONITOR"] = Sensed(values=self.monitored, noise_asd=_MONITOR_NOISE)
        return found


class Couplings:
    """What instruments make of the sources.

    Args:
        random: what made the sources.
        sources: what is there.
        scene: which couplings there are beside the linear and the bilinear ones.
        background: of the strain, relative to which couplings have their strengths.
    """

    def __init__(self, random: RandomSeries, sources: Sources, scene: Scene, background: Background) -> None:
        self._random, self._sources, self._scene, self._background = random, sources, scene, background

    def parts(self, instrument: VirgoInstrument) -> dict[str, np.ndarray]:
        """Give the parts of the strain, (T,) each, by name.

        Args:
            instrument: the couplings.
        """
        sources, scene = self._sources, self._scene
        parts = {
            f"linear/{name}": self._behind(sources.fast[name], path)
            for name, path in zip(SEISMOMETERS, instrument.linear)
        }
        kind = "nonstationary" if scene.nonstationary else "bilinear"
        sound = self._behind(sources.fast["MICROPHONE"], instrument.acoustic)
        parts[f"{kind}/MICROPHONE"] = sound * self._acoustic_gain(instrument)
        for harmonic, angle, strength in zip(
            (1, 3), (sources.pitch, sources.yaw), instrument.mains_strengths
        ):
            # A line times an angle fills about 1 Hz on each side.
            rms = strength * self._background.asd_at(harmonic * MAINS_HZ) * np.sqrt(2.0)
            line = np.cos(harmonic * sources.mains_phase_rad)
            parts[f"bilinear/MAINS_{harmonic}"] = rms * angle * np.sqrt(2) * line
        if scene.scattering:
            parts["scattering/BENCH_POSITION"] = self._scattered(instrument)
        if scene.glitches_per_hour:
            response = instrument.glitch.response(self._random.frequency_hz)
            coupled = self._random.filtered(np.tanh(sources.monitored), response)
            parts["glitches/witnessed"] = coupled * self._background.asd_at(instrument.glitch.frequency_hz)
        return parts

    def changing(
        self, first: VirgoInstrument, second: VirgoInstrument, at_s: float, sample_rate_hz: float
    ) -> dict[str, np.ndarray]:
        """Give the parts of the strain where one instrument becomes another within a quarter of a second.

        Args:
            first, second: the instruments.
            at_s: when the second one stands, in seconds from the first sample.
            sample_rate_hz: sample rate.
        """
        before, after = self.parts(first), self.parts(second)
        time_s = np.arange(len(self._sources.monitored)) / sample_rate_hz
        share = np.clip((time_s - at_s) / _FADE_S + 1, 0.0, 1.0)
        return {name: (1 - share) * values + share * after[name] for name, values in before.items()}

    def _acoustic_gain(self, instrument: VirgoInstrument) -> np.ndarray:
        pitch, yaw = self._sources.pitch, self._sources.yaw
        if self._scene.nonstationary:
            angle = (pitch, yaw)[instrument.acoustic_angle]
            return 0.5 + 0.8 * angle + 0.3 * (angle**2 - 1)
        mix = instrument.acoustic_mix_rad
        return np.cos(mix) * pitch + np.sin(mix) * yaw

    def _behind(self, sensed_F: np.ndarray, path: Resonance) -> np.ndarray:
        scale = self._background.asd_at(path.frequency_hz) / ground_asd(np.array([path.frequency_hz]))
        return self._random.series(sensed_F * scale * path.response(self._random.frequency_hz))

    def _scattered(self, instrument: VirgoInstrument) -> np.ndarray:
        """Give scattered light, spread over the fringe frequencies 2 v / lambda of the bench's speed v."""
        phase = 4 * np.pi * self._sources.bench_um / WAVELENGTH_UM + instrument.scattering_phase_rad
        # Of a Gaussian speed with 17 Hz of fringes rms, the PSD of sin at 20 Hz is 0.012 / Hz.
        amplitude = instrument.scattering_strength * self._background.asd_at(20.0) / np.sqrt(0.012)
        return amplitude * np.sin(phase)
