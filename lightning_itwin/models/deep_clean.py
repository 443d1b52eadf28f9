"""DeepClean: the published autoencoder from witnesses to noise, and its loss, as a baseline."""

# B batch, W witnesses, T samples, F frequencies

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_itwin.models.subtraction_network import convolved
from lightning_itwin.optional import require

_WIDTHS = (8, 16, 32, 64)
_KERNEL, _MULTIPLE = 7, 16
_SEGMENT_S = 2.0
_BAND_PASS_S = 0.5
_RATE = 0.1  # of the learning rate of a refinement


class DeepCleanNetwork(nn.Module):
    """Convolutional autoencoder of scaled witnesses, whose output is the noise inside a band.

    The architecture is the published one: 8, 16, 32 and 64 channels, kernels of 7, strides of 2, batch
    normalisation, tanh. Strain and output pass a band pass; the loss is the mean ratio of the ASD after
    subtraction to that before.

    Args:
        num_witnesses: witnesses W.
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band.

    Reference:
        Ormiston et al. 2020, arXiv:2005.06534; code and hyperparameters: github.com/ML4GW/DeepClean.

    >>> sum(one.numel() for one in DeepCleanNetwork(10, 1024.0, (10.0, 450.0)).parameters())
    40111
    """

    unit: Tensor
    mean: Tensor
    scale: Tensor
    band_pass: Tensor

    def __init__(self, num_witnesses: int, sample_rate_hz: float, band_hz: tuple[float, float]) -> None:
        super().__init__()
        signal = require("scipy.signal", extra="virgo")
        self._rate_hz, self._band_hz = sample_rate_hz, band_hz
        self.register_buffer("unit", torch.ones((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(num_witnesses, 1))
        self.register_buffer("scale", torch.ones(num_witnesses, 1))
        taps = 2 * round(_BAND_PASS_S * sample_rate_hz / 2) + 1
        band_pass = signal.firwin(taps, band_hz, fs=sample_rate_hz, pass_zero=False)
        self.register_buffer("band_pass", torch.from_numpy(band_pass).float()[None])
        down = (num_witnesses, *_WIDTHS)
        up = (*reversed(_WIDTHS), num_witnesses)
        self.layers = nn.Sequential(
            _block(nn.Conv1d(num_witnesses, num_witnesses, _KERNEL, padding=_KERNEL // 2)),
            *(
                _block(nn.Conv1d(inner, outer, _KERNEL, stride=2, padding=_KERNEL // 2))
                for inner, outer in itertools.pairwise(down)
            ),
            *(
                _block(
                    nn.ConvTranspose1d(
                        inner, outer, _KERNEL, stride=2, padding=_KERNEL // 2, output_padding=1
                    )
                )
                for inner, outer in itertools.pairwise(up)
            ),
            nn.Conv1d(num_witnesses, 1, _KERNEL, padding=_KERNEL // 2),
        )

    @property
    def reach(self) -> int:
        """Samples on each side that a predicted sample depends on, at most."""
        half = _KERNEL // 2
        return self.band_pass.shape[1] // 2 + 2 * half + 2 * half * (2 ** len(_WIDTHS) - 1)

    def look_at(self, values: np.ndarray, samples: int, band_hz: tuple[float, float]) -> None:
        """Learn the scales of training data.

        Args:
            values: channels over a stretch, the strain first, (C, T) float64.
            samples: not used.
            band_hz: not used.
        """
        signal = require("scipy.signal", extra="virgo")
        centred = values[0] - values[0].mean()
        inside = signal.oaconvolve(centred, self.band_pass[0].double().numpy(), mode="valid")
        self.unit.fill_(float(inside.std()))
        witnesses = torch.from_numpy(values[1:])
        self.mean.copy_(witnesses.mean(dim=1, keepdim=True))
        self.scale.copy_(1 / witnesses.std(dim=1, keepdim=True).clamp_min(1e-300))

    def inputs(self, witnesses: np.ndarray) -> np.ndarray:
        """Give what the network reads: the witnesses as they are, (W, T) float64."""
        return np.asarray(witnesses, dtype=np.float64)

    def forward(self, witnesses: Tensor) -> Tensor:
        """Predict the noise inside the band.

        Args:
            witnesses: as recorded, (B, W, T).

        Returns:
            In units of :attr:`unit`, (B, T).
        """
        scaled = (witnesses - self.mean) * self.scale
        spare = -scaled.shape[-1] % _MULTIPLE
        made = self.layers(nn.functional.pad(scaled, (0, spare), mode="replicate"))
        return convolved(made[..., : scaled.shape[-1]], self.band_pass)[:, 0]

    def losses(self, strain: Tensor, noise: Tensor) -> Tensor:
        """Give the mean ratio over the band of the ASD after subtraction to that before, (B, 1).

        Args:
            strain: in units of :attr:`unit`, (B, T).
            noise: the same.
        """
        before = convolved(strain[:, None], self.band_pass)[:, 0]
        ratio = self._psd(before - noise) / self._psd(before)
        return ratio.sqrt().mean(dim=1, keepdim=True)

    def penalty(self) -> Tensor:
        """Give what is added to the mean loss: nothing."""
        return torch.zeros((), device=self.mean.device)

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Give the parameters for an optimizer."""
        return [{"params": list(self.parameters()), "lr": _RATE * learning_rate}]

    def _psd(self, series: Tensor) -> Tensor:
        return median_psd(series, self._rate_hz, _SEGMENT_S, self._band_hz)


def median_psd(
    series: Tensor, sample_rate_hz: float, segment_s: float, band_hz: tuple[float, float]
) -> Tensor:
    """Estimate PSDs in a band by the median over segments, as scipy's ``welch(..., average="median")``.

    Args:
        series: (B, T).
        sample_rate_hz: sample rate.
        segment_s: length of a Hann-windowed segment, even in samples; they overlap by half.
        band_hz: lower and upper edge of the band, above 0 and below half the sample rate.

    Returns:
        (B, F).
    """
    segment = min(series.shape[-1] // 2 * 2, 2 * round(segment_s * sample_rate_hz / 2))
    window = torch.hann_window(segment, dtype=series.dtype, device=series.device)
    pieces = series.unfold(-1, segment, segment // 2)
    pieces = (pieces - pieces.mean(dim=-1, keepdim=True)) * window
    power = torch.fft.rfft(pieces).abs().square() * 2 / (sample_rate_hz * window.square().sum())
    frequency_hz = torch.fft.rfftfreq(segment, 1 / sample_rate_hz, device=series.device)
    inside = (frequency_hz >= band_hz[0]) & (frequency_hz < band_hz[1])
    count = power.shape[1]
    # The median of an exponential distribution is below its mean: FINDCHIRP, arXiv:gr-qc/0509116, appendix B.
    bias = 1 + sum(1 / (even + 1) - 1 / even for even in range(2, count, 2))
    return power[..., inside].quantile(0.5, dim=1) / bias


def _block(convolution: nn.Conv1d | nn.ConvTranspose1d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm1d(convolution.out_channels), nn.Tanh())
