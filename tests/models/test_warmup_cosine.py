import pytest
import torch

from lightning_itwin.models.warmup_cosine import warmup_cosine


def rates(num_steps, warmup_steps, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = warmup_cosine(optimizer, num_steps, warmup_steps)["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(steps):
        seen.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return seen


def test_it_rises_then_falls_to_zero_and_stays_there():
    cosine = [2.0, 1.0 + 0.5**0.5, 1.0, 1.0 - 0.5**0.5, 0.0, 0.0]
    assert rates(4, 1, 6) == pytest.approx(cosine)
    assert rates(4, 2, 6) == pytest.approx([1.0, *cosine[1:]])


def test_no_warm_up_and_no_steps_are_fine():
    assert rates(0, 0, 2) == pytest.approx([2.0, 0.0])
