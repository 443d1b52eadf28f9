"""GWDataModule: events simulated on the training device, read from shards or HDF5, and real ones."""

# B batch, D detectors, F frequencies, T samples, P parameters

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.batch_loader import BatchLoader, BatchSource, OrderedBatches
from lightning_itwin.datamodules.gw.batch import GWBatch
from lightning_itwin.datamodules.gw.event_data import EventData
from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.datamodules.gw.event_numbers import derived_seed, noise_seeds
from lightning_itwin.datamodules.gw.event_order import EventOrder
from lightning_itwin.datamodules.gw.finishing import BatchFinisher, FinishedAhead, FinishedBatch
from lightning_itwin.datamodules.gw.hdf5_source import EventFile, HDF5Source
from lightning_itwin.datamodules.gw.progress import Progress
from lightning_itwin.datamodules.gw.real_event_source import RealEventSource
from lightning_itwin.datamodules.gw.real_events import GWEvent, event_psds
from lightning_itwin.datamodules.gw.shard_format import ShardError
from lightning_itwin.datamodules.gw.shard_reader import ShardReader
from lightning_itwin.datamodules.gw.shard_source import ShardSource
from lightning_itwin.datamodules.gw.signal_bank import SignalBank
from lightning_itwin.datamodules.gw.simulation import EventSimulator, SignalSettings
from lightning_itwin.datamodules.gw.simulation_source import SimulationSource
from lightning_itwin.datamodules.gw.stored_events import stored_settings
from lightning_itwin.datamodules.ranked import RankedDataModule
from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.inference import Prior

_EVENTS = EventData()
_SIMULATED_EVENTS = 1_000_000
# Beyond the number of any stored event.
_APART = 2**40
_FROM_REAL_EVENTS = ["real_events"]


class GWDataModule(RankedDataModule):
    """Batches of whitened strain of compact binaries with their parameters, as ``GWBatch``.

    Simulated events depend on seed, split and number alone. Training draws new events in every epoch;
    validation and test are the same events with the same noise, whatever the batch size and the number of
    ranks. Every event comes once an epoch over all ranks; a training that was stopped in the middle of an
    epoch goes on with the very next batch.

    ``predict`` gives the real events with ``theta`` not a number, or the test's events where there are none.

    Args:
        observation: detectors, duration, rate, band, PSDs; the Einstein Telescope by default. ``psds:
            [real_events]`` stands for one set a real event, estimated from its own files. Stored events bring
            their observation; what is given beside them must agree.
        waveform: ``"IMRPhenomPv2"`` by default, or ``"lalsimulation:NAME"``.
        reference_frequency_hz: where spins and phase are defined.
        prior: a bilby prior file, or ``et_14``, ``et_small``, ``ligo_bbh``; ``et_14`` by default.
        events: where the events come from, and how many.
        batch_size: events in a batch of one process.
        seed: seed of events, noise and order.
        real_events: events for ``predict``.

    Raises:
        ValueError: here or in ``setup``, before any device is used: a setting is outside its range, stored
            events do not fit, or a real event does not (``RealEventError``, ``ObservationDiffersError``).
        FileNotFoundError: a file is not there.
        MissingExtraError: a library is not installed.
    """

    # A rank may have no real event.
    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        observation: ObservationSettings | None = None,
        waveform: str | None = None,
        reference_frequency_hz: float = 20.0,
        prior: str | None = None,
        events: EventData = _EVENTS,
        batch_size: int = 256,
        seed: int = 42,
        real_events: list[GWEvent] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or seed < 0:
            raise ValueError(
                f"batch_size must be at least 1 and seed at least 0, not {batch_size} and {seed}."
            )
        self.save_hyperparameters("batch_size", "seed")
        self.events = events
        self.batch_size = batch_size
        self.seed = seed
        self.real_events = list(real_events or [])
        self._given = (observation, waveform, prior)
        self._reference_frequency_hz = reference_frequency_hz
        self._simulator: EventSimulator | None = None
        self._shards: ShardReader | None = None
        self._file: EventFile | None = None
        self._real: RealEventSource | None = None
        self._bank: SignalBank | None = None
        self._finishers: dict[torch.device, BatchFinisher] = {}
        self._rings: list[ShardSource] = []

    @property
    def simulator(self) -> EventSimulator:
        """The simulator of these events, known after ``setup``."""
        if self._simulator is None:
            raise RuntimeError("GWDataModule has no events before setup(); the Trainer calls it, or you do.")
        return self._simulator

    @property
    def observation(self) -> Observation:
        """The observation on the CPU, known after ``setup``."""
        return self.simulator.observation

    @property
    def prior(self) -> Prior:
        """The prior, known after ``setup``."""
        return self.simulator.prior

    @property
    def signal_model(self) -> SignalModel:
        """The signal model on the CPU, known after ``setup``."""
        return self.simulator.signal_model

    @property
    def waveform_name(self) -> str:
        """Name of the waveform, known after ``setup``."""
        return self.simulator.settings.waveform

    @property
    def reference_frequency_hz(self) -> float:
        """Where spins and phase are defined, known after ``setup``."""
        return self.simulator.settings.reference_frequency_hz

    def setup(self, stage: str | None = None) -> None:
        if self._simulator is not None:
            return
        path = self.events.path
        if path is not None and Path(path).is_dir():
            self._shards = ShardReader(path, self.events.verify)
        observation, waveform, prior = self._given
        if observation is not None and list(observation.psds) == _FROM_REAL_EVENTS:
            if not self.real_events:
                raise ValueError(
                    "psds: [real_events] needs real_events, from whose files they are estimated."
                )
            psds: list[Any] = [event_psds(event, observation) for event in self.real_events]
            observation = replace(observation, psds=psds)
        if self._shards is not None:
            settings = stored_settings(self._shards.manifest, observation, waveform, prior, str(path))
        else:
            settings = SignalSettings(
                observation=observation or ObservationSettings(),
                waveform=waveform or "IMRPhenomPv2",
                reference_frequency_hz=self._reference_frequency_hz,
                prior=prior or "et_14",
                seed=self.seed,
            )
        simulator = EventSimulator(settings)
        if path is not None and self._shards is None:
            self._file = EventFile(path, simulator.observation, simulator.prior.names, self.events.whitened)
        if path is not None:
            self._span("train")
        if self.real_events:
            self._real = RealEventSource(self.real_events, simulator.observation, len(simulator.prior.names))
        self._simulator = simulator

    def train_dataloader(self) -> BatchLoader:
        if self.events.bank_events and self._bank is None:
            self._bank = SignalBank.simulate(
                self.signal_model.waveform,
                self.prior,
                self.observation.frequency_hz,
                self.events.bank_events,
                derived_seed(self.seed, "bank", self._rank),
                Progress("waveforms of the bank") if self._rank == 0 else lambda done, events: None,
            )
            self._finishers.clear()
        return self._loader("train")

    def val_dataloader(self) -> BatchLoader:
        return self._loader("val")

    def test_dataloader(self) -> BatchLoader:
        return self._loader("test")

    def predict_dataloader(self) -> BatchLoader:
        if self._real is None:
            return self._loader("test")
        source = self._real.of_rank(self._rank, self._world_size)
        return BatchLoader(OrderedBatches(source, self._real_order(), lambda: 0, read_ahead=0))

    def predict_events(self, batch: int) -> list[tuple[str, float | None]]:
        """Give name and GPS time of the events in one batch of ``predict_dataloader`` on this rank.

        Args:
            batch: number of the batch.

        Returns:
            For real events their name and time; for simulated and stored ones a name and None.
        """
        if self._real is None:
            return [(f"test_{number:06d}", None) for number in self._order("test").batch(0, batch)]
        mine = self.real_events[self._rank :: self._world_size]
        chosen = self._real_order().batch(0, batch)
        return [(mine[event].name, mine[event].gps_time_s) for event in chosen]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if isinstance(batch, FinishedBatch):  # it is there
            return batch
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        if isinstance(batch, EventInputs) and batch.record is not None and device.type == "cuda":
            copied = torch.cuda.Event()
            copied.record(torch.cuda.current_stream(device))
            for source in self._rings:
                source.hold(batch.record, copied)
        return moved

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.finish(batch) if isinstance(batch, EventInputs | FinishedBatch) else batch

    def finish(self, inputs: EventInputs | FinishedBatch) -> GWBatch:
        """Make a batch of what a loader gives: signal, noise and series, on the device of the inputs.

        The Trainer does it in ``on_after_batch_transfer``, or, on a GPU, ahead of time in a thread; a loop of
        your own calls this.

        Args:
            inputs: from one of the loaders.
        """
        if isinstance(inputs, FinishedBatch):
            return inputs.get()
        return self._finisher(inputs.theta.device)(inputs)

    def _finisher(self, device: torch.device) -> BatchFinisher:
        if device not in self._finishers:
            self._finishers[device] = BatchFinisher(
                self.signal_model.to(device),
                self.prior,
                None if self._bank is None else self._bank.to(device),
            )
        return self._finishers[device]

    def signals(self, num: int, first: int = 0) -> Tensor:
        """Simulate whitened signals without noise, of events that are in no split, (num, D, F) complex64."""
        return self.simulator.signals(_APART + np.arange(first, first + num))

    @property
    def _gpu(self) -> torch.device | None:
        # the one that the Trainer uses
        device = None if self.trainer is None else self.trainer.strategy.root_device
        return device if device is not None and device.type == "cuda" else None

    def _span(self, split: str) -> tuple[int, int]:
        """First stored event of a split, and the one after its last."""
        stored = len(self._shards) if self._shards is not None else len(self._file or [])
        test = stored - self.events.test_events
        val = test - self.events.val_events
        train = val if self.events.train_events is None else self.events.train_events
        if val < 1 or train > val:
            raise ShardError(
                f"{self.events.path} holds {stored} events: too few for {self.events.val_events} of "
                f"validation, {self.events.test_events} of test and {max(train, 1)} of training. Lower "
                f"val_events, test_events or train_events, or make more."
            )
        return {"train": (0, train), "val": (val, test), "test": (test, stored)}[split]

    def _loader(self, split: str) -> BatchLoader:
        source: BatchSource = self._simulated(split) if self.events.path is None else self._stored(split)
        epoch = self._epoch if split == "train" else lambda: 0
        return BatchLoader(OrderedBatches(source, self._order(split), epoch, self.events.read_ahead))

    def _order(self, split: str) -> EventOrder:
        stored = self.events.path is not None
        begin, end = self._span(split) if stored else (0, self._simulated_events(split))
        return EventOrder(
            events=end - begin,
            batch_size=self.batch_size,
            rank=self._rank,
            world_size=self._world_size,
            shuffle_block=self.events.shuffle_block if stored and split == "train" else 0,
            seed=derived_seed(self.seed, "order"),
        )

    def _simulated_events(self, split: str) -> int:
        if split != "train":
            return self.events.val_events if split == "val" else self.events.test_events
        # Simulated events cost nothing to leave out: all batches are full.
        round_events = self.batch_size * self._world_size
        return max(1, (self.events.train_events or _SIMULATED_EVENTS) // round_events) * round_events

    def _simulated(self, split: str) -> SimulationSource | FinishedAhead:
        source = SimulationSource(
            self.prior,
            self.observation.num_psds,
            derived_seed(self.seed, split),
            self._simulated_events(split),
            fresh=split == "train",
            rank=self._rank,
            bank=self._bank if split == "train" else None,
        )
        if self._gpu is None or not self.events.read_ahead:
            return source
        return FinishedAhead(source, self._finisher(self._gpu))

    def _stored(self, split: str) -> ShardSource | HDF5Source:
        begin, end = self._span(split)
        seed = derived_seed(self.seed, "stored", split)
        train = split == "train"

        def noise_seed(events: np.ndarray, epoch: int, number: int) -> int | np.ndarray:
            return derived_seed(seed, epoch, self._rank, number) if train else noise_seeds(events, seed)

        if self._file is not None:
            has_noise = self._file.content == "strain"
            return HDF5Source(self._file, begin, end, None if has_noise else noise_seed)
        assert self._shards is not None
        has_noise = self._shards.manifest.settings["content"] == "strain"
        source = ShardSource(
            self._shards,
            begin,
            end,
            threads=self.events.read_threads,
            pinned=self._gpu is not None,
            noise_seed=None if has_noise else noise_seed,
        )
        self._rings.append(source)
        return source

    def _real_order(self) -> EventOrder:
        mine = len(self.real_events[self._rank :: self._world_size])
        return EventOrder(events=mine, batch_size=self.batch_size, shuffle_block=0)
