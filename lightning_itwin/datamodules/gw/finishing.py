"""The last steps of a batch, on the device that trains: signal, noise, whitened series."""

# B batch, D detectors, F frequencies, T samples

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.cuda_graph import RecordedFunction
from lightning_itwin.datamodules.batch_loader import BatchSource
from lightning_itwin.datamodules.gw.batch import GWBatch
from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.datamodules.gw.signal_bank import SignalBank
from lightning_itwin.datamodules.gw.simulation import events_at_once
from lightning_itwin.detectors import SignalModel
from lightning_itwin.inference import Prior
from lightning_itwin.waveforms import Binary

# Of a raw series: rise and fall of the window, as bilby has it.
_ROLL_OFF_S = 0.2
# Batches that somebody asks for and does not take are not waited for longer.
_PATIENCE_S = 0.05


class FinishedBatch:
    """A batch that a GPU makes on a stream of its own.

    Args:
        batch: as it will be.
        made: recorded behind its last launch; None where nothing is to be waited for.
    """

    def __init__(self, batch: GWBatch, made: torch.cuda.Event | None) -> None:
        self._batch = batch
        self._made = made
        self.when_taken: Callable[[], None] | None = None

    def get(self) -> GWBatch:
        """Give the batch to the current stream, which waits for it; the host does not."""
        if self._made is not None:
            here = torch.cuda.current_stream(self._batch.strain.device)
            here.wait_event(self._made)
            for tensor in self._batch:
                tensor.record_stream(here)
        if self.when_taken is not None:
            self.when_taken()
            self.when_taken = None
        return self._batch


class BatchFinisher:
    """Makes batches of their inputs on one device; nothing in it waits for the device.

    On a GPU they are made on a stream of its own, beside the work of the model, and signals come from one
    CUDA graph where they can. Several threads may ask.

    Args:
        signal_model: of signals that are simulated, on that device.
        prior: of their parameters.
        bank: on that device, or None.
    """

    def __init__(self, signal_model: SignalModel, prior: Prior, bank: SignalBank | None = None) -> None:
        self.observation = signal_model.observation
        self.prior = prior
        self.bank = bank
        self._model = signal_model
        self._simulated = RecordedFunction(self._simulate) if signal_model.recordable else self._simulate
        on_gpu = self.observation.device.type == "cuda"
        self._from_bank = RecordedFunction(self._simulate) if on_gpu else self._simulate
        self._stream = torch.cuda.Stream(self.observation.device) if on_gpu else None
        self._asked = threading.Lock()
        if self._stream is not None:  # tables are there when it first reads them
            self._stream.wait_stream(torch.cuda.current_stream(self.observation.device))

    def __reduce__(self) -> tuple[Any, ...]:  # a copy has a stream and graphs of its own
        return BatchFinisher, (self._model, self.prior, self.bank)

    def __call__(self, inputs: EventInputs) -> GWBatch:
        """Make a batch, to be used on the current stream."""
        return self.start(inputs).get()

    def start(self, inputs: EventInputs) -> FinishedBatch:
        """Start the making of a batch.

        Args:
            inputs: on the finisher's device, as the current stream leaves them, or on the CPU.
        """
        if self._stream is None:
            return FinishedBatch(self._made(inputs), None)
        device = self.observation.device
        with self._asked:
            if inputs.theta.is_cuda:
                self._stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(self._stream):
                here = inputs._replace(
                    theta=self._here(inputs.theta),
                    psd_index=self._here(inputs.psd_index),
                    record=None if inputs.record is None else self._here(inputs.record),
                    bank_row=None if inputs.bank_row is None else self._here(inputs.bank_row),
                )
                batch = self._made(here)
                made = torch.cuda.Event()
                made.record()
        return FinishedBatch(batch, made)

    def _here(self, tensor: Tensor) -> Tensor:
        moved = tensor.to(self.observation.device, non_blocking=True)
        if moved is tensor and self._stream is not None:
            moved.record_stream(self._stream)
        return moved

    @torch.no_grad()
    def _made(self, inputs: EventInputs) -> GWBatch:
        device = self.observation.device
        noise: torch.Generator | np.ndarray | None
        if isinstance(inputs.noise_seed, int):
            noise = torch.Generator(device).manual_seed(inputs.noise_seed)
        else:
            noise = inputs.noise_seed
        if inputs.record is not None and not inputs.record.is_complex():
            if inputs.record.dtype == torch.float32:
                return GWBatch(inputs.record, inputs.theta, inputs.psd_index)
            return GWBatch(self._whitened(inputs), inputs.theta, inputs.psd_index)
        events = len(inputs.theta)
        if device.type != "cpu":
            strain = self.observation.to_series(self._noisy(inputs, slice(None), noise))
            return GWBatch(strain, inputs.theta, inputs.psd_index)
        at_once = events_at_once(self.observation)
        shape = (events, self.observation.num_detectors, self.observation.samples)
        strain = torch.empty(shape, dtype=torch.float32)
        for begin in range(0, events, at_once):
            part = slice(begin, min(begin + at_once, events))
            strain[part] = self.observation.to_series(self._noisy(inputs, part, noise))
        return GWBatch(strain, inputs.theta, inputs.psd_index)

    def _audible(self, inputs: EventInputs, part: slice) -> Tensor:
        # whitened signals of some events of a batch, up to where there are any, (B, D, at most F) complex64
        if inputs.record is not None:
            return inputs.record[part]
        theta, psd_index = inputs.theta[part], inputs.psd_index[part]
        if inputs.bank_row is not None and self.bank is not None:
            return self._from_bank(theta, psd_index, inputs.bank_row[part])
        return self._simulated(theta, psd_index)

    def _simulate(self, theta: Tensor, psd_index: Tensor, bank_row: Tensor | None = None) -> Tensor:
        binary = Binary.from_table(*self.prior.with_fixed(theta))
        if bank_row is None or self.bank is None:
            return self._model.audible(binary, psd_index)
        model = copy.copy(self._model)
        model.waveform = self.bank.at(bank_row)
        return model.audible(binary, psd_index)

    def _noisy(self, inputs: EventInputs, part: slice, noise: torch.Generator | np.ndarray | None) -> Tensor:
        signals = self._audible(inputs, part)
        if noise is None:
            missing = self.observation.num_frequencies - signals.shape[-1]
            return torch.nn.functional.pad(signals, (0, missing))
        seeds = noise if isinstance(noise, torch.Generator) else noise[part].tolist()
        noisy = self.observation.noise(len(signals), seeds)
        noisy[..., : signals.shape[-1]] += signals
        return noisy

    def _whitened(self, inputs: EventInputs) -> Tensor:
        assert inputs.record is not None
        settings = self.observation.settings
        window = _tukey(self.observation.samples, 2 * _ROLL_OFF_S / settings.duration_s).to(inputs.record)
        strain = (inputs.record - inputs.record.mean(dim=-1, keepdim=True)) * window
        first = self.observation.first
        spectrum = torch.fft.rfft(strain)[..., first : first + self.observation.num_frequencies]
        deviation = self.observation.standard_deviation[inputs.psd_index]
        white = spectrum / settings.sample_rate_hz / deviation
        return self.observation.to_series(white.to(torch.complex64))


class FinishedAhead:
    """A source of finished batches, which the thread that reads ahead makes while the model computes.

    The thread goes on when a batch is taken, not when it is asked for: where it shares the interpreter with
    the loop of the training, that loop would wait for it.

    Args:
        source: of what they are made.
        finisher: makes them.
    """

    def __init__(self, source: BatchSource, finisher: BatchFinisher) -> None:
        self._source = source
        self._finisher = finisher
        self._room = threading.Semaphore()

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Get buffers ready, before the first batch."""
        self._source.prepare(largest_batch, read_ahead)
        self._room = threading.Semaphore(max(1, read_ahead))

    def read(self, events: np.ndarray, epoch: int, number: int) -> FinishedBatch:
        """Start the making of a batch."""
        room = self._room
        room.acquire(timeout=_PATIENCE_S)
        batch = self._finisher.start(self._source.read(events, epoch, number))
        batch.when_taken = room.release
        return batch


def _tukey(samples: int, share: float) -> Tensor:
    at = torch.arange(samples, dtype=torch.float64) / (samples - 1)
    edge = torch.minimum(at, 1 - at).clamp(max=share / 2) / (share / 2)
    return (torch.pi / 2 * edge).sin().square()
