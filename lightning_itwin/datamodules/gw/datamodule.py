"""GWDataModule: events simulated on the training device, read from shards or HDF5, and real ones."""

# B batch, D detectors, F frequencies, T samples, P parameters

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from lightning_itwin.datamodules.gw.batch import GWBatch
from lightning_itwin.datamodules.gw.event_loader import EventBatches, EventInputs, EventLoader, EventSource
from lightning_itwin.datamodules.gw.event_numbers import derived_seed
from lightning_itwin.datamodules.gw.event_order import EventOrder
from lightning_itwin.datamodules.gw.real_events import GWEvent
from lightning_itwin.datamodules.gw.signal_bank import SignalBank
from lightning_itwin.datamodules.gw.simulation import EventSimulator, SignalSettings
from lightning_itwin.datamodules.gw.simulation_source import SimulationSource
from lightning_itwin.detectors import Observation, ObservationSettings
from lightning_itwin.inference import Prior


@dataclass(frozen=True, kw_only=True)
class EventData:
    """Where events come from, and how many.

    Args:
        path: None simulates on the training device; a folder made by ``simulate``; or an HDF5 file of your own.
        train_events: events an epoch; None takes 1,000,000 simulated ones, or all that are stored and not
            kept for validation and test.
        val_events: events for validation, always the same.
        test_events: events for test, always the same.
        bank_events: signals that are simulated before training starts and kept in memory; training draws the
            masses, spins and orientation from them, everything else and the noise anew. 0 simulates every
            event.
        whitened: whether the strain of an HDF5 file is whitened already.
        read_ahead: batches made ready in a thread while the model computes.
        read_threads: threads that read one batch from disk together.
        shuffle_block: neighbours on disk that are read and shuffled as one.
        verify: compare the checksums of all shards before the first batch.
    """

    path: str | None = None
    train_events: int | None = None
    val_events: int = 10_000
    test_events: int = 1_000
    bank_events: int = 0
    whitened: bool = True
    read_ahead: int = 2
    read_threads: int = 1
    shuffle_block: int = 8
    verify: bool = False


class GWDataModule(LightningDataModule):
    """Batches of whitened strain of compact binaries with their parameters, as ``GWBatch``.

    Args:
        observation: detectors, duration, rate, band, PSDs; the Einstein Telescope by default. Stored events
            bring their own; what is given beside them must agree.
        waveform: ``"IMRPhenomPv2"`` by default, or ``"lalsimulation:NAME"``.
        reference_frequency_hz: where spins and phase are defined.
        prior: a bilby prior file, or ``et_14``, ``et_small``, ``ligo_bbh``; ``et_14`` by default.
        events: where the events come from, and how many.
        batch_size: events in a batch of one process.
        seed: seed of events, noise and order.
        real_events: events for ``predict``.
    """

    def __init__(
        self,
        observation: ObservationSettings | None = None,
        waveform: str | None = None,
        reference_frequency_hz: float = 20.0,
        prior: str | None = None,
        events: EventData = EventData(),  # noqa: B008
        batch_size: int = 256,
        seed: int = 42,
        real_events: list[GWEvent] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        self.save_hyperparameters("batch_size", "seed")
        self.events = events
        self.batch_size = batch_size
        self.seed = seed
        self.real_events = real_events or []
        self.settings = SignalSettings(
            observation=observation or ObservationSettings(),
            waveform=waveform or "IMRPhenomPv2",
            reference_frequency_hz=reference_frequency_hz,
            prior=prior or "et_14",
            seed=seed,
        )
        self._simulator: EventSimulator | None = None
        self._bank: SignalBank | None = None
        self._on_device: dict[torch.device, EventSimulator] = {}

    @property
    def observation(self) -> Observation:
        """The observation, known after ``setup``."""
        return self.simulator.observation

    @property
    def prior(self) -> Prior:
        """The prior, known after ``setup``."""
        return self.simulator.prior

    @property
    def waveform_name(self) -> str:
        """Name of the waveform."""
        return self.settings.waveform

    @property
    def reference_frequency_hz(self) -> float:
        """Where spins and phase are defined."""
        return self.settings.reference_frequency_hz

    @property
    def simulator(self) -> EventSimulator:
        """The simulator of these events, known after ``setup``."""
        if self._simulator is None:
            raise RuntimeError("GWDataModule has no events before setup(); the Trainer calls it, or you do.")
        return self._simulator

    def setup(self, stage: str | None = None) -> None:
        if self._simulator is None:
            self._simulator = EventSimulator(self.settings)

    def train_dataloader(self) -> EventLoader:
        return self._loader("train")

    def val_dataloader(self) -> EventLoader:
        return self._loader("val")

    def test_dataloader(self) -> EventLoader:
        return self._loader("test")

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.finish(batch) if isinstance(batch, EventInputs) else batch

    def finish(self, inputs: EventInputs) -> GWBatch:
        """Make a batch of its inputs, on their device: signal, noise, whitened series."""
        raise NotImplementedError

    def signals(self, num: int, first: int = 0) -> Tensor:
        """Simulate whitened signals without noise, apart from all other splits, (num, D, F) complex64."""
        return self.simulator.signals(np.arange(first, first + num))
