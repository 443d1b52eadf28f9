"""Glitches as chirplets: a carrier that sweeps, times an envelope that changes slowly."""

# B events, N samples of an event

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Chirplets(NamedTuple):
    """Events in coordinates in which glitches of one family lie close to each other.

    ``h(t) = snr Re[e(u) exp(i (phase + 2 pi (frequency u + rate u^2 / 2)))]`` with ``u = t - centre``: exact
    for any event, since shift, carrier and sweep are unitary.

    Args:
        log_snr: logarithm of the norm, (B, 1).
        centre: mean time of the energy, samples from the middle, (B, 1).
        log_frequency: logarithm of the mean frequency of the energy, cycles a sample, (B, 1).
        rate: change of the frequency, cycles a sample a sample, (B, 1).
        phase: at the centre, (B, 1).
        envelope: complex, of energy 2, (B, N).

    Reference:
        Mann and Haykin 1995, IEEE Trans. Signal Processing 43, 2745: the chirplet transform.
    """

    log_snr: Tensor
    centre: Tensor
    log_frequency: Tensor
    rate: Tensor
    phase: Tensor
    envelope: Tensor


def to_chirplets(events: Tensor) -> Chirplets:
    """Give the coordinates of events, (B, N), none of them all zeros, in float64."""
    events = events.double()
    samples = events.shape[1]
    time, frequency = _axes(samples, events)
    snr = events.norm(dim=1, keepdim=True)
    spectrum = torch.fft.fft(events / snr)
    spectrum[:, samples // 2 + 1 :] = 0
    spectrum[:, 1 : samples // 2] *= 2
    middle = _mean(frequency, spectrum)
    centre = _mean(time, torch.fft.ifft(spectrum))
    moved = torch.fft.ifft(spectrum * torch.exp(2j * torch.pi * frequency * centre))
    base = moved * torch.exp(-2j * torch.pi * middle * time)
    slope = torch.fft.ifft(torch.fft.fft(base) * 2j * torch.pi * frequency)
    # energy times frequency, at each time
    turning = (base.conj() * slope).imag / (2 * torch.pi)
    energy = base.abs().square()
    rate = (time * turning).sum(dim=1, keepdim=True) / (time.square() * energy).sum(dim=1, keepdim=True)
    envelope = base * torch.exp(-1j * torch.pi * rate * time.square())
    phase = (envelope.abs() * envelope).sum(dim=1, keepdim=True).angle()
    return Chirplets(snr.log(), centre, middle.log(), rate, phase, envelope * torch.exp(-1j * phase))


def from_chirplets(given: Chirplets) -> Tensor:
    """Give the events, (B, N), of coordinates; envelopes may have any energy."""
    envelope = given.envelope
    time, frequency = _axes(envelope.shape[1], given.centre)
    unit = envelope / envelope.norm(dim=1, keepdim=True).clamp(min=1e-12) * math.sqrt(2)
    turns = given.log_frequency.exp() * time + given.rate * time.square() / 2
    spectrum = torch.fft.fft(unit * torch.exp(1j * (given.phase + 2 * torch.pi * turns)))
    moved = torch.fft.ifft(spectrum * torch.exp(-2j * torch.pi * frequency * given.centre))
    return moved.real * given.log_snr.exp()


def _axes(samples: int, like: Tensor) -> tuple[Tensor, Tensor]:
    time = torch.arange(samples, dtype=torch.float64, device=like.device) - samples // 2
    return time, torch.fft.fftfreq(samples, dtype=torch.float64, device=like.device)


def _mean(place: Tensor, values: Tensor) -> Tensor:
    energy = values.abs().square()
    return (place * energy).sum(dim=1, keepdim=True) / energy.sum(dim=1, keepdim=True)
