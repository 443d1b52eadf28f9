"""Simulated strain of a Virgo-like detector and its witness channels, every part of the truth kept apart."""

# F frequencies

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.hdf5_channels import Channel, write_channels
from lightning_itwin.strain.simulator.virgo_instrument import (
    HIGHEST_RESONANCE_HZ,
    MAINS_HZ,
    Resonance,
    VirgoInstrument,
    ground_asd,
    virgo_asd,
)

STRAIN = "V1:SIM_STRAIN"
_MARGIN_S = 16.0  # made and thrown away, because noise made by an inverse FFT joins its end to its start
_SENSOR_NOISE = 1 / 30  # of a fast witness, relative to what it senses


@dataclass(frozen=True, kw_only=True)
class SimulatedData:
    """Channels as a detector would record them, and what only a simulator knows.

    Args:
        strain: the strain; the sum of all of ``truth``.
        witnesses: the witness channels; the alignment angles at 1/8 of the sample rate.
        truth: parts of the strain: ``truth/background``, which no witness sees, then one part a coupling.
    """

    strain: Channel
    witnesses: tuple[Channel, ...]
    truth: tuple[Channel, ...]


@dataclass(frozen=True, kw_only=True)
class VirgoSimulator:
    """Simulates the strain of a Virgo-like detector and eight witness channels.

    The strain is the sum of a Gaussian background with Advanced Virgo's design ASD, three linear couplings
    (a seismometer each, through a resonance), and three bilinear ones: the first and the third harmonic of
    the mains line, each times a slow alignment angle, and a microphone through a resonance whose gain is a
    mix of both angles. One more witness couples to nothing.

    Args:
        duration_s: length of the data in seconds.
        sample_rate_hz: sample rate of the strain and the fast witnesses, above 380 Hz and a multiple of 8.
        gps_start_s: GPS time of the first sample.
        noise_seed: seed of everything that is random in time.
        instrument_seed: seed of the couplings.
        coupling_strength: scale of all couplings; 1 is strong, so that methods can be ranked.

    Raises:
        ValueError: a value is outside its range.
    """

    duration_s: float = 1024.0
    sample_rate_hz: float = 512.0
    gps_start_s: float = 1262304018.0
    noise_seed: int = 1
    instrument_seed: int = 0
    coupling_strength: float = 1.0

    def __post_init__(self) -> None:
        if self.duration_s <= 0 or self.coupling_strength < 0:
            raise ValueError(
                f"duration_s must be > 0 and coupling_strength >= 0, not {self.duration_s} and "
                f"{self.coupling_strength}."
            )
        if self.sample_rate_hz <= 2 * HIGHEST_RESONANCE_HZ or self.sample_rate_hz % 8:
            raise ValueError(
                f"sample_rate_hz must be a multiple of 8 above {2 * HIGHEST_RESONANCE_HZ:g} Hz, twice the "
                f"highest resonance, not {self.sample_rate_hz:g}."
            )

    @property
    def instrument(self) -> VirgoInstrument:
        """The couplings that are simulated."""
        return VirgoInstrument.draw(self.instrument_seed, self.coupling_strength)

    def simulate(self) -> SimulatedData:
        """Simulate; the same parameters give the same samples."""
        fft = require("scipy.fft", extra="virgo")
        instrument = self.instrument
        samples = round(self.duration_s * self.sample_rate_hz)
        made = fft.next_fast_len(samples + round(_MARGIN_S * self.sample_rate_hz), real=True)
        frequency_hz = fft.rfftfreq(made, 1 / self.sample_rate_hz)

        def spectrum(name: str, shape: np.ndarray | float) -> np.ndarray:
            # A stream of random numbers a name, so that a new part leaves the others as they are.
            rng = np.random.default_rng([self.noise_seed, zlib.crc32(name.encode())])
            white = rng.standard_normal(made) * np.sqrt(self.sample_rate_hz / 2)
            return fft.rfft(white) * shape

        def series(spectrum_F: np.ndarray) -> np.ndarray:
            return fft.irfft(spectrum_F, made)[:samples]

        def coupled(sensed: np.ndarray, path: Resonance) -> np.ndarray:
            at_resonance = np.array([path.frequency_hz])
            scale = virgo_asd(at_resonance) / ground_asd(at_resonance)
            return series(sensed * scale * path.response(frequency_hz))

        slow = 1.0 / (1.0 + (frequency_hz / 0.25) ** 2)
        phase_rad = self._mains_phase(series(spectrum("mains frequency", slow)))
        pitch, yaw = (_unit_power(series(spectrum(name, slow))) for name in ("pitch", "yaw"))

        truth = {"background": series(spectrum("background", virgo_asd(frequency_hz)))}
        witnesses: dict[str, np.ndarray] = {}
        for number, path in enumerate(instrument.linear, start=1):
            name = f"SEISMOMETER_{number}"
            sensed = spectrum(name, ground_asd(frequency_hz))
            truth[f"linear/{name}"] = coupled(sensed, path)
            witnesses[name] = series(sensed + spectrum(f"{name} sensor", _SENSOR_NOISE))
        sensed = spectrum("MICROPHONE", ground_asd(frequency_hz))
        gain = np.cos(instrument.acoustic_mix_rad) * pitch + np.sin(instrument.acoustic_mix_rad) * yaw
        truth["bilinear/MICROPHONE"] = coupled(sensed, instrument.acoustic) * gain
        witnesses["MICROPHONE"] = series(sensed + spectrum("MICROPHONE sensor", _SENSOR_NOISE))
        for harmonic, angle, strength in zip((1, 3), (pitch, yaw), instrument.mains_strengths):
            # A line times an angle fills about 1 Hz on each side.
            rms = strength * virgo_asd(np.array([harmonic * MAINS_HZ]))[0] * np.sqrt(2.0)
            truth[f"bilinear/MAINS_{harmonic}"] = rms * angle * np.sqrt(2) * np.cos(harmonic * phase_rad)
        witnesses["MAINS"] = (
            np.cos(phase_rad) + 0.1 * np.cos(3 * phase_rad) + series(spectrum("MAINS sensor", 1e-3))
        )
        for name, angle in (("ANGLE_PITCH", pitch), ("ANGLE_YAW", yaw)):
            noise = series(spectrum(f"{name} sensor", 1e-3))
            witnesses[name] = (angle + noise)[::8]
        witnesses["DUMMY"] = series(spectrum("DUMMY", ground_asd(frequency_hz)))

        strain = np.sum(list(truth.values()), axis=0)
        return SimulatedData(
            strain=self._channel(STRAIN, strain, unit="strain"),
            witnesses=tuple(
                self._channel(f"V1:SIM_{name}", values.astype(np.float32), unit=_UNITS[name.split("_")[0]])
                for name, values in witnesses.items()
            ),
            truth=tuple(self._channel(f"truth/{name}", values, "strain") for name, values in truth.items()),
        )

    def write(self, path: str | Path) -> None:
        """Simulate and write the channels and the truth to an HDF5 file.

        The file's attribute ``channels`` lists the channels, the strain first; ``simulator`` holds these
        parameters.

        Args:
            path: the file; it appears whole or not at all.
        """
        data = self.simulate()
        channels = (data.strain, *data.witnesses)
        attributes = {
            "channels": json.dumps([channel.name for channel in channels]),
            "simulator": json.dumps(asdict(self)),
        }
        write_channels(path, (*channels, *data.truth), attributes)

    def _mains_phase(self, wander: np.ndarray) -> np.ndarray:
        # The frequency of a European grid keeps within some 10 mHz of 50 Hz.
        frequency_hz = MAINS_HZ + 0.01 * _unit_power(wander)
        return 2 * np.pi * np.cumsum(frequency_hz) / self.sample_rate_hz

    def _channel(self, name: str, values: np.ndarray, unit: str) -> Channel:
        samples = round(self.duration_s * self.sample_rate_hz)
        return Channel(
            name=name,
            values=values,
            sample_rate_hz=self.sample_rate_hz * (1 if len(values) == samples else 1 / 8),
            gps_start_s=self.gps_start_s,
            unit=unit,
        )


_UNITS = {
    "SEISMOMETER": "um/s",
    "MICROPHONE": "Pa",
    "MAINS": "V",
    "ANGLE": "urad",
    "DUMMY": "V",
}


def _unit_power(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt(np.mean(values**2))
