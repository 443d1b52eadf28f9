"""Events are found at their loudest times, cut out and put back."""

from __future__ import annotations

import torch

from lightning_itwin.models.glitch_events import add_events, cut_events, fading, find_events


def two_bursts() -> torch.Tensor:
    time = torch.arange(1024.0)
    first = 5.0 * torch.exp(-(((time - 300) / 10) ** 2))
    second = 3.0 * torch.exp(-(((time - 800) / 10) ** 2))
    return torch.stack([first + second, torch.zeros(1024)])


def test_events_are_found_from_loud_to_quiet() -> None:
    series = two_bursts()
    events = find_events(series, 128, most=3, lowest_snr=1.0)
    assert events.centre[0, :2].tolist() == [300, 800]
    assert events.snr[1].tolist() == [0.0, 0.0, 0.0]
    assert events.snr[0, 2] == 0.0
    torch.testing.assert_close(events.snr[0, 0], series[0, :600].norm(), rtol=1e-3, atol=1e-3)


def test_pieces_come_back_to_their_places() -> None:
    series = two_bursts()
    centre = torch.tensor([[300, 800], [0, 1023]])
    pieces = cut_events(series, centre, 128)
    assert pieces.shape == (2, 2, 128)
    torch.testing.assert_close(pieces[0, 0], series[0, 236:364])
    back = add_events(torch.zeros(2, 1024), pieces, centre)
    torch.testing.assert_close(back, series, rtol=0, atol=1e-4)
    several = add_events(torch.zeros(3, 2, 1024), pieces.expand(3, -1, -1, -1), centre)
    torch.testing.assert_close(several, back.expand(3, -1, -1))


def test_the_ends_fade() -> None:
    weights = fading(128, torch.zeros(1))
    assert weights.shape == (128,)
    assert weights[0] < 0.02
    assert weights[64] == 1.0
    torch.testing.assert_close(weights, weights.flip(0))
