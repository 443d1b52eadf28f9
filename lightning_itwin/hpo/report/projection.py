"""Values brought to one length of training, to compare what was paused early with what was not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise

from lightning_itwin.hpo.report.configurations import Configuration


def expected_ends(found: Sequence[Configuration], sign: float) -> dict[int, float]:
    """Expect the best value at the last epoch that any configuration reached, by its number.

    From one epoch at which training ended to the next, a value goes on by the median factor (or step, where
    values are not all positive) of the configurations that went on: the chain ladder of actuaries. Those
    that went on were the better ones, so the rest is flattered a little; without it, it would be damned much.

    What diverged would not have ended: it is given the worst of the others' ends.

    Args:
        found: the configurations; those without a value are left out.
        sign: 1 where lower values are better, else -1.

    Reference:
        T. Mack, ASTIN Bulletin 23, 213 (1993).
    """
    valued = [one for one in found if one.value is not None and one.state != "diverged"]
    positive = all(value > 0 for one in valued for value in one.curve.values() if math.isfinite(value))
    forth: Callable[[float], float] = math.log if positive else float
    back: Callable[[float], float] = math.exp if positive else float
    levels = sorted({one.reached for one in valued})
    running = {one.number: _running_best(one, levels, sign, forth) for one in valued}
    ahead = {levels[-1]: 0.0} if levels else {}
    for early, late in reversed(list(pairwise(levels))):
        steps = [best[late] - best[early] for best in running.values() if late in best and early in best]
        ahead[early] = ahead[late] + (statistics.median(steps) if steps else 0.0)
    ends = {
        one.number: back(running[one.number][one.reached] + ahead[one.reached])
        for one in valued
        if one.reached in running[one.number]
    }
    if ends:
        worst = max(ends.values(), key=lambda value: sign * value)
        ends |= {one.number: worst for one in found if one.state == "diverged" and one.value is not None}
    return ends


def _running_best(
    one: Configuration, levels: Sequence[int], sign: float, forth: Callable[[float], float]
) -> dict[int, float]:
    """Give the best value until each level that the configuration reached."""
    found: dict[int, float] = {}
    best = math.inf
    curve = sorted(one.curve.items())
    for level in levels:
        if level > one.reached:
            break
        told = [sign * value for epoch, value in curve if epoch <= level and math.isfinite(value)]
        best = min(told, default=best)
        if math.isfinite(best):
            found[level] = forth(sign * best)
    return found
