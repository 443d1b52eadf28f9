"""The likelihood of whitened strain in Gaussian noise, and what a turn of the phase does to it."""

# N samples, P parameters, D detectors, F frequencies, K turns of the phase, M modes

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lightning_itwin.detectors import RecordedSignals, SignalModel
from lightning_itwin.inference.phase import PhaseSeries
from lightning_itwin.inference.prior import Prior
from lightning_itwin.waveforms.binary import Binary

_WAVEFORM_TENSORS = 10  # (N, F) float64 tensors that a waveform holds at once
_MEMORY_MIB = {"cpu": 80.0, "cuda": 2048.0}  # little: a core's caches are small
_TOLERANCE = 3e-3  # of the amplitude that the modes may leave unexplained


class SignalOf(Protocol):
    """What makes whitened signals of binaries; of a ``detectors.SignalModel`` only what is audible."""

    def __call__(self, binary: Binary, psd_index: Tensor | None = None) -> Tensor:
        """Give whitened spectra, (N, D, F) complex64, with noise of unit variance in both parts."""
        ...


class GaussianLikelihood:
    """Log likelihood of whitened strain over that of noise alone, in chunks of bounded memory.

    ``log L = sum Re(conj(d) h) - 1/2 sum |h|^2`` over detectors and frequencies, products in the signal's
    precision and sums in float64.

    A turn of the phase multiplies mode m of a waveform by ``exp(i m phase)``, so that a few waveforms
    tell the likelihood at every phase: one for a waveform that has only the (2, 2) mode, four for modes
    1 to 4. That is how :meth:`phase_series` marginalises the phase and draws it.

    Args:
        signal_model: makes whitened signals.
        prior: names the columns of a table and adds the fixed parameters.
        modes: azimuthal numbers m that the waveform has: ``(2,)`` or ``(1, 2, 3, 4)``.
        memory_mib: memory that a chunk's signals may take; None: 80 on a CPU, 2048 on a GPU.

    Raises:
        ValueError: no mode, or one below 1.
    """

    def __init__(
        self,
        signal_model: SignalOf,
        prior: Prior,
        modes: Sequence[int] = (2,),
        memory_mib: float | None = None,
    ) -> None:
        if not modes or min(modes) < 1:
            raise ValueError(f"modes are azimuthal numbers from 1 on, not {tuple(modes)}.")
        self.signal_model = signal_model
        self.prior = prior
        self.modes = tuple(sorted(set(modes)))
        self.memory_mib = memory_mib
        self._sense: int | None = None
        # of a SignalModel what is audible alone, from a graph where it can be
        self._audible = RecordedSignals(signal_model) if isinstance(signal_model, SignalModel) else None

    def log_likelihood(self, theta: Tensor, data: Tensor, psd_index: Tensor | int | None = None) -> Tensor:
        """Evaluate samples of one event.

        Args:
            theta: columns as in ``prior.names``, (N, P) float64.
            data: whitened strain of the event, (D, F) complex; the waveforms are made on its device.
            psd_index: PSD set of the event, or of each sample, (N,); the first if None.

        Returns:
            log L over noise, (N,) float64, on the device of ``data``.
        """
        found = []
        for binary, psd_index_n in self._chunks(theta, data, psd_index):
            signal_NDF = self._signals(binary, psd_index_n)
            found.append(_product(data, signal_NDF) - 0.5 * _product(signal_NDF, signal_NDF))
        return torch.cat(found) if found else torch.empty(0, dtype=torch.float64, device=data.device)

    def log_noise_likelihood(self, data: Tensor) -> float:
        """Give the log likelihood of noise alone without its constant, ``-1/2 sum |d|^2``."""
        return -0.5 * float(_product(data, data))

    def phase_series(self, theta: Tensor, data: Tensor, psd_index: Tensor | int | None = None) -> PhaseSeries:
        """Find the likelihood as a function of the phase, for samples of one event.

        Args:
            theta: the columns of ``prior.names`` without ``phase``, (N, P - 1).
            data: (D, F) complex.
            psd_index: as in :meth:`log_likelihood`.

        Raises:
            ValueError: the waveform turns in another way than ``modes`` say; then give all its modes. Or the
                phase is not free in the prior, on the whole circle and uniform.
        """
        theta = self.with_phase(theta, torch.zeros(len(theta), dtype=torch.float64))
        turns_K = self._turns()
        constants, terms = [], []
        for binary, psd_index_n in self._chunks(theta, data, psd_index, 2 * len(turns_K)):
            if self._sense is None:
                self._sense = self._find_sense(binary, psd_index_n)
            parts_MNDF = self._mode_signals(binary, psd_index_n, self._sense)
            constant, term = self._coefficients(parts_MNDF, data)
            constants.append(constant)
            terms.append(term)
        return PhaseSeries(constant=torch.cat(constants), terms=torch.cat(terms), sense=self._sense or 1)

    def with_phase(self, theta: Tensor, phase: Tensor) -> Tensor:
        """Put a column ``phase`` where ``prior.names`` has it: (N, P - 1) and (N,) to (N, P)."""
        at = self._phase_column
        phase_N1 = phase.to(theta)[:, None]
        return torch.cat([theta[:, :at], phase_N1, theta[:, at:]], dim=1)

    @property
    def _phase_column(self) -> int:
        names = self.prior.names
        period = self.prior.periodic.get("phase", 0.0)
        at = names.index("phase") if "phase" in names else -1
        if not math.isclose(period, 2 * math.pi) or not self.prior.is_uniform("phase"):
            raise ValueError(
                "A synthetic phase needs a phase that is free on the whole circle: "
                "phase = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')."
            )
        return at

    def _chunks(
        self, theta: Tensor, data: Tensor, psd_index: Tensor | int | None, signals: int = 2
    ) -> Iterator[tuple[Binary, Tensor | None]]:
        detectors, frequencies = data.shape
        if self._audible is not None:
            frequencies = self._audible.model.num_audible
        row = 8 * frequencies * (_WAVEFORM_TENSORS + detectors * signals)
        memory_mib = self.memory_mib or _MEMORY_MIB.get(data.device.type, _MEMORY_MIB["cpu"])
        rows = max(1, int(memory_mib * 2**20 / row))
        rows = max(1, math.ceil(len(theta) / max(1, math.ceil(len(theta) / rows))))  # all alike, for a graph
        theta = theta.to(device=data.device, dtype=torch.float64)
        if isinstance(psd_index, int):
            psd_index = torch.tensor(psd_index)
        psd_index_N = None if psd_index is None else psd_index.to(data.device).expand(len(theta))
        with torch.no_grad():
            for begin in range(0, len(theta), rows):
                chunk = slice(begin, begin + rows)
                names, table = self.prior.with_fixed(theta[chunk])
                yield Binary.from_table(names, table), None if psd_index_N is None else psd_index_N[chunk]

    def _turns(self) -> list[float]:
        count = len(self.modes)
        while len({mode % count for mode in self.modes}) < len(self.modes):
            count += 1
        return [2 * math.pi * turn / count for turn in range(count)]

    def _signals(self, binary: Binary, psd_index: Tensor | None) -> Tensor:
        # (N, D, F), without the last frequencies where all are zero; good until the next call
        if self._audible is None:
            return self.signal_model(binary, psd_index)
        return self._audible.audible(binary, psd_index)

    def _turned(self, binary: Binary, psd_index: Tensor | None, phase: float) -> Tensor:
        phase_N = torch.full_like(binary.phase_rad, phase)
        signals = self._signals(dataclasses.replace(binary, phase_rad=phase_N), psd_index)
        overwritten = self._audible is not None and self._audible.model.recordable
        return signals.clone() if overwritten else signals

    def _mode_signals(self, binary: Binary, psd_index: Tensor | None, sense: int) -> list[Tensor]:
        turns_K = self._turns()
        signals_K = [self._turned(binary, psd_index, turn) for turn in turns_K]
        parts = []
        for mode in self.modes:
            factors = [_turn(-sense * mode * turn) / len(turns_K) for turn in turns_K]
            parts.append(sum((factor * signal for factor, signal in zip(factors, signals_K)), start=0j))
        return parts  # type: ignore[return-value]

    def _find_sense(self, binary: Binary, psd_index: Tensor | None) -> int:
        few = binary[:4]
        psd_index = None if psd_index is None else psd_index[:4]
        there = self._turned(few, psd_index, 0.7)
        left = {}
        for sense in (1, -1):
            parts = self._mode_signals(few, psd_index, sense)
            made = sum(_turn(sense * m * 0.7) * part for m, part in zip(self.modes, parts))
            left[sense] = float(((made - there).abs().square().sum() / there.abs().square().sum()).sqrt())
        best = min(left, key=left.__getitem__)
        if not left[best] < _TOLERANCE:
            raise ValueError(
                f"Modes {self.modes} leave {100 * left[best]:.2g} % of the waveform's amplitude unexplained "
                "when the phase turns. Give all azimuthal numbers that it has, such as modes=(1, 2, 3, 4)."
            )
        return best

    def _coefficients(self, parts: list[Tensor], data: Tensor) -> tuple[Tensor, Tensor]:
        terms = torch.zeros(len(parts[0]), self.modes[-1], dtype=torch.complex128, device=data.device)
        constant = torch.zeros(len(parts[0]), dtype=torch.float64, device=data.device)
        for i, (mode, part) in enumerate(zip(self.modes, parts)):
            terms[:, mode - 1] += _complex_product(data, part)
            constant -= 0.5 * _product(part, part)
            for lower_mode, lower in zip(self.modes[:i], parts[:i]):
                terms[:, mode - lower_mode - 1] -= _complex_product(lower, part)
        return constant, terms


def _turn(angle: float) -> complex:
    return complex(math.cos(angle), math.sin(angle))


def _product(left: Tensor, right: Tensor) -> Tensor:
    left = left[..., : right.shape[-1]]
    parts = torch.view_as_real(left.resolve_conj()) * torch.view_as_real(right.resolve_conj())
    return parts.sum(dim=(-3, -2, -1), dtype=torch.float64)


def _complex_product(left: Tensor, right: Tensor) -> Tensor:
    return (left[..., : right.shape[-1]].conj() * right).sum(dim=(-2, -1), dtype=torch.complex128)
