"""Embeddings: networks that turn the whitened strain of all detectors into features for the flow."""

# B batch, D detectors, T samples, E features beside the strain, R rows

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.models.gw_projection import SpectrumProjection, shifted_back


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings:
    """Which embedding, and its size.

    Args:
        kind: ``"folded"``: ResNet18 at full resolution over the series folded to an image, one row after the
            other; ``"folded_lean"``: the same behind a stem of stride 2 and a pool; ``"svd"``: a dense
            residual network over the whitened spectrum's projection on singular vectors of signals.
        context_features: features that the flow is given.
        width: channels of the ResNet's first stage (24: 2.1e6 parameters, 28: 2.7e6); a GPU wants a multiple
            of 8.
        head_features: width of the fully connected head behind it.
        svd_components: singular vectors a channel.
        svd_maximum_frequency_hz: bins above it are left out of the spectrum; None: none.
        hidden_features: width of the dense network behind the singular vectors.
        num_blocks: its residual blocks.
        dropout: in its blocks.
        align_arrivals: shift the series of each site by the time of arrival that matched filters find in it
            (``ArrivalFinder``), and learn times from there on: for a prior that leaves the time free.
        compile: when it trains on a GPU, let ``torch.compile`` fuse the ResNet, half a minute once, and
            record the steps as CUDA graphs, which needs a dropout of 0 and batch norms of one process.

    Raises:
        ValueError: a value is outside its range.
    """

    kind: Literal["folded", "folded_lean", "svd"] = "folded"
    context_features: int = 128
    width: int = 24
    head_features: int = 1536
    svd_components: int = 200
    svd_maximum_frequency_hz: float | None = None
    hidden_features: int = 512
    num_blocks: int = 3
    dropout: float = 0.0
    align_arrivals: bool = False
    compile: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("folded", "folded_lean", "svd"):
            raise ValueError(f"kind must be 'folded', 'folded_lean' or 'svd', not {self.kind!r}.")
        sizes = (
            "context_features",
            "width",
            "head_features",
            "svd_components",
            "hidden_features",
            "num_blocks",
        )
        wrong = {name: getattr(self, name) for name in sizes if getattr(self, name) < 1}
        if wrong or not 0 <= self.dropout < 1:
            raise ValueError(f"Sizes must be at least 1, dropout in [0, 1): {wrong or self.dropout}.")


def folded_shape(samples: int) -> tuple[int, int]:
    """Give rows and columns of a series folded as nearly to a square as its length lets it.

    Raises:
        ValueError: the length has no divisors that make at most 16 times as many columns as rows.

    >>> folded_shape(65536), folded_shape(16384), folded_shape(8 * 4096)
    ((256, 256), (128, 128), (128, 256))
    """
    rows = next(rows for rows in range(math.isqrt(samples), 0, -1) if samples % rows == 0)
    if samples > 16 * rows * rows:
        raise ValueError(
            f"A series of {samples} samples folds to no more than {rows} rows of {samples // rows}. Choose "
            "duration and sample rate so that their product is a power of two, or the embedding 'svd'."
        )
    return rows, samples // rows


class FoldedResNet(nn.Module):
    """ResNet18 over the folded strain, (D, T) as an image (D, R, T / R), and a fully connected head.

    Args:
        num_detectors: channels D of the image.
        samples: T.
        settings: width, context features, and the kind: lean or not.
        extra_features: features that the head is given beside the image's.

    Reference:
        He et al. 2016, arXiv:1512.03385, table 1: the 18-layer network, here narrower and, unless lean,
        without the strides and the pool in front.
    """

    def __init__(
        self, num_detectors: int, samples: int, settings: EmbeddingSettings, extra_features: int = 0
    ) -> None:
        super().__init__()
        self.shape = folded_shape(samples)
        width, lean = settings.width, settings.kind == "folded_lean"
        stem: list[nn.Module] = [
            nn.Conv2d(num_detectors, width, 7 if lean else 3, 2 if lean else 1, 3 if lean else 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        if lean:
            stem.append(nn.MaxPool2d(3, 2, 1))
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        stages = [
            nn.Sequential(
                _ResidualBlock2d(before, after, 1 if number == 0 else 2), _ResidualBlock2d(after, after, 1)
            )
            for number, (before, after) in enumerate(pairwise(widths))
        ]
        self.image = nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(widths[-1] + extra_features, settings.head_features),
            nn.ReLU(inplace=True),
            nn.Linear(settings.head_features, settings.context_features),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, strain: Tensor, extra: Tensor | None = None, late: Tensor | None = None) -> Tensor:
        """Embed strain, (B, D, T), and features beside it, (B, E), to (B, context features).

        ``late`` is that of ``SpectrumProjection``.
        """
        if late is not None:
            spectrum = shifted_back(torch.fft.rfft(strain.float()), late, 0)
            strain = torch.fft.irfft(spectrum, strain.shape[-1])
        image = strain.unflatten(-1, self.shape).contiguous(memory_format=torch.channels_last)
        features = self.image(image)
        return self.head(_beside(features, extra))


class _ResidualBlock2d(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.stride = stride
        self.beside: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.beside = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, image: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(image)), inplace=True)
        # Strided by hand: of fewer than 16 channels, channels last, the backward pass of a strided 1 x 1
        # convolution corrupts the heap on a CPU (torch 2.13).
        fewer = image[..., :: self.stride, :: self.stride].contiguous(memory_format=torch.channels_last)
        return functional.relu(self.second_norm(self.second(inner)) + self.beside(fewer), inplace=True)


def _beside(features: Tensor, extra: Tensor | None) -> Tensor:
    return features if extra is None else torch.cat([features, extra.to(features.dtype)], dim=-1)


class SVDEmbedding(nn.Module):
    """A projection on singular vectors of signals, then a dense residual network.

    Args:
        detectors: names.
        bins: first and last bin (behind it) that the spectrum has.
        settings: sizes.
        extra_features: features that the dense network is given beside the projection.
    """

    def __init__(
        self,
        detectors: Sequence[str],
        bins: tuple[int, int],
        settings: EmbeddingSettings,
        extra_features: int = 0,
    ) -> None:
        super().__init__()
        self.projection = SpectrumProjection(detectors, bins, settings.svd_components)
        width = settings.hidden_features
        self.dense = nn.Sequential(
            nn.Linear(self.projection.num_features + extra_features, width),
            *(_ResidualBlock(width, settings.dropout) for _ in range(settings.num_blocks)),
            nn.GELU(),
            nn.Linear(width, settings.context_features),
        )

    def forward(self, strain: Tensor, extra: Tensor | None = None, late: Tensor | None = None) -> Tensor:
        """Embed strain, (B, D, T), and features beside it, (B, E), to (B, context features).

        ``late`` is that of ``SpectrumProjection``.
        """
        features = self.projection(strain, late)
        return self.dense(_beside(features, extra))


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.inner(features)


def make_embedding(
    settings: EmbeddingSettings,
    *,
    detectors: Sequence[str],
    samples: int,
    bins: tuple[int, int],
    extra_features: int = 0,
) -> FoldedResNet | SVDEmbedding:
    """Make the embedding that the settings name.

    Args:
        settings: kind and sizes.
        detectors: names of the D detectors.
        samples: T of their series.
        bins: first and last bin (behind it) of the band in the series' real Fourier transform.
        extra_features: features beside the strain.

    Raises:
        ValueError: the series cannot be folded.
    """
    if settings.kind == "svd":
        return SVDEmbedding(detectors, bins, settings, extra_features)
    return FoldedResNet(len(detectors), samples, settings, extra_features)
