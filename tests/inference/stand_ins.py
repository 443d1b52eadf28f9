"""A signal model in the place of a waveform and detectors: cheap, and turning with the phase as told."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_itwin.waveforms.binary import Binary

FREQUENCIES = 200


@dataclass
class StandInSignal:
    """Two detectors; mode m goes as ``exp(i sense m phase)``, with its own shape over frequency.

    Args:
        modes: azimuthal numbers.
        sense: 1 or -1.
        snr: at 1000 Mpc.
    """

    modes: tuple[int, ...] = (2,)
    sense: int = -1
    snr: float = 20.0
    most_rows: int = 0
    rows: int = 0

    def __call__(self, binary: Binary, psd_index: Tensor | None = None) -> Tensor:
        self.most_rows = max(self.most_rows, len(binary))
        self.rows += len(binary)
        x_F = torch.linspace(0, 1, FREQUENCIES, dtype=torch.float64)
        signal = torch.zeros(len(binary), 2, FREQUENCIES, dtype=torch.complex128)
        chirp = binary.mass_1_msun[:, None] / 30
        for mode in self.modes:
            phase = self.sense * mode * binary.phase_rad[:, None] + mode * (6 * chirp * x_F + chirp)
            part = torch.exp(1j * phase) * torch.exp(-((x_F - 0.1 * mode) ** 2) * 8 * chirp)
            signal += (
                part[:, None] / mode * torch.stack([binary.psi_rad.cos(), binary.psi_rad.sin()], 1)[..., None]
            )
        scale = self.snr / 10 * 1000 / binary.luminosity_distance_mpc
        if psd_index is not None:
            scale = scale / (1 + psd_index)
        return (signal * scale[:, None, None]).to(torch.complex64)
