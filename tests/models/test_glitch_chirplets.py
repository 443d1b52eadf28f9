from __future__ import annotations

import math

import torch

from lightning_itwin.models.glitch_chirplets import from_chirplets, to_chirplets

N = 512


def chirp(
    snr: float, centre: float, frequency: float, rate: float, phase: float, width: float
) -> torch.Tensor:
    time = torch.arange(N, dtype=torch.float64) - N // 2 - centre
    turns = frequency * time + rate * time.square() / 2
    shape = torch.exp(-((time / width) ** 2)) * torch.cos(2 * torch.pi * turns + phase)
    return (snr * shape / shape.norm())[None]


def test_a_gaussian_chirp_has_the_coordinates_that_it_was_made_of() -> None:
    found = to_chirplets(chirp(13.0, 7.3, 0.15, 4e-4, 1.1, 40.0))
    assert float(found.log_snr.exp()) == torch.tensor(13.0)
    torch.testing.assert_close(float(found.centre), 7.3, rtol=0, atol=1e-3)
    torch.testing.assert_close(float(found.log_frequency.exp()), 0.15, rtol=0, atol=1e-6)
    torch.testing.assert_close(float(found.rate), 4e-4, rtol=1e-3, atol=0)
    torch.testing.assert_close(float(found.phase), 1.1, rtol=0, atol=1e-2)
    # What is left is the envelope: real, positive, without a carrier.
    time = torch.arange(N, dtype=torch.float64) - N // 2
    envelope = torch.exp(-((time / 40.0) ** 2))
    envelope *= math.sqrt(2) / envelope.norm()
    torch.testing.assert_close(found.envelope[0].real, envelope, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.envelope[0].imag, torch.zeros(N).double(), rtol=0, atol=1e-3)


def test_any_event_comes_back() -> None:
    events = torch.randn(6, N, generator=torch.Generator().manual_seed(0)).double()
    events -= events.mean(dim=1, keepdim=True)
    alternating = 1.0 - 2.0 * (torch.arange(N) % 2)
    events -= (events @ alternating.double())[:, None] * alternating / N  # no analytic part at Nyquist's
    torch.testing.assert_close(from_chirplets(to_chirplets(events)), events, rtol=0, atol=1e-9)
