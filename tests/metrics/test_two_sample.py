"""The classifier two-sample test on sets that are equal, and on sets that are not."""

from __future__ import annotations

import pytest
import torch

from lightning_itwin.metrics.two_sample import area_under_roc, two_sample_auc


def test_equal_sets_are_not_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 200, 64, generator=generator)
    assert 0.38 < two_sample_auc(first, second, epochs=6) < 0.62


def test_different_sets_are() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 100, 64, generator=generator)
    second[:, 20:40] += 1.5
    assert two_sample_auc(first, second, epochs=6) > 0.95


def test_twins_do_not_push_it_below_chance() -> None:
    events = torch.randn(200, 64, generator=torch.Generator().manual_seed(2))
    assert two_sample_auc(events, events.clone(), epochs=12) == pytest.approx(0.5, abs=0.02)


def test_it_leaves_the_random_state_and_takes_inference_tensors() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with torch.inference_mode():
        two_sample_auc(torch.zeros(8, 32) + 1, torch.zeros(8, 32) + 1, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_area_counts_ties_half() -> None:
    assert area_under_roc(torch.zeros(4), torch.tensor([0, 1, 0, 1])) == 0.5


def test_refuses_sets_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at least 8 series of one length"):
        two_sample_auc(torch.zeros(4, 32), torch.zeros(40, 32))
    with pytest.raises(ValueError, match="of one length"):
        two_sample_auc(torch.zeros(40, 32), torch.zeros(40, 16))
