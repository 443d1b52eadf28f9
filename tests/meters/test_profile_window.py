from __future__ import annotations

import pytest

from lightning_itwin.meters.profile_window import TimeBudget, WindowPlan, plan_window


@pytest.mark.parametrize(
    ("left", "warmup", "steps"),
    [(None, 3, 10), (1000, 3, 10), (13, 3, 10), (12, 3, 9), (6, 3, 3), (5, 2, 3), (2, 1, 1), (1, 0, 1)],
)
def test_a_shorter_training_gets_a_shorter_window(left: int | None, warmup: int, steps: int) -> None:
    plan = plan_window(warmup_steps=3, window_steps=10, steps_left=left)
    assert plan == WindowPlan(warmup_steps=warmup, steps=steps)


def test_the_first_window_is_granted_and_the_next_ones_are_paid_for() -> None:
    budget = TimeBudget(1 / 128)
    assert budget.grants(elapsed_s=0.0)
    budget.spend(0.125)
    assert not budget.grants(elapsed_s=31.9)
    assert budget.grants(elapsed_s=32.0)
    budget.spend(0.375)
    assert not budget.grants(elapsed_s=95.9)
    assert budget.grants(elapsed_s=96.0)
    assert budget.percent_of(50.0) == 1.0
    assert budget.percent_of(0.0) == 0.0
