"""Waveforms computed once and used again and again, each time elsewhere in the sky and in other noise."""

# N signals of the bank, B batch, P parameters, F frequencies

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.gw.event_numbers import derived_seed
from lightning_itwin.inference import Prior
from lightning_itwin.inference.event_uniforms import event_uniforms
from lightning_itwin.waveforms import Binary, EndsEarly, Waveform

# What a projection turns into a factor or a shift; everything else shapes the polarisations.
EXTRINSIC = ("luminosity_distance", "ra", "dec", "psi", "geocent_time")
_AT_ONCE = 32
_REFERENCE_MPC = 1000.0


class SignalBank:
    """Polarisations of binaries drawn from a prior, in memory.

    Args:
        spectra: h plus and h cross at 1000 Mpc, up to the last frequency with a signal, (N, 2, F) complex64.
        theta: the prior's free parameters, (N, P).
        prior: from which they were drawn.
        highest_hz: the last frequency that the bank holds.
        name: of the waveform.

    Reference:
        Fresh extrinsic parameters for stored intrinsic ones: Dax et al. 2021, arXiv:2106.12594.
    """

    def __init__(self, spectra: Tensor, theta: Tensor, prior: Prior, highest_hz: float, name: str) -> None:
        self.spectra = spectra
        self.theta = theta
        self.highest_hz = highest_hz
        self.name = name
        self._intrinsic = [i for i, column in enumerate(prior.names) if column not in EXTRINSIC]

    @classmethod
    def simulate(
        cls,
        waveform: Waveform,
        prior: Prior,
        frequency_hz: Tensor,
        events: int,
        seed: int,
        progress: Callable[[int, int], None] = lambda done, events: None,
    ) -> SignalBank:
        """Compute the waveforms of a bank.

        Args:
            waveform: gives the polarisations, on the device of ``frequency_hz``.
            prior: of the parameters.
            frequency_hz: of the band, (F,).
            events: N.
            seed: of the bank.
            progress: called with the waveforms that are done and all.

        Raises:
            ValueError: a waveform is not finite.
        """
        theta = prior.sample_events(range(events), seed)
        names, table = prior.with_fixed(theta)
        column = {name: i for i, name in enumerate(names)}
        table[:, column["luminosity_distance"]] = _REFERENCE_MPC
        if "geocent_time" in column:
            table[:, column["geocent_time"]] = 0.0
        # Pages that are never written take no memory: frequencies without a signal cost nothing on the CPU.
        spectra = torch.zeros(
            (events, 2, len(frequency_hz)), dtype=torch.complex64, device=frequency_hz.device
        )
        low_hz, step_hz = float(frequency_hz[0]), float(frequency_hz[1] - frequency_hz[0])
        bins = 2
        for begin in range(0, events, _AT_ONCE):
            binary = Binary.from_table(names, table[begin : begin + _AT_ONCE].to(frequency_hz.device))
            count = len(frequency_hz)
            if isinstance(waveform, EndsEarly):
                highest = int(waveform.highest_frequency_hz(binary) / step_hz) + 2 - round(low_hz / step_hz)
                count = min(max(highest, 2), count)
            made = torch.stack(waveform(binary, frequency_hz[:count]), dim=1)
            used = torch.nonzero((made != 0).any(dim=0).any(dim=0))
            last = int(used[-1]) + 1 if len(used) else 1
            bins = max(bins, last)
            spectra[begin : begin + _AT_ONCE, :, :last] = made[..., :last]
            finite = torch.isfinite(torch.view_as_real(made)).flatten(1).all(1)
            if not finite.all():
                row = begin + int(torch.nonzero(~finite)[0])
                told = dict(zip(prior.names, theta[row].tolist()))
                raise ValueError(f"{waveform.name} gives no finite signal for {told}; narrow the prior.")
            progress(min(begin + _AT_ONCE, events), events)
        return cls(spectra[..., :bins], theta, prior, float(frequency_hz[bins - 1]), waveform.name)

    def __len__(self) -> int:
        return len(self.theta)

    def to(self, device: torch.device | str) -> SignalBank:
        """Give the same bank with its spectra on a device."""
        moved = copy.copy(self)
        moved.spectra = self.spectra.to(device)
        return moved

    def rows(self, events: Sequence[int] | np.ndarray, seed: int) -> Tensor:
        """Draw a row for each event, (B,) int64."""
        uniforms = event_uniforms(events, 1, derived_seed(seed, "bank row"))[:, 0]
        return torch.from_numpy(np.minimum((uniforms * len(self)).astype(np.int64), len(self) - 1))

    def with_intrinsic(self, theta: Tensor, rows: Tensor) -> Tensor:
        """Put the bank's masses, spins, orientation and phase into a table of fresh draws, (B, P)."""
        mixed = theta.clone()
        mixed[:, self._intrinsic] = self.theta[rows][:, self._intrinsic]
        return mixed

    def at(self, rows: Tensor) -> Waveform:
        """Give some of the bank's rows as a waveform.

        Args:
            rows: on the device of the bank, (B,) int64; the binaries must come in this order.
        """
        return _BankRows(self, rows)


class _BankRows:
    def __init__(self, bank: SignalBank, rows: Tensor) -> None:
        self.name = bank.name
        self._bank = bank
        self._rows = rows

    def highest_frequency_hz(self, binary: Binary) -> float:
        return self._bank.highest_hz

    def __call__(self, binary: Binary, frequency_hz: Tensor) -> tuple[Tensor, Tensor]:
        factor = _REFERENCE_MPC / binary.luminosity_distance_mpc
        spectra = self._bank.spectra[self._rows, :, : len(frequency_hz)]
        spectra = spectra * factor.to(torch.float32)[:, None, None]
        missing = len(frequency_hz) - spectra.shape[-1]
        plus, cross = torch.nn.functional.pad(spectra, (0, missing)).unbind(dim=1)
        return plus, cross
