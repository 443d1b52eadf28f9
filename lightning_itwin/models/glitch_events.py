"""Events: stretches of a window in which the witnesses predict a glitch, cut out around the loudest time."""

# B batch, E events of a window, N samples of an event, T samples of a window

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Events(NamedTuple):
    """Events of windows.

    Args:
        centre: sample of the loudest time, (B, E).
        snr: norm of the prediction around it, (B, E); 0 where there is no event.
    """

    centre: Tensor
    snr: Tensor


def find_events(mean: Tensor, samples: int, most: int, lowest_snr: float) -> Events:
    """Find the loudest events of windows; none overlaps another.

    Args:
        mean: predicted whitened glitches, (B, T).
        samples: samples N of an event, even.
        most: events E looked for.
        lowest_snr: quieter ones do not count.
    """
    width = samples // 16 * 2 + 1
    power = mean.square()
    time = torch.arange(mean.shape[-1], device=mean.device)
    centres, snrs = [], []
    for _ in range(most):
        smooth = functional.avg_pool1d(power[:, None], width, 1, width // 2)[:, 0]
        centre = smooth.argmax(dim=-1)
        distance = (time - centre[:, None]).abs()
        snr = torch.where(distance < samples // 2, power, 0.0).sum(dim=-1).sqrt()
        snrs.append(torch.where(snr >= lowest_snr, snr, torch.zeros_like(snr)))
        centres.append(centre)
        power = torch.where(distance < samples, 0.0, power)
    return Events(centre=torch.stack(centres, dim=1), snr=torch.stack(snrs, dim=1))


def cut_events(series: Tensor, centre: Tensor, samples: int) -> Tensor:
    """Cut events out of windows.

    Args:
        series: (B, T); zeros are taken outside.
        centre: (B, E).
        samples: samples N of an event.

    Returns:
        (B, E, N).
    """
    padded = functional.pad(series, (samples // 2, samples // 2))
    place = centre[..., None] + torch.arange(samples, device=series.device)
    return padded[:, None].expand(-1, centre.shape[1], -1).gather(2, place)


def add_events(series: Tensor, pieces: Tensor, centre: Tensor) -> Tensor:
    """Add pieces to windows at the places of events; the ends of a piece fade in and out.

    Args:
        series: (..., B, T).
        pieces: (..., B, E, N).
        centre: (B, E).

    Returns:
        (..., B, T).
    """
    samples, length = pieces.shape[-1], series.shape[-1]
    fade = fading(samples, series)
    padded = functional.pad(series, (samples // 2, samples // 2))
    place = centre[..., None] + torch.arange(samples, device=series.device)
    place = place.flatten(-2).expand(*pieces.shape[:-2], -1)
    return padded.scatter_add(-1, place, (pieces * fade).flatten(-2))[..., samples // 2 :][..., :length]


def fading(samples: int, like: Tensor) -> Tensor:
    """Give the weights with which a piece fades in and out over an eighth of its length each, (N,)."""
    ramp = torch.linspace(0, 1, samples // 8 + 2, dtype=like.dtype, device=like.device)[1:-1]
    ramp = torch.sin(torch.pi / 2 * ramp).square()
    return torch.cat([ramp, ramp.new_ones(samples - 2 * len(ramp)), ramp.flip(0)])
