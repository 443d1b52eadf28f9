"""What a subtraction wins: power spectra before and after, summed over windows, and their range."""

# B batch, T samples, F frequencies

from __future__ import annotations

import torch
from torch import Tensor

from lightning_itwin.strain.bns_range import bns_range_mpc

_SEGMENT_S = 4.0


class SubtractionMeasure:
    """Sums power spectra of a strain in its own units before and after subtraction.

    The sums of several processes may be added: :attr:`power` is the whole state.

    Args:
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band in which noise is removed.

    >>> measure = SubtractionMeasure(256.0, (20.0, 100.0))
    >>> strain = 1e-21 * torch.randn(2, 4096, dtype=torch.float64)
    >>> measure.update(strain, 0.5 * strain)
    >>> round(measure.figures()["asd_ratio_in_band"], 6)
    0.5
    """

    def __init__(self, sample_rate_hz: float, band_hz: tuple[float, float]) -> None:
        self._rate_hz, self._band_hz = sample_rate_hz, band_hz
        self._segment = 2 * round(_SEGMENT_S * sample_rate_hz / 2)
        self.power: Tensor | None = None

    def reset(self) -> None:
        """Forget all windows."""
        self.power = None

    def update(self, before: Tensor, after: Tensor) -> None:
        """Add windows; of one that is shorter than a segment, its spectrum is interpolated.

        Args:
            before: strain, (B, T) float64.
            after: the same after subtraction, (B, T).
        """
        series = torch.stack([before, after])
        segment = min(self._segment, series.shape[-1])
        taper = torch.hann_window(segment, dtype=series.dtype, device=series.device)
        pieces = series.unfold(-1, segment, max(1, segment // 2)) * taper
        power = torch.fft.rfft(pieces, n=self._segment).abs().square().flatten(1, 2).sum(dim=1)
        scale = 2 / (self._rate_hz * taper.square().sum())
        count = torch.full((2, 1), float(pieces.shape[1] * pieces.shape[2])).to(power)
        summed = torch.cat([power * scale, count], dim=1)
        self.power = summed if self.power is None else self.power + summed

    def figures(self) -> dict[str, float]:
        """Give the figures by name.

        Raises:
            RuntimeError: there was no window.
        """
        if self.power is None:
            raise RuntimeError("SubtractionMeasure has seen no window yet.")
        psd = (self.power[:, :-1] / self.power[:, -1:]).cpu().numpy()
        frequency_hz = torch.fft.rfftfreq(self._segment, 1 / self._rate_hz, dtype=torch.float64).numpy()
        inside = (frequency_hz >= self._band_hz[0]) & (frequency_hz <= self._band_hz[1])
        ratio = psd[1, inside] / psd[0, inside]
        raw_mpc, clean_mpc = bns_range_mpc(psd, frequency_hz, minimum_frequency_hz=self._band_hz[0])
        return {
            "asd_ratio_in_band": float((ratio**0.5).mean()),
            "noise_power_removed_fraction": float(1 - ratio.mean()),
            "raw_range_mpc": float(raw_mpc),
            "clean_range_mpc": float(clean_mpc),
        }
