"""White complex Gaussian noise: an event's noise depends on its seed alone, or comes fast from a device."""

# B batch, D detectors, F frequencies

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

Seed = int | tuple[int, ...]


def seeded_noise(seeds: Iterable[Seed], shape: tuple[int, ...]) -> Tensor:
    """Draw noise event by event, each from a stream of its own.

    An event's numbers are the same whatever the batch, the order or the number of workers. Streams are those
    of numpy's SFC64 under ``SeedSequence``, turned into pairs of normal numbers by Box and Muller.

    Args:
        seeds: a seed an event: a number from 0, or a tuple of such, as in ``(seed, index)``.
        shape: of one event's noise, such as (D, F).

    Returns:
        noise, (B, *shape) complex64, on the CPU; real and imaginary part have mean 0 and variance 1.

    Reference:
        Box and Muller 1958, doi:10.1214/aoms/1177706645.

    >>> several = seeded_noise([(7, 0), (7, 1)], (3, 100))
    >>> torch.equal(several[1], seeded_noise([(7, 1)], (3, 100))[0])
    True
    """
    seeds = list(seeds)
    count = math.prod(shape)
    made = torch.empty(len(seeds), count, 2, dtype=torch.float32)
    radius, angle, wave = (torch.empty(count) for _ in range(3))
    whole = torch.empty(count, dtype=torch.int32)
    for row, seed in zip(made, seeds):
        # One 64-bit number holds two of 32 bits: one for the radius, one for the angle.
        bits = torch.from_numpy(np.random.SFC64(seed).random_raw(count).view(np.int32))
        # Sign off: 31 bits give a uniform number in (0, 1) whose smallest value is 2^-32, 6.7 sigma.
        torch.bitwise_and(bits[:count], 0x7FFFFFFF, out=whole)
        radius.copy_(whole).add_(0.5).mul_(2.0**-31).log_().mul_(-2.0).sqrt_()
        angle.copy_(bits[count:]).mul_(math.pi * 2.0**-31)
        torch.mul(radius, torch.cos(angle, out=wave), out=row[:, 0])
        torch.mul(radius, torch.sin(angle, out=wave), out=row[:, 1])
    return torch.view_as_complex(made).unflatten(1, shape)


def device_noise(batch: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw the noise of a batch in one go on the generator's device.

    Args:
        batch: B.
        shape: of one event's noise.
        generator: whose device and state are used.

    Returns:
        noise, (B, *shape) complex64; real and imaginary part have mean 0 and variance 1.
    """
    made = torch.randn((batch, *shape, 2), generator=generator, device=generator.device, dtype=torch.float32)
    return torch.view_as_complex(made)
