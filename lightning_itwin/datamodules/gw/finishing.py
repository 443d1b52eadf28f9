"""The last steps of a batch, on the device that trains: signal, noise, whitened series."""

# B batch, D detectors, F frequencies, T samples

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.cuda_graph import RecordedFunction
from lightning_itwin.datamodules.gw.batch import GWBatch
from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.datamodules.gw.signal_bank import SignalBank
from lightning_itwin.datamodules.gw.simulation import events_at_once
from lightning_itwin.detectors import SignalModel
from lightning_itwin.inference import Prior
from lightning_itwin.waveforms import Binary

# Of a raw series: rise and fall of the window, as bilby has it.
_ROLL_OFF_S = 0.2


class BatchFinisher:
    """Makes batches of their inputs on one device; nothing in it waits for the device.

    On a GPU signals come from one CUDA graph where they can.

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

    @torch.no_grad()
    def __call__(self, inputs: EventInputs) -> GWBatch:
        """Make a batch."""
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


def _tukey(samples: int, share: float) -> Tensor:
    at = torch.arange(samples, dtype=torch.float64) / (samples - 1)
    edge = torch.minimum(at, 1 - at).clamp(max=share / 2) / (share / 2)
    return (torch.pi / 2 * edge).sin().square()
