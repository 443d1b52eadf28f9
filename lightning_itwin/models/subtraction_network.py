"""The closed form as a network that gradients refine: responses, gates, wavelengths, convolutions."""

# B batch, W witnesses, T samples, R rows, F features, G gated features, S slow witnesses, P paths, K taps

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.optional import require
from lightning_itwin.strain.spectra import power_spectrum
from lightning_itwin.strain.whitening import TAPER_HZ, whitening_filter
from lightning_itwin.subtraction.features import Feature
from lightning_itwin.subtraction.noise_filter import NoiseFilter

_MOST_RESPONSES = 180_000  # parameters; more responses than that stay as they are
_WHITENING_S = 0.5
_SHORT_S = 0.25  # of the filters around the convolutional layers, so that these add nothing to the reach
_BLOCK_S = 0.5
_NEAR_S = 0.01
_PRIOR = 10.0
_SLOWLY = 0.02
_KERNEL = 9
_DILATIONS = (1, 4, 16)
_FRINGES = ("sine", "cosine")
_GATED = ("product", "quadratic")


@dataclass(frozen=True, kw_only=True)
class RefinementSettings:
    """What is refined by gradient.

    Args:
        gate_size: width of the network by which slow channels set gains; 0 for none.
        residual_channels: channels of the convolutional layers; 0 for none.

    Raises:
        ValueError: a value is outside its range.
    """

    gate_size: int = 8
    residual_channels: int = 8

    def __post_init__(self) -> None:
        if min(self.gate_size, self.residual_channels) < 0:
            raise ValueError(
                f"gate_size and residual_channels must be >= 0, not {self.gate_size} and "
                f"{self.residual_channels}."
            )


class SubtractionNetwork(nn.Module):
    """The noise of the closed form, and what may be refined of it.

    ``n = sum_f (1 - b_f) (h_f * x_f) + b_f g_f (h_f * w_f) + sum_p m_p(s) (h_p * w_p) + r(x)``

    with responses h of features x; of a feature that is a witness w times a function g of a slow channel, a
    share b is multiplied behind the path instead of before it; gains m that a small network makes of the
    slow channels s; fringes ``sin(4 pi s / lambda)``, whose wavelength moves; and convolutional layers r on
    whitened features. It begins as the closed form: b, m and r are 0.

    Parameters are in units of what they are known to: a response in standard deviations of its estimate, a
    wavelength in radians of the phase.

    Args:
        closed: the closed form.
        settings: what is refined.
    """

    unit: Tensor
    taps: Tensor
    spread: Tensor
    envelope: Tensor
    row_scale: Tensor
    white: Tensor
    short_white: Tensor
    colour: Tensor
    samples: Tensor

    def __init__(self, closed: NoiseFilter, settings: RefinementSettings) -> None:
        super().__init__()
        self.library, self.features = closed.library, list(closed.features)
        rate_hz = self.library.sample_rate_hz
        features, length = closed.taps.shape
        taps = torch.from_numpy(closed.taps.copy())
        unit = taps.abs().max() if taps.numel() else torch.ones((), dtype=torch.float64)
        self.register_buffer("unit", unit)
        self.register_buffer("taps", (taps / unit).float())
        self.register_buffer("spread", torch.zeros(features, length // 2 + 1))
        self.register_buffer("envelope", _envelope(self.taps, rate_hz))
        self.register_buffer("samples", torch.ones((), dtype=torch.float64))
        self.register_buffer("row_scale", torch.ones(features, 1))
        self.register_buffer("white", torch.zeros(_odd(_WHITENING_S * rate_hz)))
        self.register_buffer("short_white", torch.zeros(_odd(_SHORT_S * rate_hz)))
        self.register_buffer("colour", torch.zeros(_odd(_SHORT_S * rate_hz)))
        self._block = round(_BLOCK_S * rate_hz)

        self._fringes = [at for at, one in enumerate(self.features) if one.kind in _FRINGES]
        self._given = [at for at, one in enumerate(self.features) if one.kind not in _FRINGES]
        self._gated = [at for at, one in enumerate(self.features) if one.kind in _GATED]
        self._slow = [number for number, facts in enumerate(self.library.facts) if facts.slow]
        # A path a witness: its own response, or that of its first product.
        self._paths: dict[int, int] = {}
        for at in sorted(range(features), key=lambda at: self.features[at].kind != "linear"):
            if self.features[at].kind in ("linear", *_GATED):
                self._paths.setdefault(self.features[at].fast, at)
        self._bases = sorted({(self.features[at].fast, self.features[at].wavelength) for at in self._fringes})

        moving = features if 2 * features * (length // 2 + 1) <= _MOST_RESPONSES else 0
        self.response = nn.Parameter(torch.zeros(moving, length // 2 + 1, 2))
        self.behind = nn.Parameter(torch.zeros(len(self._gated)))
        self.phase = nn.Parameter(torch.zeros(len(self._bases)))
        gains = settings.gate_size and len(self._slow) and len(self._paths)
        self.gates = _gates(len(self._slow), settings.gate_size, len(self._paths)) if gains else None
        layered = settings.residual_channels and features
        self.residual = _residual(features, settings.residual_channels) if layered else None
        for name in [name for name, one in self.named_parameters() if not one.numel()]:
            getattr(self, name).requires_grad_(False)

    @property
    def reach(self) -> int:
        """Samples on each side that a predicted sample depends on, at most."""
        layers = _KERNEL // 2 * sum(_DILATIONS) + len(self.short_white) // 2 + len(self.colour) // 2
        return self.library.reach + max(self.taps.shape[1] // 2, layers)

    @property
    def wavelengths(self) -> list[tuple[str, float]]:
        """Witnesses of fringes, and the wavelength of each now."""
        return [
            (
                self.library.facts[number].name,
                wavelength * float(torch.exp(moved / self._turn(number, wavelength))),
            )
            for (number, wavelength), moved in zip(self._bases, self.phase.detach())
        ]

    def look_at(self, values: np.ndarray, samples: int, band_hz: tuple[float, float]) -> None:
        """Learn from training data what is loud where.

        Args:
            values: channels over a stretch, the strain first, (C, T) float64.
            samples: of all training data, in which responses were estimated.
            band_hz: lower and upper edge of the band.
        """
        self.samples.fill_(samples)
        rate_hz = self.library.sample_rate_hz
        rows = torch.from_numpy(self.inputs(values[1:]))[None].to(self.taps)
        with torch.no_grad():
            noise = self(rows)[0].double() * self.unit
            made = self._made(rows)[0].double().numpy()
        inner = slice(self.reach, values.shape[1] - self.reach)
        left = (values[0] - noise.numpy())[inner] / float(self.unit)
        white = whitening_filter(left, rate_hz, band_hz, _WHITENING_S).taps
        short = whitening_filter(left, rate_hz, band_hz, _SHORT_S).taps
        self.white.copy_(torch.from_numpy(white))
        self.short_white.copy_(torch.from_numpy(short))
        self.colour.copy_(torch.from_numpy(_inverse(short, band_hz, rate_hz)))
        if not len(made):
            return
        signal = require("scipy.signal", extra="virgo")
        filtered = signal.oaconvolve(made[:, inner], white[None], mode="valid", axes=1)
        self.row_scale.copy_(1 / torch.from_numpy(filtered.std(axis=1)).clamp_min(1e-12)[:, None])
        # The variance of a response's estimate at a frequency, K / (T S), where S is the feature's power.
        length = self.taps.shape[1]
        frequency_hz = np.fft.rfftfreq(length, 1 / rate_hz)
        at_hz, psd = power_spectrum(filtered, rate_hz, length / rate_hz, "mean")
        power = np.stack([np.interp(frequency_hz, at_hz, one) for one in psd]) * rate_hz / 2
        known = np.maximum(power, 1e-3 * power.max(axis=1, keepdims=True))
        inside = (frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[1])
        self.spread.copy_(torch.from_numpy(np.sqrt(length / (samples * known)) * inside))

    def inputs(self, witnesses: np.ndarray) -> np.ndarray:
        """Make the rows that the network reads: features without fringes, slow channels, paths' witnesses.

        Args:
            witnesses: as recorded, (W, T).

        Returns:
            (R, T) float64.
        """
        witnesses = np.asarray(witnesses, dtype=np.float64)
        wanted = [self.features[at] for at in self._given]
        wanted += [Feature(kind="linear", fast=number) for number in self._paths]
        made = self.library.compute(witnesses, wanted)
        slow = self.library.slow(witnesses, self._slow)
        return np.concatenate([made, slow])

    def forward(self, rows: Tensor) -> Tensor:
        """Predict the noise.

        Args:
            rows: from :meth:`inputs`, (B, R, T).

        Returns:
            In units of :attr:`unit`, (B, T).
        """
        _, paths, slow = self._parts(rows)
        made, taps = self._made(rows), self._responses()
        behind = torch.zeros(len(self.features), dtype=rows.dtype, device=rows.device)
        if self._gated:
            behind = behind.index_put((torch.tensor(self._gated, device=rows.device),), self.behind)
        noise = torch.zeros_like(rows[:, 0])
        if self.features:
            noise = noise + (convolved(made, taps) * (1 - behind)[:, None]).sum(dim=1)
        if self._gated:
            numbers = {number: at for at, number in enumerate(self._paths)}
            which = [numbers[self.features[at].fast] for at in self._gated]
            gain = torch.stack([self._gain(slow, self.features[at]) for at in self._gated], dim=1)
            noise = noise + (convolved(paths[:, which], taps[self._gated]) * gain * self.behind[:, None]).sum(
                dim=1
            )
        if self.gates is not None:
            through = convolved(paths, taps[list(self._paths.values())])
            noise = noise + (self.gates(slow) * through).sum(dim=1)
        if self.residual is not None:
            whitened = convolved(made, self.short_white.expand(len(made[0]), -1)) * self.row_scale
            noise = noise + convolved(self.residual(whitened), self.colour[None])[:, 0]
        return noise

    def losses(self, strain: Tensor, noise: Tensor) -> Tensor:
        """Give the logarithm of the power that is left in blocks of half a second, whitened: (B, blocks).

        The mean is the log likelihood, with its sign turned, of a noise whose loudness is free in each block:
        a glitch that no witness saw weighs no more than any other block.

        Args:
            strain: in units of :attr:`unit`, (B, T).
            noise: the same.
        """
        edge = min(self.reach, strain.shape[-1] // 4)
        left = (strain - noise)[:, None, edge : strain.shape[-1] - edge]
        white = convolved(left, self.white[None])[:, 0]
        half = min(len(self.white) // 2, white.shape[-1] // 4)
        inner = white[:, half : white.shape[-1] - half]
        block = min(self._block, inner.shape[-1])
        return inner.unfold(-1, block, block).square().mean(dim=-1).clamp_min(1e-12).log()

    def penalty(self) -> Tensor:
        """Give what is added to the mean loss: responses are known already, as well as the data tell them."""
        return _PRIOR * self.response.square().sum() / self.samples.to(self.response)

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Give the parameters for an optimizer; the convolutional layers, which overfit, learn slowly."""
        layers = [] if self.residual is None else list(self.residual.parameters())
        rest = [
            one
            for one in self.parameters()
            if one.requires_grad and not any(one is other for other in layers)
        ]
        groups = [{"params": rest, "lr": learning_rate}]
        return groups + ([{"params": layers, "lr": _SLOWLY * learning_rate}] if layers else [])

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = [len(self._given), len(self._paths), len(self._slow)]
        given, paths, slow = rows.split(sizes, dim=1)
        return given, paths, slow

    def _made(self, rows: Tensor) -> Tensor:
        """Give all features in their order, (B, F, T)."""
        given, _, slow = self._parts(rows)
        made: list[Tensor] = list(given.unbind(dim=1))
        for at in self._fringes:
            feature = self.features[at]
            turn = self._turn(feature.fast, feature.wavelength)
            moved = self.phase[self._bases.index((feature.fast, feature.wavelength))]
            phase = turn * torch.exp(-moved / turn) * slow[:, self._slow.index(feature.fast)]
            made.insert(at, phase.sin() if feature.kind == "sine" else phase.cos())
        return torch.stack(made, dim=1) if made else rows[:, :0]

    def _responses(self) -> Tensor:
        """Give the impulse responses now, (F, K)."""
        if not len(self.response):
            return self.taps
        moved = torch.view_as_complex(self.response) * self.spread
        impulse = torch.fft.irfft(moved, self.taps.shape[1], dim=1)
        return self.taps + self.envelope * torch.fft.fftshift(impulse, dim=1)

    def _gain(self, slow: Tensor, feature: Feature) -> Tensor:
        values = slow[:, self._slow.index(feature.slow)]
        return values if feature.kind == "product" else values.square() - 1

    def _turn(self, number: int, wavelength: float) -> float:
        """Radians of a fringe's phase for each standard deviation of its witness."""
        return float(4 * np.pi / wavelength * self.library.facts[number].deviation)


def convolved(series: Tensor, taps: Tensor) -> Tensor:
    """Convolve each row with its own taps, zero lag in the middle; ends go on as they are.

    Args:
        series: (B, F, T).
        taps: (F, K), K odd.
    """
    fft = require("scipy.fft", extra="virgo")
    half = taps.shape[1] // 2
    padded = functional.pad(series, (half, half), mode="replicate")
    length = fft.next_fast_len(padded.shape[-1], real=True)
    spectrum = torch.fft.rfft(padded, length) * torch.fft.rfft(taps, length)
    return torch.fft.irfft(spectrum, length)[..., 2 * half : 2 * half + series.shape[-1]]


def _envelope(taps: Tensor, rate_hz: float) -> Tensor:
    """Give how large each response is around each lag, 1 at most, (F, K)."""
    near = 2 * round(_NEAR_S * rate_hz) + 1
    around = functional.avg_pool1d(taps.square()[:, None], near, 1, near // 2)[:, 0].sqrt()
    return around / around.amax(dim=1, keepdim=True).clamp_min(1e-30)


def _odd(samples: float) -> int:
    return 2 * round(samples / 2) - 1


def _inverse(white: np.ndarray, band_hz: tuple[float, float], rate_hz: float) -> np.ndarray:
    """Give taps that undo a whitening filter inside the band."""
    length = len(white)
    response = np.abs(np.fft.rfft(white, length + 1))
    frequency_hz = np.fft.rfftfreq(length + 1, 1 / rate_hz)
    inside = np.clip((frequency_hz - band_hz[0]) / TAPER_HZ, 0, 1)
    inside *= np.clip((band_hz[1] - frequency_hz) / TAPER_HZ, 0, 1)
    undone = inside / np.maximum(response, 1e-3 * response.max())
    return np.fft.fftshift(np.fft.irfft(undone))[1:] * np.hanning(length + 2)[1:-1]


def _gates(slow: int, size: int, paths: int) -> nn.Sequential:
    last = nn.Conv1d(size, paths, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]  # there is one
    return nn.Sequential(nn.Conv1d(slow, size, 1), nn.Tanh(), last)


def _residual(features: int, channels: int) -> nn.Sequential:
    widths = (features, channels, channels, 1)
    layers: list[nn.Module] = []
    for inner, outer, dilation in zip(widths, widths[1:], _DILATIONS):
        layers += [nn.Conv1d(inner, outer, _KERNEL, padding="same", dilation=dilation), nn.Tanh()]
    last = layers[-2]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])
