"""The flow against a distribution that is known."""

from __future__ import annotations

import pytest
import torch

from lightning_itwin.models.glitch_latent_flow import LatentFlow


def test_a_conditional_gaussian_is_learned() -> None:
    torch.manual_seed(0)
    condition = torch.randn(4000, 1)
    mixing = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    values = torch.cat([condition, -condition], dim=1) * 3.0 + torch.randn(4000, 2) @ mixing.T
    flow = LatentFlow(2, 1, width=64, blocks=2)
    flow.standardise(values, condition)
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    for _ in range(500):
        rows = torch.randint(4000, (256,))
        optimizer.zero_grad()
        flow.loss(values[rows], condition[rows]).backward()
        optimizer.step()
    given = torch.full((4000, 1), 1.0)
    with torch.no_grad():
        drawn = flow.sample(given, steps=8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn.mean(dim=0), torch.tensor([3.0, -3.0]), rtol=0, atol=0.35)
    torch.testing.assert_close(torch.cov(drawn.T), mixing @ mixing.T, rtol=0, atol=0.9)


def test_without_conditions_and_with_one_seed() -> None:
    flow = LatentFlow(3, 0, width=8, blocks=1)
    nothing = torch.zeros(5, 0)
    first = flow.sample(nothing, 2, torch.Generator().manual_seed(3))
    second = flow.sample(nothing, 2, torch.Generator().manual_seed(3))
    assert first.shape == (5, 3)
    assert torch.equal(first, second)


def test_a_coordinate_without_spread_stays_finite() -> None:
    flow = LatentFlow(2, 1, width=8, blocks=1)
    values = torch.stack([torch.randn(20), torch.zeros(20)], dim=1)
    flow.standardise(values, torch.ones(20, 1))
    assert torch.isfinite(flow.loss(values, torch.ones(20, 1)))
    assert flow.scale[1] == pytest.approx(1e-3 * float(flow.scale[0]), rel=1e-3)
