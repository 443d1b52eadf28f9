"""Simulated strain of a Virgo-like detector and its witness channels, every part of the truth kept apart."""

# F frequencies, T samples

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.strain.hdf5_channels import Channel, write_channels
from lightning_itwin.strain.simulator.couplings import Couplings, Sources
from lightning_itwin.strain.simulator.random_series import RandomSeries
from lightning_itwin.strain.simulator.scene import Scene
from lightning_itwin.strain.simulator.transients import Event, chirps, events_of, glitch_train
from lightning_itwin.strain.simulator.virgo_instrument import (
    HIGHEST_RESONANCE_HZ,
    VirgoInstrument,
    virgo_asd,
)

STRAIN = "V1:SIM_STRAIN"
_SLOWER = 8  # of the slow channels' sample rate
_UNWITNESSED = 80.0  # amplitude of an average glitch, in units of the background's ASD at 100 Hz
_SCENE = Scene()


@dataclass(frozen=True, kw_only=True)
class SimulatedData:
    """Channels as a detector would record them, and what only a simulator knows.

    Args:
        strain: the strain; the sum of all of ``truth``, not a number within gaps.
        witnesses: the witness channels; slow ones at 1/8 of the sample rate.
        truth: parts of the strain: ``truth/background``, which no witness sees, then one part a coupling.
        events: glitches and injections, in order of time.
    """

    strain: Channel
    witnesses: tuple[Channel, ...]
    truth: tuple[Channel, ...]
    events: tuple[Event, ...] = ()

    @property
    def oracle(self) -> Channel:
        """What an ideal subtraction leaves: all that no witness knows of."""
        kept = [part.values for part in self.truth if part.name in UNKNOWN]
        return replace(self.strain, name="truth/oracle", values=np.sum(kept, axis=0))


UNKNOWN = ("truth/background", "truth/glitches/unwitnessed", "truth/injections")


@dataclass(frozen=True, kw_only=True)
class VirgoSimulator:
    """Simulates the strain of a Virgo-like detector and its witness channels.

    The strain is the sum of a Gaussian background with Advanced Virgo's design ASD, three linear couplings
    (a seismometer each, through a resonance), and three bilinear ones: the first and the third harmonic of
    the mains line, each times a slow alignment angle, and a microphone through a resonance whose gain is a
    mix of both angles. One more witness couples to nothing. A ``scene`` adds couplings that are neither
    linear nor stationary, glitches, injections, and faults.

    Args:
        duration_s: length of the data in seconds.
        sample_rate_hz: sample rate of the strain and the fast witnesses, above 380 Hz and a multiple of 8.
        gps_start_s: GPS time of the first sample.
        noise_seed: seed of everything that is random in time.
        instrument_seed: seed of the couplings.
        coupling_strength: scale of all couplings; 1 is strong, so that methods can be ranked.
        scene: what else happens.

    Raises:
        ValueError: a value is outside its range.
    """

    duration_s: float = 1024.0
    sample_rate_hz: float = 512.0
    gps_start_s: float = 1262304018.0
    noise_seed: int = 1
    instrument_seed: int = 0
    coupling_strength: float = 1.0
    scene: Scene = _SCENE

    def __post_init__(self) -> None:
        if isinstance(self.scene, Mapping):
            object.__setattr__(self, "scene", Scene(**self.scene))
        if self.duration_s <= 0 or self.coupling_strength < 0:
            raise ValueError(
                f"duration_s must be > 0 and coupling_strength >= 0, not {self.duration_s} and "
                f"{self.coupling_strength}."
            )
        if self.sample_rate_hz <= 2 * HIGHEST_RESONANCE_HZ or self.sample_rate_hz % _SLOWER:
            raise ValueError(
                f"sample_rate_hz must be a multiple of 8 above {2 * HIGHEST_RESONANCE_HZ:g} Hz, twice the "
                f"highest resonance, not {self.sample_rate_hz:g}."
            )

    @classmethod
    def strong(cls, **changes: Any) -> VirgoSimulator:
        """Give a detector that loses a third of its range to what its witnesses see, at 1024 Hz.

        Seismometers, microphone, mains and angles couple as always; a magnetometer with a temperature, a
        bench that scatters light, and glitches with a monitor join them: twelve channels with the dummy.

        Args:
            changes: fields that shall have another value; ``scene`` may be a mapping of its fields.
        """
        return cls._with({"sample_rate_hz": 1024.0}, changes)

    @classmethod
    def virgo_like(cls, **changes: Any) -> VirgoSimulator:
        """Give a detector like Virgo in its third run: about 2.5 % of the range can be won, at 1024 Hz.

        Args:
            changes: fields that shall have another value; ``scene`` may be a mapping of its fields.

        Reference:
            arXiv:2410.06220: what subtraction won in O3b.
        """
        return cls._with({"sample_rate_hz": 1024.0, "coupling_strength": 0.088}, changes)

    @classmethod
    def _with(cls, fields: Mapping[str, Any], changes: Mapping[str, Any]) -> VirgoSimulator:
        scene: dict[str, Any] = {
            "nonstationary": True,
            "scattering": True,
            "glitches_per_hour": 240.0,
            "unwitnessed_glitches_per_hour": 60.0,
        }
        given = changes.get("scene", {})
        scene |= asdict(given) if isinstance(given, Scene) else dict(given)
        return cls(**{**fields, **changes, "scene": Scene(**scene)})

    @property
    def instrument(self) -> VirgoInstrument:
        """The couplings that are simulated, before any change."""
        return VirgoInstrument.draw(self.instrument_seed, self.coupling_strength)

    def simulate(self) -> SimulatedData:
        """Simulate; the same parameters give the same samples."""
        samples = round(self.duration_s * self.sample_rate_hz)
        random = RandomSeries(samples, self.sample_rate_hz, self.noise_seed)
        monitored, glitches = glitch_train(
            samples, self.sample_rate_hz, self.scene.glitches_per_hour, random.stream("glitches")
        )
        sources = Sources(random, self.sample_rate_hz, self.scene, monitored)
        truth = {"background": random.noise("background", virgo_asd(random.frequency_hz))}
        truth |= self._coupled(random, sources)
        events: list[Event] = []
        if self.scene.glitches_per_hour:
            part = truth["glitches/witnessed"]
            events += events_of(glitches, part, self._time_s, self.sample_rate_hz, witnessed=True)
        for name, (values, found) in self._unseen(random, samples).items():
            truth[name] = values
            events += found
        strain = np.sum(list(truth.values()), axis=0)
        witnesses = sources.witnesses()
        if self.scene.unsafe_noise is not None:
            witnesses["UNSAFE"] = self._unsafe(random, strain)
        for begin_s, end_s in self.scene.gaps_s:
            strain[round(begin_s * self.sample_rate_hz) : round(end_s * self.sample_rate_hz)] = np.nan
        return SimulatedData(
            strain=self._channel(STRAIN, strain, unit="strain"),
            witnesses=tuple(
                self._channel(f"V1:SIM_{name}", values.astype(np.float32), unit=_UNITS[name.split("_")[0]])
                for name, values in witnesses.items()
            ),
            truth=tuple(self._channel(f"truth/{name}", values, "strain") for name, values in truth.items()),
            events=tuple(sorted(events, key=lambda event: event.gps_s)),
        )

    def write(self, path: str | Path) -> None:
        """Simulate and write the channels and the truth to an HDF5 file.

        The file's attribute ``channels`` lists the channels, the strain first; ``simulator`` holds these
        parameters, ``events`` the glitches and injections, as JSON.

        Args:
            path: the file; it appears whole or not at all.
        """
        data = self.simulate()
        channels = (data.strain, *data.witnesses)
        attributes = {
            "channels": json.dumps([channel.name for channel in channels]),
            "simulator": json.dumps(asdict(self)),
        }
        if data.events:
            attributes["events"] = json.dumps([asdict(event) for event in data.events])
        write_channels(path, (*channels, *data.truth), attributes)

    def _coupled(self, random: RandomSeries, sources: Sources) -> dict[str, np.ndarray]:
        before = Couplings(self.instrument, random, sources, self.scene).parts()
        if self.scene.change_at_s is None:
            return before
        changed = VirgoInstrument.draw(self.scene.changed_instrument_seed, self.coupling_strength)
        after = Couplings(changed, random, sources, self.scene).parts()
        at = round(self.scene.change_at_s * self.sample_rate_hz)
        return {name: np.concatenate([values[:at], after[name][at:]]) for name, values in before.items()}

    def _unseen(self, random: RandomSeries, samples: int) -> dict[str, tuple[np.ndarray, list[Event]]]:
        scene, rate_hz = self.scene, self.sample_rate_hz
        found: dict[str, tuple[np.ndarray, list[Event]]] = {}
        if scene.unwitnessed_glitches_per_hour:
            values, glitches = glitch_train(
                samples,
                rate_hz,
                scene.unwitnessed_glitches_per_hour,
                random.stream("unwitnessed glitches"),
            )
            values = _UNWITNESSED * virgo_asd(np.array([100.0]))[0] * values
            found["glitches/unwitnessed"] = (
                values,
                events_of(glitches, values, self._time_s, rate_hz, witnessed=False),
            )
        if scene.injections_per_hour:
            values, mergers = chirps(
                samples, rate_hz, scene.injections_per_hour, scene.injection_snr, random.stream("injections")
            )
            found["injections"] = (
                values,
                [
                    Event(gps_s=self._time_s(merger), kind="chirp", snr=snr, witnessed=False)
                    for merger, snr in mergers
                ],
            )
        return found

    def _unsafe(self, random: RandomSeries, strain: np.ndarray) -> np.ndarray:
        whitened = random.filtered(strain, 1 / virgo_asd(random.frequency_hz))
        noise = random.noise("UNSAFE sensor", 1.0)
        return (whitened + (self.scene.unsafe_noise or 0.0) * noise) / np.sqrt(self.sample_rate_hz / 2)

    def _time_s(self, sample: int) -> float:
        return self.gps_start_s + sample / self.sample_rate_hz

    def _channel(self, name: str, values: np.ndarray, unit: str) -> Channel:
        samples = round(self.duration_s * self.sample_rate_hz)
        return Channel(
            name=name,
            values=values,
            sample_rate_hz=self.sample_rate_hz * (1 if len(values) == samples else 1 / _SLOWER),
            gps_start_s=self.gps_start_s,
            unit=unit,
        )


_UNITS = {
    "SEISMOMETER": "um/s",
    "MICROPHONE": "Pa",
    "MAINS": "V",
    "ANGLE": "urad",
    "DUMMY": "V",
    "MAGNETOMETER": "nT",
    "TEMPERATURE": "K",
    "BENCH": "um",
    "MONITOR": "V",
    "UNSAFE": "V",
}
