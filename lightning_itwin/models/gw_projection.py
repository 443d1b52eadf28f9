"""The projection of whitened spectra on singular vectors of signals."""

# B batch, D detectors, T samples, C channels, F frequencies, N components of a basis

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.detectors.projection import time_shift


def independent_channels(detectors: Sequence[str]) -> Tensor:
    """Give the orthonormal combinations of detectors that can hold a signal, (C, D).

    The three arms of a triangle close: the sum of their responses is zero, so that of three series only two,
    A and E, hold signal, and the third is noise alone. Every other detector stands for itself.

    Args:
        detectors: names; a triangle's are ``X1``, ``X2``, ``X3`` in a row, as bilby names them.

    Reference:
        Regimbau et al. 2012, arXiv:1201.3563, section II: the null stream of the Einstein Telescope.

    >>> independent_channels(["ET1", "ET2", "ET3", "H1"]).shape
    torch.Size([3, 4])
    """
    names, rows = list(detectors), []
    while names:
        start = len(detectors) - len(names)
        triangle = [f"{names[0][:-1]}{arm}" for arm in (1, 2, 3)] == names[:3]
        if triangle:
            differences = torch.tensor([[1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
            mixed = functional.normalize(differences, dim=1)
        else:
            mixed = torch.ones(1, 1, dtype=torch.float64)
        for row in mixed:
            rows.append(functional.pad(row, (start, len(detectors) - start - len(row))))
        names = names[mixed.shape[1] :]
    return torch.stack(rows).float()


def singular_vectors(signals: Tensor, components: int) -> Tensor:
    """Give the orthonormal vectors that hold most of the signals' power, a set a channel.

    Every signal counts alike, whatever its SNR.

    Args:
        signals: whitened spectra of simulated signals, (B, C, F) complex.
        components: vectors wanted; zeros follow where fewer signals or bins were given.

    Returns:
        (C, F, N) complex64.

    Reference:
        Halko et al. 2011, arXiv:0909.4061: singular vectors from a random projection.
    """
    norm = signals.abs().square().sum(dim=(1, 2), keepdim=True).sqrt()
    rows_CBF = (signals / norm.clamp(min=1e-30)).transpose(0, 1)
    rank = min(components, *rows_CBF.shape[1:])
    bases = []
    with torch.random.fork_rng(devices=[signals.device] if signals.is_cuda else []):
        torch.manual_seed(0)  # the same on every rank
        for rows in rows_CBF:
            _, _, vectors = torch.svd_lowrank(rows, q=min(rank + 10, *rows.shape), niter=2)
            bases.append(functional.pad(vectors[:, :rank], (0, components - rank)))
    return torch.stack(bases).to(torch.complex64)


class SpectrumProjection(nn.Module):
    """Projects the whitened spectrum of each channel on vectors that begin as singular vectors of signals.

    One real linear layer a channel, ``(Re, Im) -> (Re, Im)``: noise of unit variance stays that.

    Args:
        detectors: names, which say what the channels are.
        bins: first and last bin (behind it) of the series' real Fourier transform.
        components: vectors a channel.

    Reference:
        Dax et al. 2021, arXiv:2106.12594, appendix B: an embedding that begins with singular vectors.
    """

    mixing_CD: Tensor

    def __init__(self, detectors: Sequence[str], bins: tuple[int, int], components: int) -> None:
        super().__init__()
        self.bins, self.components = bins, components
        mixing_CD = independent_channels(detectors)
        self.register_buffer("mixing_CD", mixing_CD, persistent=False)
        inputs = 2 * (bins[1] - bins[0])
        random = torch.randn(len(mixing_CD), inputs, 2 * components)
        self.weight = nn.Parameter(random / math.sqrt(inputs))  # (C, 2 F, 2 N)
        self.num_features = len(mixing_CD) * 2 * components

    def channels(self, spectra: Tensor) -> Tensor:
        """Give the channels' bins of whitened spectra, (B, D, F) to (B, C, F) complex."""
        return torch.einsum("cd,bdf->bcf", self.mixing_CD.to(spectra.dtype), spectra)

    def start_from(self, basis: Tensor) -> None:
        """Set the weights to a basis from ``singular_vectors``, (C, F, N) complex."""
        real, imaginary = basis.real, basis.imag
        weight = torch.cat(
            [torch.cat([real, imaginary], dim=-1), torch.cat([-imaginary, real], dim=-1)], dim=-2
        )
        with torch.no_grad():
            self.weight.copy_(weight)

    def forward(self, strain: Tensor, late: Tensor | None = None) -> Tensor:
        """Project whitened series.

        Args:
            strain: (B, D, T).
            late: how much later than others each series is, as a share of its length, (B, D) float64; it is
                shifted back by so much. None: not at all.

        Returns:
            (B, C * 2 N).
        """
        with torch.autocast(strain.device.type, enabled=False):  # no FFT in bfloat16
            scale = math.sqrt(2 / strain.shape[-1])
            if late is None:
                mixed = torch.einsum("cd,bdt->bct", self.mixing_CD, strain.float())
                spectrum = torch.fft.rfft(mixed)[..., self.bins[0] : self.bins[1]] * scale
            else:
                spectrum = torch.fft.rfft(strain.float())[..., self.bins[0] : self.bins[1]] * scale
                spectrum = self.channels(shifted_back(spectrum, late, self.bins[0]))
            parts_CBF = torch.cat([spectrum.real, spectrum.imag], dim=-1).transpose(0, 1)
        return torch.bmm(parts_CBF, self.weight).transpose(0, 1).flatten(1)


def shifted_back(spectra: Tensor, late: Tensor, first: int) -> Tensor:
    """Shift series that are late.

    Args:
        spectra: bins of their Fourier transforms, (..., F) complex64.
        late: by how much, as a share of their length, (...) float64.
        first: number of the first bin.
    """
    return spectra * time_shift(-late, first, spectra.shape[-1], 1.0, spectra.dtype)
