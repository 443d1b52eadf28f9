"""What the channels of the simulated detector record of what their sensors are exposed to."""

# T samples, F frequencies

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from lightning_itwin.strain.channel_pieces import Channel
from lightning_itwin.strain.resampling import resample
from lightning_itwin.strain.simulator.couplings import ANGLES, SEISMOMETERS, Sensed
from lightning_itwin.strain.simulator.random_series import RandomSeries
from lightning_itwin.strain.simulator.scene import Recording, Scene, Stretches
from lightning_itwin.strain.simulator.virgo_instrument import ground_asd

SLOWER = 8  # slow channels have the sample rate divided by this
UNSAFE = "UNSAFE"
_PREFIX = "V1:SIM_"
_UNITS = {
    "SEISMOMETER": "um/s",
    "MICROPHONE": "Pa",
    "MAINS": "V",
    "ANGLE": "urad",
    "BENCH": "um",
    "MONITOR": "V",
    "DUMMY": "V",
    "UNSAFE": "V",
}


def witness_names(scene: Scene, recording: Recording) -> list[str]:
    """Give the names of the witnesses without their prefix, in their order.

    Args:
        scene: which couplings there are.
        recording: which channels there are beside those of the couplings.
    """
    names = [*SEISMOMETERS, "MICROPHONE", "MAINS", *ANGLES]
    names += ["BENCH_POSITION"] if scene.scattering else []
    names += ["MONITOR"] if scene.glitches_per_hour else []
    return [
        *names,
        *(f"{name}_{letter}" for name, letter in neighbours(names, recording.neighbours)),
        *(_dummy(number) for number in range(1, recording.dummies + 1)),
        *([] if recording.unsafe_noise is None else [UNSAFE]),
    ]


def neighbours(names: list[str], count: int) -> Iterator[tuple[str, str]]:
    """Give the names that get another sensor, and its letter."""
    rounds = itertools.product("BCDEFGHIJKLMNOPQRSTUVWXYZ", names)
    return ((name, letter) for letter, name in itertools.islice(rounds, count))


class Recorder:
    """Records channels.

    Args:
        random: makes the noise of sensors.
        recording: how.
        sample_rate_hz: sample rate of the strain.
        gps_start_s: GPS time of the first sample.
    """

    def __init__(
        self, random: RandomSeries, recording: Recording, sample_rate_hz: float, gps_start_s: float
    ) -> None:
        self._random, self._recording = random, recording
        self._rate_hz, self._gps_start_s = sample_rate_hz, gps_start_s

    def witnesses(self, sensed: dict[str, Sensed]) -> list[Channel]:
        """Give the channels of sensors, neighbours and dummies.

        Args:
            sensed: what the sensors are exposed to, by name.
        """
        found = [self._record(name, what) for name, what in sensed.items()]
        for name, letter in neighbours(list(sensed), self._recording.neighbours):
            found.append(self._record(f"{name}_{letter}", sensed[name]))
        for number in range(1, self._recording.dummies + 1):
            name = _dummy(number)
            ground = self._random.noise(name, ground_asd(self._random.frequency_hz))
            found.append(self.witness(name, ground))
        return found

    def witness(self, name: str, values: np.ndarray, slow: bool = False) -> Channel:
        """Give a witness channel at its own rate, with what it has lost.

        Args:
            name: without its prefix.
            values: at the strain's sample rate, (T,).
            slow: whether it is recorded at 1/8 of the sample rate, unless another rate is set.
        """
        rate_hz = self._rate_hz
        if name in self._recording.rates_hz:
            rate_hz = self._recording.rates_hz[name]
            values = resample(values, self._rate_hz, rate_hz, name)
        elif slow:
            rate_hz, values = self._rate_hz / SLOWER, values[::SLOWER]
        values = values.astype(np.float32)
        lose(values, self._recording.lost_s.get(name, ()), rate_hz)
        return Channel(
            name=_PREFIX + name,
            values=values,
            sample_rate_hz=rate_hz,
            gps_start_s=self._gps_start_s,
            unit=_UNITS[name.split("_")[0]],
        )

    def strain(self, name: str, values: np.ndarray, gaps_s: Stretches = ()) -> Channel:
        """Give the strain, or a part of it.

        Args:
            name: whole.
            values: (T,); what is missing is marked in place.
            gaps_s: stretches that are missing.
        """
        lose(values, gaps_s, self._rate_hz)
        return Channel(
            name=name,
            values=values,
            sample_rate_hz=self._rate_hz,
            gps_start_s=self._gps_start_s,
            unit="strain",
        )

    def _record(self, name: str, sensed: Sensed) -> Channel:
        noise = self._random.spectrum(f"{name} sensor", sensed.noise_asd)
        if np.iscomplexobj(sensed.values):
            return self.witness(name, self._random.series(sensed.values + noise), sensed.slow)
        return self.witness(name, sensed.values + self._random.series(noise), sensed.slow)


def lose(values: np.ndarray, stretches_s: Stretches, sample_rate_hz: float) -> None:
    """Mark stretches as missing, in place.

    Args:
        values: (T,).
        stretches_s: begin and end in seconds from the first sample.
        sample_rate_hz: of the values.
    """
    for begin_s, end_s in stretches_s:
        values[round(begin_s * sample_rate_hz) : round(end_s * sample_rate_hz)] = np.nan


def _dummy(number: int) -> str:
    return "DUMMY" if number == 1 else f"DUMMY_{number}"
