"""What a witness of glitches does to the strain: saturation, a linear path, and nothing while it is quiet."""

# B batch, W witnesses, S selected witnesses, U units, T samples, K taps, N taps of the whitening filter

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class ResponseSettings:
    """Shape of the response from witnesses to strain.

    Args:
        channels: witnesses that may be selected at most.
        saturations: saturating units of a witness, beside its linear one.
        before_s: how far the strain may run ahead of a witness.
        after_s: how long the strain may ring after a witness.
        quiet_below: a witness whose amplitude, over some 16 ms, stays below this multiple of its usual one
            predicts nothing at all.
        open_above: from this multiple on it predicts in full.

    Raises:
        ValueError: a value is outside its range.
    """

    channels: int = 3
    saturations: int = 4
    before_s: float = 0.03
    after_s: float = 0.12
    quiet_below: float = 2.0
    open_above: float = 3.0

    def __post_init__(self) -> None:
        if min(self.channels, self.saturations) < 1:
            raise ValueError(
                f"channels and saturations must be at least 1, not {self.channels} and {self.saturations}."
            )
        if min(self.before_s, self.after_s) <= 0:
            raise ValueError(f"before_s and after_s must be > 0, not {self.before_s} and {self.after_s}.")
        if not 1.0 < self.quiet_below < self.open_above:
            raise ValueError(
                f"quiet_below must be above 1 and below open_above, not {self.quiet_below} and "
                f"{self.open_above}."
            )


def convolve(series: Tensor, kernel: Tensor, at: int) -> Tensor:
    """Convolve along the last axis by FFT, with zeros outside the window.

    Args:
        series: (..., T).
        kernel: (..., K), broadcast against ``series``.
        at: tap of zero lag; later taps look back, earlier ones ahead.

    Returns:
        (..., T).
    """
    samples = series.shape[-1]
    length = 1 << (samples + kernel.shape[-1] - 2).bit_length()
    product = torch.fft.rfft(series, length) * torch.fft.rfft(kernel, length)
    return torch.fft.irfft(product, length)[..., at : at + samples]


class WitnessGate(nn.Module):
    """Opens where a witness is louder than usual; exactly 0 elsewhere.

    Args:
        sample_rate_hz: sample rate.
        settings: see :class:`ResponseSettings`.
    """

    def __init__(self, sample_rate_hz: float, settings: ResponseSettings) -> None:
        super().__init__()
        self._average = 2 * round(0.008 * sample_rate_hz) + 1
        self._widen = 2 * round(0.03 * sample_rate_hz) + 1
        self._edge = 2 * round(0.008 * sample_rate_hz) + 1
        self._low, self._high = settings.quiet_below, settings.open_above

    def amplitude(self, witnesses: Tensor) -> Tensor:
        """Give the root mean square over some 16 ms, (B, C, T), of (B, C, T)."""
        return _average(witnesses.square(), self._average).clamp(min=0).sqrt()

    def forward(self, witnesses: Tensor, usual: Tensor) -> Tensor:
        """Give the opening between 0 and 1, (B, C, T).

        Args:
            witnesses: (B, C, T).
            usual: usual amplitude of each, (C,).
        """
        ratio = self.amplitude(witnesses) / usual[:, None]
        opening = ((ratio - self._low) / (self._high - self._low)).clamp(0.0, 1.0)
        opening = functional.max_pool1d(opening, self._widen, 1, self._widen // 2)
        # Where it is shut for a whole edge it is shut exactly: an average of zeros is zero.
        opening = _average(opening, self._edge)
        return opening.square() * (3 - 2 * opening)


class GlitchResponse(nn.Module):
    """The mean of the glitch that follows from what the witnesses saw.

    ``h = sum_u kernel_u * b_u`` with ``b_0 = gate a / s`` and ``b_u = tanh(gate a / s_u)`` for each selected
    witness a: a saturation at several levels before a linear path. ``whiten * h`` is the same in the
    whitened strain, so that the whitening filter, which rings long, need not be learned, and the prediction
    in physical units is at hand. :func:`lightning_itwin.models.glitch_sums.fit_response` sets everything.

    Args:
        sample_rate_hz: sample rate.
        settings: see :class:`ResponseSettings`.
    """

    selected: Tensor
    usual: Tensor
    scales: Tensor
    kernel: Tensor
    whitening: Tensor
    strain_scale: Tensor

    def __init__(self, sample_rate_hz: float, settings: ResponseSettings) -> None:
        super().__init__()
        self.settings = settings
        self.before = round(settings.before_s * sample_rate_hz)
        self.taps = self.before + round(settings.after_s * sample_rate_hz) + 1
        self.gate = WitnessGate(sample_rate_hz, settings)
        channels, units = settings.channels, settings.saturations + 1
        self.register_buffer("selected", torch.zeros(channels, dtype=torch.long))
        self.register_buffer("usual", torch.ones(channels))
        self.register_buffer("scales", torch.ones(channels, units))
        self.register_buffer("kernel", torch.zeros(channels, units, self.taps))
        self.register_buffer("whitening", torch.ones(1))
        self.register_buffer("strain_scale", torch.ones((), dtype=torch.float64))

    def features(self, witnesses: Tensor, usual: Tensor, scales: Tensor) -> Tensor:
        """Give the units of witnesses.

        Args:
            witnesses: (B, C, T).
            usual: usual amplitudes, (C,).
            scales: scale of the linear unit, then of the saturating ones, (C, U).

        Returns:
            (B, C, U, T); exactly 0 where a witness is quiet.
        """
        gated = (witnesses * self.gate(witnesses, usual))[:, :, None] / scales[:, :, None]
        return torch.cat([gated[:, :, :1], gated[:, :, 1:].tanh()], dim=2)

    def whiten(self, series: Tensor) -> Tensor:
        """Whiten a series in units of ``strain_scale``, (..., T)."""
        return convolve(series, self.whitening.to(series.dtype), self.whitening.shape[-1] // 2)

    def forward(self, witnesses: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the mean of the glitch.

        Args:
            witnesses: conditioned witnesses, (B, W, T).

        Returns:
            The prediction in the whitened strain and in units of ``strain_scale``, (B, T) each.
        """
        units = self.features(witnesses[:, self.selected], self.usual, self.scales)
        physical = convolve(units, self.kernel, self.before).sum(dim=(1, 2))
        # FFTs leave rounding noise where everything is zero.
        anything = (units != 0).any(dim=-1).any(dim=-1).any(dim=-1)[:, None]
        physical = torch.where(anything, physical, torch.zeros_like(physical))
        return self.whiten(physical), physical

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The length of the whitening filter is the data's.
        given = state_dict.get(prefix + "whitening")
        if given is not None:
            self.whitening = given.new_empty(given.shape).to(self.kernel.device)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _average(series: Tensor, width: int) -> Tensor:
    return functional.avg_pool1d(series, width, 1, width // 2, count_include_pad=False)
