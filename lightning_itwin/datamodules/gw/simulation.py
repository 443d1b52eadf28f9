"""From an event's number to its parameters, its whitened signal and what is stored of it."""

# N events, P parameters, D detectors, F frequencies, T samples

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.gw.event_numbers import derived_seed, noise_seeds, psd_indices
from lightning_itwin.datamodules.gw.shard_format import EVENTS_PER_BLOCK, RecordFormat, ShardManifest
from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.inference import Prior
from lightning_itwin.waveforms import Binary, make_waveform

# Spectra of so many bytes stay in the caches of a core.
_CACHED_BYTES = 6.4e6


class SimulationError(ValueError):
    """An event cannot be simulated; the message names it and its parameters."""


@dataclass(frozen=True, kw_only=True)
class SignalSettings:
    """All that an event's signal depends on, apart from its number.

    Args:
        observation: detectors, duration, rate, band, PSDs, reference time.
        waveform: ``"IMRPhenomPv2"``, computed in torch, or ``"lalsimulation:NAME"``.
        reference_frequency_hz: where spins and phase are defined.
        prior: a bilby prior file, or the name of one that the package brings: ``et_14``, ``et_small``,
            ``ligo_bbh``; or its text, with line breaks.
        seed: seed of the events.
    """

    observation: ObservationSettings = field(default_factory=ObservationSettings)
    waveform: str = "IMRPhenomPv2"
    reference_frequency_hz: float = 20.0
    prior: str = "et_14"
    seed: int = 42

    def read_prior(self) -> Prior:
        """Read the prior."""
        if "\n" in self.prior:
            return Prior(self.prior, self.observation.gps_time_s)
        return Prior.from_file(self.prior, self.observation.gps_time_s)


class EventSimulator:
    """Simulates numbered events; an event depends on the settings and its number alone.

    Args:
        settings: of the signals.
        content: ``"strain"`` stores the noisy whitened series, ``"signal"`` the whitened spectrum without
            noise.
        signal_below_hz: highest frequency stored of a signal; None stores the whole band. Binary black holes
            of 20 solar masses and more have nothing above 1024 Hz.

    Raises:
        ValueError: a setting is outside its range.
        FileNotFoundError: a prior or PSD file is not there.
        MissingExtraError: a library is not installed.
    """

    def __init__(
        self,
        settings: SignalSettings,
        content: Literal["strain", "signal"] = "strain",
        signal_below_hz: float | None = None,
    ) -> None:
        if content not in ("strain", "signal"):
            raise ValueError(f"content must be 'strain' or 'signal', not {content!r}.")
        self.settings = settings
        self.content = content
        self.signal_below_hz = signal_below_hz
        self.prior = settings.read_prior()
        self.observation = Observation(settings.observation)
        waveform = make_waveform(settings.waveform, reference_frequency_hz=settings.reference_frequency_hz)
        highest_hz = self.prior.highest_frequency_hz(waveform)
        self.signal_model = SignalModel(waveform, self.observation, highest_hz)
        frequency_hz = self.observation.frequency_hz
        self.bins = int((frequency_hz <= (signal_below_hz or float("inf"))).sum())
        if self.bins < 1:
            raise ValueError(
                f"signal_below_hz must be above the band's lower edge of {float(frequency_hz[0]):g} Hz, not "
                f"{signal_below_hz:g}."
            )
        # A name that is missing or unknown is told before any work.
        Binary.from_table(*self.prior.with_fixed(self.prior.sample_events([0], settings.seed)))

    @property
    def record(self) -> RecordFormat:
        """What is stored of an event."""
        detectors = len(self.observation.names)
        if self.content == "strain":
            return RecordFormat(dtype="float32", shape=[detectors, self.observation.samples])
        return RecordFormat(dtype="complex64", shape=[detectors, self.bins])

    def parameters(self, events: Sequence[int] | np.ndarray) -> Tensor:
        """Give the free parameters of events, (N, P) float64."""
        return self.prior.sample_events(events, derived_seed(self.settings.seed, "events"))

    def psd_index(self, events: Sequence[int] | np.ndarray) -> Tensor:
        """Give the PSD set of events, (N,) int64."""
        return torch.from_numpy(psd_indices(events, self.settings.seed, self.observation.num_psds))

    def signals(self, events: Sequence[int] | np.ndarray) -> Tensor:
        """Give the whitened signals, (N, D, F) complex64.

        Raises:
            SimulationError: the waveform gives no finite signal for an event.
        """
        theta = self.parameters(events)
        signals = self.signal_model(Binary.from_table(*self.prior.with_fixed(theta)), self.psd_index(events))
        finite = torch.isfinite(torch.view_as_real(signals)).flatten(1).all(1)
        if not finite.all():
            row = int(torch.nonzero(~finite)[0])
            values = ", ".join(
                f"{name}={value:g}" for name, value in zip(self.prior.names, theta[row].tolist())
            )
            raise SimulationError(
                f"{self.settings.waveform} gives no finite signal for event {np.asarray(events)[row]}: "
                f"{values}. Narrow the prior, or take another waveform."
            )
        return signals

    def records(self, events: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Simulate what is stored.

        Args:
            events: event numbers; the same numbers in another group may differ in the last bit.

        Returns:
            records (N, ...) and optimal signal-to-noise ratios of the network (N,).
        """
        events = np.asarray(events)
        kept = np.empty((len(events), *self.record.shape), dtype=self.record.dtype)
        snr = np.empty(len(events))
        # Always the same number: the last bit of a sum may depend on it.
        at_once = events_at_once(self.observation)
        for begin in range(0, len(events), at_once):
            part = slice(begin, begin + at_once)
            signals = self.signals(events[part])
            snr[part] = torch.view_as_real(signals).double().square().sum((1, 2, 3)).sqrt().numpy()
            if self.content == "strain":
                seeds = noise_seeds(events[part], self.settings.seed)
                noise = self.observation.noise(len(signals), seeds)
                kept[part] = self.observation.to_series(signals + noise).numpy()
            else:
                kept[part] = signals[..., : self.bins].numpy()
        return kept, snr

    def block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Simulate one block of 64 events, always as a whole: the bits do not depend on who asks for it."""
        return self.records(np.arange(number * EVENTS_PER_BLOCK, (number + 1) * EVENTS_PER_BLOCK))

    def manifest(self, events: int, shard_bytes: int) -> ShardManifest:
        """Describe a data set of this simulator.

        Args:
            events: number of events.
            shard_bytes: wanted size of a shard; it holds whole blocks.
        """
        block_bytes = EVENTS_PER_BLOCK * self.record.bytes
        # With the numbers of every PSD: the folder is read where their files are not.
        observation = self.settings.observation.self_contained()
        settings = asdict(replace(self.settings, observation=observation))
        settings["prior"] = self.prior.settings()
        settings |= {"content": self.content, "signal_below_hz": self.signal_below_hz}
        return ShardManifest(
            settings=plain(settings),
            names=list(self.prior.names),
            events=events,
            events_per_shard=max(1, round(shard_bytes / block_bytes)) * EVENTS_PER_BLOCK,
            record=self.record,
            psd_hash=psd_hash(self.observation),
            versions=versions(),
        )


def events_at_once(observation: Observation) -> int:
    """Give how many events a core simulates together: a power of 2 from 8 to a block of 64."""
    event_bytes = 8 * observation.num_detectors * observation.num_frequencies
    return next(
        at_once for at_once in (64, 32, 16, 8) if at_once == 8 or at_once * event_bytes <= _CACHED_BYTES
    )


def psd_hash(observation: Observation) -> str:
    """Give a hash of the standard deviations that an observation whitens with."""
    values = np.ascontiguousarray(observation.standard_deviation.double().cpu().numpy())
    # Six digits: another processor may round the last ones otherwise.
    text = " ".join(f"{value:.6e}" for value in values.ravel().tolist())
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def versions() -> dict[str, str]:
    """Give the versions of the libraries that shape an event."""
    found = {}
    for library in ("lightning-itwin", "torch", "numpy", "lalsuite", "bilby"):
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


def plain(value: Any) -> Any:
    """Turn tuples into lists, all the way down, as JSON does."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
