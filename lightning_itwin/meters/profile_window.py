"""When a window of profiled steps lies, and whether another one is affordable."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """Steps before the window, and in it.

    Args:
        warmup_steps: steps that are left out first.
        steps: steps of the window.
    """

    warmup_steps: int
    steps: int


def plan_window(*, warmup_steps: int, window_steps: int, steps_left: int | None) -> WindowPlan:
    """Fit a window into the steps that are left; something is measured in any training.

    Args:
        warmup_steps: steps that one would like to leave out.
        window_steps: steps that one would like to measure.
        steps_left: steps until the training ends; None where nobody knows.

    >>> plan_window(warmup_steps=3, window_steps=10, steps_left=None)
    WindowPlan(warmup_steps=3, steps=10)
    >>> plan_window(warmup_steps=3, window_steps=10, steps_left=4)
    WindowPlan(warmup_steps=2, steps=2)
    """
    if steps_left is None:
        return WindowPlan(warmup_steps=warmup_steps, steps=window_steps)
    warmup = min(warmup_steps, steps_left // 2)
    return WindowPlan(warmup_steps=warmup, steps=min(window_steps, steps_left - warmup))


class TimeBudget:
    """Keeps what profiling costs below a share of the training time; the first window is always granted.

    Args:
        max_overhead: the share, above 0 and up to 1.

    >>> budget = TimeBudget(0.01)
    >>> budget.grants(elapsed_s=0.0)
    True
    >>> budget.spend(0.02)
    >>> budget.grants(elapsed_s=3.0), budget.grants(elapsed_s=5.0)
    (False, True)
    >>> budget.percent_of(4.0)
    0.5
    """

    def __init__(self, max_overhead: float) -> None:
        self._max_overhead = max_overhead
        self.windows = 0
        self.cost_s = 0.0

    def grants(self, *, elapsed_s: float) -> bool:
        """Say whether another window, as dear as those before, stays within the share of the time so far."""
        next_s = self.cost_s / self.windows if self.windows else 0.0
        return self.windows == 0 or self.cost_s + next_s <= self._max_overhead * elapsed_s

    def spend(self, cost_s: float) -> None:
        """Note what one window has cost."""
        self.windows += 1
        self.cost_s += cost_s

    def percent_of(self, time_s: float) -> float:
        """Give the cost of all windows so far as a share of ``time_s``, 0-100."""
        return 100.0 * self.cost_s / time_s if time_s > 0 else 0.0
