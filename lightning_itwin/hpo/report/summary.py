"""A study in numbers: what it found, what it cost, what came of its configurations."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_itwin.hpo.report.configurations import Configuration, ranked
from lightning_itwin.hpo.study_reading import StudyRecord
from lightning_itwin.reports.statistics import student_t_quantile

ENDED = ("complete", "paused", "stopped", "diverged", "failed", "lost")


@dataclass(frozen=True, kw_only=True)
class Gain:
    """By how much one value is better than another, in percent of the other.

    Args:
        percent: positive where it is better.
        low, high: 95 % interval; None where the repeats do not give one.
        repeats: trainings of each side; 0 where there were none.
    """

    percent: float
    low: float | None = None
    high: float | None = None
    repeats: int = 0

    @property
    def decided(self) -> bool:
        """Whether the interval leaves no doubt about which is better."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is said of a study.

    Args:
        best: the configuration with the best value; None where there is no value.
        baseline: the user's own; None where it has no value.
        gain: of the best value; None where one of the two is missing.
        repeated: gain with other seeds; None where none were run.
        counts: configurations by the state of their last row.
        configurations: that were begun.
        epochs: spent on all trainings.
        full_epochs: that whole trainings of the same configurations would have taken.
        retried: rows that tried a lost one again.
        running: whether a row still runs or waits.
    """

    best: Configuration | None
    baseline: Configuration | None
    gain: Gain | None
    repeated: Gain | None
    counts: dict[str, int]
    configurations: int
    epochs: int
    full_epochs: int
    retried: int
    running: bool

    @property
    def epochs_percent(self) -> float | None:
        """Epochs that were spent, in percent of the whole trainings' ones."""
        return 100.0 * self.epochs / self.full_epochs if self.full_epochs else None


def summarise(
    study: StudyRecord,
    found: tuple[Configuration, ...],
    repeats: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> Summary:
    """Sum a study up.

    Args:
        study: the rows.
        found: its configurations.
        repeats: values of the best and of the baseline with other seeds.
    """
    order = ranked(found, study.sign)
    baseline = next((one for one in order if one.baseline), None)
    best = order[0] if order else None
    begun = [one for one in found if one.state != "waiting" or one.curve]
    counts: dict[str, int] = {}
    for one in begun:
        counts[one.state] = counts.get(one.state, 0) + 1
    percent = study.improvement_percent(best.value if best else None, baseline.value if baseline else None)
    return Summary(
        best=best,
        baseline=baseline,
        gain=None if percent is None else Gain(percent=percent),
        repeated=gain(*repeats, study.sign),
        counts=counts,
        configurations=len(begun),
        epochs=sum(row.epochs for row in study.rows),
        full_epochs=len(begun) * study.max_epochs,
        retried=sum(row.retry_of is not None for row in study.rows),
        running=any(row.state in ("running", "waiting") for row in study.rows),
    )


def gain(first: Sequence[float], second: Sequence[float], sign: float) -> Gain | None:
    """Compare the means of two series; None where one is empty or the second one's mean is zero.

    The interval is Fieller's for the ratio of two means, with Welch's degrees of freedom (rounded down):
    repeats of two configurations differ in spread, and the baseline's mean is as uncertain as the winner's.

    Args:
        first, second: values with other seeds.
        sign: 1 where lower values are better, else -1.

    Reference:
        E. C. Fieller, Journal of the Royal Statistical Society B 16, 175 (1954);
        B. L. Welch, Biometrika 34, 28 (1947).

    >>> found = gain([0.60, 0.62, 0.58], [1.00, 1.02, 0.98], 1.0)
    >>> round(found.percent, 3), round(found.low, 1), round(found.high, 1), found.decided
    (40.0, 35.6, 44.2, True)
    """
    if not first or not second or not statistics.fmean(second):
        return None
    base, mean = statistics.fmean(second), statistics.fmean(first)
    percent = 100.0 * sign * (base - mean) / abs(base)
    repeats = min(len(first), len(second))
    if repeats < 2:
        return Gain(percent=percent, repeats=repeats)
    ratio = mean / base
    v_first, v_second = (statistics.variance(one) / len(one) for one in (first, second))
    spread = v_first + ratio**2 * v_second
    if spread == 0:
        return Gain(percent=percent, low=percent, high=percent, repeats=repeats)
    parts = v_first**2 / (len(first) - 1) + (ratio**2 * v_second) ** 2 / (len(second) - 1)
    quantile = student_t_quantile(0.975, max(1, math.floor(spread**2 / parts)))
    tightness = quantile**2 * v_second / base**2
    if tightness >= 1:  # the baseline's mean may be zero: any ratio is possible
        return Gain(percent=percent, repeats=repeats)
    half = quantile / abs(base) * math.sqrt(spread - tightness * v_first)
    ends = [(ratio + side * half) / (1 - tightness) for side in (-1, 1)]
    side = 1.0 if base > 0 else -1.0
    bounds = sorted(100.0 * sign * side * (1 - end) for end in ends)
    return Gain(percent=percent, low=bounds[0], high=bounds[1], repeats=repeats)
