"""Simulated strain of a Virgo-like detector and its witness channels, every part of the truth kept apart."""

# T samples

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.strain.segments import difference
from lightning_itwin.strain.simulator.background import Background
from lightning_itwin.strain.simulator.couplings import Couplings, Sources
from lightning_itwin.strain.simulator.random_series import RandomSeries
from lightning_itwin.strain.simulator.recording import SLOWER, UNSAFE, Recorder, witness_names
from lightning_itwin.strain.simulator.scene import Recording, Scene, Stretches
from lightning_itwin.strain.simulator.simulated_data import SimulatedData
from lightning_itwin.strain.simulator.simulated_files import write_simulated
from lightning_itwin.strain.simulator.transients import (
    Event,
    Timeline,
    injections,
    monitored_glitches,
    unwitnessed_glitches,
    witnessed_events,
)
from lightning_itwin.strain.simulator.virgo_instrument import HIGHEST_RESONANCE_HZ, VirgoInstrument

STRAIN = "V1:SIM_STRAIN"
# The background that leaves a range of 65 Mpc where the design has 152; Virgo had some 50 to 60 Mpc in its
# third run: Abbott et al. 2023, arXiv:2111.03606, section II.
_BACKGROUND = 2.35
_SCENE: Mapping[str, Any] = {
    "nonstationary": True,
    "scattering": True,
    "glitches_per_hour": 240.0,
    "unwitnessed_glitches_per_hour": 60.0,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "strong": {"sample_rate_hz": 1024.0, "background": _BACKGROUND, "scene": _SCENE},
    "virgo_like": {
        "sample_rate_hz": 1024.0,
        "background": _BACKGROUND,
        "coupling_strength": 0.09,
        "scene": _SCENE,
    },
}


@dataclass(frozen=True, kw_only=True)
class VirgoSimulator:
    """Simulates the strain of a Virgo-like detector and its witness channels.

    The strain is the sum of a Gaussian background with the shape of Advanced Virgo's design ASD, three linear
    couplings (a seismometer each, through a resonance), and three bilinear ones: the first and the third
    harmonic of the mains line, each times a slow alignment angle, and a microphone through a resonance whose
    gain is a mix of both angles. One more witness couples to nothing. A ``scene`` adds couplings that are
    neither linear nor stationary, glitches and signals; a ``recording`` says which channels there are, at
    which rates, and what is missing of them.

    Args:
        duration_s: length of the data in seconds.
        sample_rate_hz: sample rate of the strain and the fast witnesses, above 380 Hz and a multiple of 8.
        gps_start_s: GPS time of the first sample.
        noise_seed: seed of everything that is random in time.
        instrument_seed: seed of the couplings.
        coupling_strength: scale of all couplings; 1 is strong, so that methods can be ranked.
        background: ASD of the background relative to Advanced Virgo's design.
        scene: what else happens.
        recording: which channels are recorded, and how.

    Raises:
        ValueError: a value is outside its range.
    """

    duration_s: float = 1024.0
    sample_rate_hz: float = 512.0
    gps_start_s: float = 1262304018.0
    noise_seed: int = 1
    instrument_seed: int = 0
    coupling_strength: float = 1.0
    background: float = 1.0
    scene: Scene = field(default_factory=Scene)
    recording: Recording = field(default_factory=Recording)

    def __post_init__(self) -> None:
        for name, kind in (("scene", Scene), ("recording", Recording)):
            given = getattr(self, name)
            if isinstance(given, Mapping):
                object.__setattr__(self, name, kind(**given))
        if self.duration_s <= 0 or self.coupling_strength < 0 or self.background <= 0:
            raise ValueError(
                "duration_s must be > 0, coupling_strength >= 0 and background > 0, not "
                f"{self.duration_s}, {self.coupling_strength} and {self.background}."
            )
        if self.sample_rate_hz <= 2 * HIGHEST_RESONANCE_HZ or self.sample_rate_hz % SLOWER:
            raise ValueError(
                f"sample_rate_hz must be a multiple of 8 above {2 * HIGHEST_RESONANCE_HZ:g} Hz, twice the "
                f"highest resonance, not {self.sample_rate_hz:g}."
            )
        names = witness_names(self.scene, self.recording)
        unknown = sorted({*self.recording.rates_hz, *self.recording.lost_s} - set(names))
        if unknown:
            raise ValueError(
                f"rates_hz and lost_s name witnesses that there are not: {', '.join(unknown)}. There are "
                f"{', '.join(names)}."
            )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> VirgoSimulator:
        """Give a detector by its name.

        Args:
            name: ``"strong"`` or ``"virgo_like"``.
            changes: fields that shall have another value; ``scene`` and ``recording`` may be mappings of
                those of their fields that shall.

        Raises:
            ValueError: there is no such detector.
        """
        if name not in PRESETS:
            raise ValueError(f"There is no detector {name!r}; there are {', '.join(PRESETS)}.")
        chosen = dict(PRESETS[name])
        for part in ("scene", "recording"):
            given = changes.pop(part, {})
            is_whole = not isinstance(given, Mapping)
            chosen[part] = given if is_whole else {**chosen.get(part, {}), **given}
        return cls(**{**chosen, **changes})

    @classmethod
    def strong(cls, **changes: Any) -> VirgoSimulator:
        """Give a detector that loses a third of its range to what its witnesses see, at 1024 Hz.

        It has ten witnesses: three seismometers, a microphone with a non-stationary gain, the mains, two
        angles, the position of a bench that scatters light, a monitor of glitches, and a dummy. The range is
        about 42 Mpc, and 65 Mpc without what the witnesses know.

        Args:
            changes: see :meth:`preset`.
        """
        return cls.preset("strong", **changes)

    @classmethod
    def virgo_like(cls, **changes: Any) -> VirgoSimulator:
        """Give a detector with as little to win as Virgo in its third run: 2.5 % of the range, at 1024 Hz.

        Args:
            changes: see :meth:`preset`.

        Reference:
            arXiv:2410.06220: what subtraction won in O3b.
        """
        return cls.preset("virgo_like", **changes)

    @property
    def instrument(self) -> VirgoInstrument:
        """The couplings that are simulated, before any change."""
        return VirgoInstrument.draw(self.instrument_seed, self.coupling_strength)

    def parameters(self) -> dict[str, Any]:
        """Give the parameters that make these samples, for JSON; ``VirgoSimulator(**...)`` takes them back.

        Of background, scene and recording only what differs from the defaults is there, so that the same
        samples keep the same parameters when a simulator gets more of them.
        """
        given, usual = asdict(self), asdict(VirgoSimulator())
        for name in ("background", "scene", "recording"):
            if given[name] == usual[name]:
                del given[name]
            elif isinstance(given[name], dict):
                given[name] = {key: one for key, one in given[name].items() if one != usual[name][key]}
        return given

    def simulate(self) -> SimulatedData:
        """Simulate; the same parameters give the same samples."""
        rate_hz, scene, recording = self.sample_rate_hz, self.scene, self.recording
        samples = round(self.duration_s * rate_hz)
        random = RandomSeries(samples, rate_hz, self.noise_seed)
        background = Background(scale=self.background)
        timeline = Timeline(samples, rate_hz, self.gps_start_s)
        monitored, glitches = monitored_glitches(timeline, scene.glitches_per_hour, random.stream("glitches"))
        sources = Sources(random, rate_hz, scene, monitored)
        truth = {"background": random.noise("background", background.asd(random.frequency_hz))}
        truth |= self._coupled(Couplings(random, sources, scene, background))
        events: list[Event] = []
        if scene.glitches_per_hour:
            events += witnessed_events(timeline, glitches, truth["glitches/witnessed"], background)
        for name, per_hour, draw in (
            ("glitches/unwitnessed", scene.unwitnessed_glitches_per_hour, unwitnessed_glitches),
            ("injections", scene.injections_per_hour, injections),
        ):
            if per_hour:
                truth[name], found = draw(timeline, scene, random.stream(name), background)
                events += found
        strain = np.zeros(samples)
        for values in truth.values():
            strain += values
        recorder = Recorder(random, recording, rate_hz, self.gps_start_s)
        witnesses = recorder.witnesses(sources.sensed())
        if recording.unsafe_noise is not None:
            witnesses.append(recorder.witness(UNSAFE, self._unsafe(random, background, strain)))
        data_s = difference(self._times(((0.0, self.duration_s),)), self._times(recording.gaps_s))
        return SimulatedData(
            strain=recorder.strain(STRAIN, strain, recording.gaps_s),
            witnesses=tuple(witnesses),
            truth=tuple(recorder.strain(f"truth/{name}", values) for name, values in truth.items()),
            events=tuple(sorted(events, key=lambda event: event.gps_s)),
            data_s=data_s,
            good_s=difference(data_s, self._times(recording.flagged_s)),
        )

    def write(self, path: str | Path) -> None:
        """Simulate, and write the channels, the truth, the events and the flags.

        See :func:`~lightning_itwin.strain.simulator.simulated_files.write_simulated` for what lies where.

        Args:
            path: an HDF5 file for all; a file ending in ``.gwf`` for the channels as a frame, with the truth
                beside it; or a folder for one HDF5 file a channel.
        """
        write_simulated(path, self.simulate(), self.parameters())

    def _coupled(self, couplings: Couplings) -> dict[str, np.ndarray]:
        if self.scene.change_at_s is None:
            return couplings.parts(self.instrument)
        changed = VirgoInstrument.draw(self.scene.changed_instrument_seed, self.coupling_strength)
        return couplings.changing(self.instrument, changed, self.scene.change_at_s, self.sample_rate_hz)

    def _unsafe(self, random: RandomSeries, background: Background, strain: np.ndarray) -> np.ndarray:
        whitened = random.filtered(strain, 1 / background.asd(random.frequency_hz))
        noise = random.noise("UNSAFE sensor", 1.0)
        return (whitened + (self.recording.unsafe_noise or 0.0) * noise) / np.sqrt(self.sample_rate_hz / 2)

    def _times(self, stretches_s: Stretches) -> np.ndarray:
        return self.gps_start_s + np.array(stretches_s, dtype=np.float64).reshape(-1, 2)
