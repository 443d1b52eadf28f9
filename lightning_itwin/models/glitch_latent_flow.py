"""Conditional flow matching on a few coordinates: a velocity, its loss, and a sampler of few steps."""

# B batch, D coordinates, C conditions, S samples

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_FREQUENCIES = 16


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class LatentFlow(nn.Module):
    """Distribution of a vector given another, as the flow of a learned velocity from white noise.

    ``dx/dt = v(x, t, c)`` carries ``x(0) ~ N(0, 1)`` to the data at t = 1. The velocity is trained on
    ``x(t) = (1 - t) z + t x1``, where its best value is the mean of ``x1 - z``. Coordinates and conditions
    are standardised inside.

    Args:
        coordinates: numbers D of a sample.
        conditions: numbers C of a condition; 0 is no condition.
        width: of the residual network.
        blocks: of the residual network.

    Reference:
        Lipman et al. 2023, arXiv:2210.02747; Tong et al. 2024, arXiv:2302.00482.
    """

    offset: Tensor
    scale: Tensor
    condition_offset: Tensor
    condition_scale: Tensor
    frequencies: Tensor

    def __init__(self, coordinates: int, conditions: int, width: int, blocks: int) -> None:
        super().__init__()
        self.coordinates, self.conditions = coordinates, conditions
        self.inner = nn.Linear(coordinates + conditions + 2 * _FREQUENCIES, width)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        last = nn.Linear(width, coordinates)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.outer = nn.Sequential(nn.LayerNorm(width), last)
        self.register_buffer("frequencies", torch.logspace(0, math.log10(60.0), _FREQUENCIES))
        for name, size in (("offset", coordinates), ("condition_offset", conditions)):
            self.register_buffer(name, torch.zeros(size))
        for name, size in (("scale", coordinates), ("condition_scale", conditions)):
            self.register_buffer(name, torch.ones(size))

    def standardise(self, values: Tensor, conditions: Tensor) -> None:
        """Set mean and spread of data and conditions, from (B, D) and (B, C)."""
        for name, given in (("", values), ("condition_", conditions)):
            if not given.shape[1]:
                continue
            spread = given.std(dim=0)
            getattr(self, name + "offset").copy_(given.mean(dim=0))
            getattr(self, name + "scale").copy_(spread.clamp(min=1e-3 * float(spread.max()) + 1e-9))

    def velocity(self, x: Tensor, time: Tensor, conditions: Tensor) -> Tensor:
        """Give the velocity of standardised x.

        Args:
            x: (B, D).
            time: between 0 and 1, (B, 1).
            conditions: (B, C), not standardised.
        """
        angle = time * self.frequencies
        known = (conditions - self.condition_offset) / self.condition_scale
        return self.outer(self.blocks(self.inner(torch.cat([x, known, angle.sin(), angle.cos()], dim=-1))))

    def loss(self, values: Tensor, conditions: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Give the mean square error of the velocity at random times.

        Args:
            values: data, (B, D).
            conditions: (B, C).
            generator: of the noise and the times.
        """
        x1 = (values - self.offset) / self.scale
        z = torch.randn(x1.shape, generator=generator, device=x1.device, dtype=x1.dtype)
        # More often in the middle, where the velocity is hardest: Esser et al. 2024, arXiv:2403.03206.
        time = torch.randn(len(x1), 1, generator=generator, device=x1.device, dtype=x1.dtype).sigmoid()
        return (self.velocity((1 - time) * z + time * x1, time, conditions) - (x1 - z)).square().mean()

    def sample(self, conditions: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw one sample a row with Heun's method.

        Args:
            conditions: (B, C).
            steps: steps of two evaluations each.
            generator: of the noise.

        Returns:
            (B, D).
        """
        x = torch.randn(len(conditions), self.coordinates, generator=generator, device=self.offset.device).to(
            self.offset
        )
        for number in range(steps):
            time = x.new_full((len(x), 1), number / steps)
            first = self.velocity(x, time, conditions)
            second = self.velocity(x + first / steps, time + 1 / steps, conditions)
            x = x + (first + second) / (2 * steps)
        return x * self.scale + self.offset
