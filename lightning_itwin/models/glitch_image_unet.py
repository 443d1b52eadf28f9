"""Attention U-Net from witnesses' energy images to the strain's, as published, and its loss."""

# B batch, W witnesses, C channels, F frequencies, N times

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.01  # of leaky ReLUs
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5  # Wang et al. 2004, doi:10.1109/TIP.2003.819861


class _ResidualBlock(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inner, outer, 3, padding=1, bias=False),
            nn.BatchNorm2d(outer),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(outer, outer, 3, padding=1, bias=False),
            nn.BatchNorm2d(outer),
        )
        self.skip = nn.Conv2d(inner, outer, 1, bias=False) if inner != outer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.layers(x) + self.skip(x), _SLOPE)


def _two_blocks(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(_ResidualBlock(inner, outer), _ResidualBlock(outer, outer))


class _Attention(nn.Module):
    """Adds to each pixel of a skip what it attends to of what comes from below; nothing before training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        given = (self.query(skip), self.key(below), self.value(below))
        query, key, value = (one.flatten(2).mT for one in given)  # (B, F N, C)
        # As published, products are not divided by the root of their length.
        attended = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        return skip + self.gamma * attended.mT.view_as(skip)


class AttentionUNet(nn.Module):
    """U-Net of residual blocks with attention at its skips; energies come out positive.

    Args:
        num_witnesses: images in.
        base_channels: channels at full resolution, a multiple of 8; each of the three lower levels has twice
            as many.

    Reference:
        interTwin's DT-Virgo-dags, ``Final_Release/Glitchflow/Model.py``: the layout, in 16,836,660 parameters
        for 8 witnesses. There weights are initialised before any layer exists; here after.
    """

    def __init__(self, num_witnesses: int, base_channels: int = 64) -> None:
        super().__init__()
        if base_channels < 8 or base_channels % 8:
            raise ValueError(f"base_channels must be a multiple of 8, not {base_channels}.")
        widths = [base_channels * 2**level for level in range(4)]
        upward = list(reversed(widths[:-1]))
        self.down = nn.ModuleList(
            _two_blocks(inner, outer) for inner, outer in zip([num_witnesses, *widths], widths)
        )
        self.up = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for width in upward)
        self.attention = nn.ModuleList(_Attention(width) for width in upward)
        self.merge = nn.ModuleList(_two_blocks(2 * width, width) for width in upward)
        self.outer = nn.Conv2d(base_channels, 1, 1)
        self.apply(_initialise)  # last: there are layers by now

    def forward(self, witnesses: Tensor) -> Tensor:
        """Give the strain's image, (B, 1, F, N), of witnesses (B, W, F, N); F and N are multiples of 8."""
        skips: list[Tensor] = []
        x = witnesses
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, attention, merge, skip in zip(self.up, self.attention, self.merge, reversed(skips[:-1])):
            x = up(functional.interpolate(x, scale_factor=2.0, mode="bilinear"))
            x = merge(torch.cat([x, attention(skip, x)], dim=1))
        return functional.softplus(self.outer(x))


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def structural_similarity(one: Tensor, other: Tensor, data_range: float) -> Tensor:
    """Give the mean structural similarity of images, 1 for equal ones.

    Args:
        one: (B, 1, F, N), at least 11 x 11 pixels.
        other: the same.
        data_range: difference of the largest and the smallest value there can be.

    Returns:
        A number.

    Reference:
        Wang et al. 2004, doi:10.1109/TIP.2003.819861, eq. 13, with its Gaussian window and constants.
    """
    at = torch.arange(_SSIM_WINDOW, device=one.device, dtype=one.dtype) - _SSIM_WINDOW // 2
    line = torch.exp(-at.square() / (2 * _SSIM_SIGMA**2))
    window = (line[:, None] * line)[None, None] / line.sum() ** 2
    parts = torch.cat([one, other, one * one, other * other, one * other], dim=0)
    mean_one, mean_other, square_one, square_other, product = functional.conv2d(parts, window).chunk(5)
    first, second = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    variance = (square_one - mean_one**2) + (square_other - mean_other**2)
    covariance = product - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + first) / (mean_one**2 + mean_other**2 + first)
    return (luminance * (2 * covariance + second) / (variance + second)).mean()
