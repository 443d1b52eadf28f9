"""How much noise a subtraction removed: power spectra before and after, summed over windows."""

# B batch, T samples of a window, F frequencies

from __future__ import annotations

import torch
from torch import Tensor


class NoiseRemoval:
    """Sums power spectra of a strain before and after subtraction, and compares them in a band.

    ``asd_ratio`` is the mean over the frequencies of the band of ``sqrt(P_after(f) / P_before(f))``: 1 where
    nothing was removed, above 1 where noise was added. ``removed_fraction`` is ``1 - sum P_after / sum
    P_before`` over the band. The first does not change when both series pass through one filter; the
    second weighs frequencies by their power, so give it a whitened strain.

    The sums of several processes may be added: :attr:`power` is the whole state.

    Args:
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band.

    >>> removal = NoiseRemoval(sample_rate_hz=256.0, band_hz=(20.0, 100.0))
    >>> before = torch.randn(8, 512, generator=torch.Generator().manual_seed(0))
    >>> removal.update(before, 0.5 * before)
    >>> round(removal.asd_ratio, 6), round(removal.removed_fraction, 6)
    (0.5, 0.75)
    """

    def __init__(self, *, sample_rate_hz: float, band_hz: tuple[float, float]) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._band_hz = band_hz
        self._samples = 0
        self.power: Tensor | None = None

    def reset(self) -> None:
        """Forget all windows."""
        self.power = None

    def update(self, before: Tensor, after: Tensor) -> None:
        """Add windows.

        Args:
            before: strain, (B, T).
            after: the same after subtraction, (B, T).
        """
        self._samples = before.shape[-1]
        taper = torch.hann_window(self._samples, device=before.device)
        series = torch.stack([before, after]).float() * taper
        power = torch.fft.rfft(series).abs().square().sum(dim=1)
        self.power = power if self.power is None else self.power + power

    @property
    def frequency_hz(self) -> Tensor:
        """Frequencies of the band, (F,)."""
        return self._frequency_hz()[self._in_band()]

    @property
    def band_power(self) -> Tensor:
        """Power before and after at every frequency of the band, (2, F)."""
        if self.power is None:
            raise RuntimeError("NoiseRemoval has seen no window yet.")
        return self.power[:, self._in_band().to(self.power.device)]

    @property
    def spectrum_ratio(self) -> Tensor:
        """``sqrt(P_after / P_before)`` at every frequency of the band, (F,)."""
        before, after = self.band_power
        return (after / before).sqrt()

    @property
    def asd_ratio(self) -> float:
        """Mean of :attr:`spectrum_ratio` over the band."""
        return float(self.spectrum_ratio.mean())

    @property
    def removed_fraction(self) -> float:
        """Share of the power in the band that was removed; negative where power was added."""
        before, after = self.band_power
        return float(1 - after.sum() / before.sum())

    def _frequency_hz(self) -> Tensor:
        return torch.fft.rfftfreq(self._samples, 1 / self._sample_rate_hz)

    def _in_band(self) -> Tensor:
        frequency_hz = self._frequency_hz()
        return (frequency_hz >= self._band_hz[0]) & (frequency_hz <= self._band_hz[1])
