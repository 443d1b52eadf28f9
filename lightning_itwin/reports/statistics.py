"""How sure a number is: medians of repeats with intervals, and which of two is faster.

Times are positive and vary by factors, so everything is done on logarithms: an interval of a time never
reaches zero, and a comparison is a ratio. What these intervals cover under known noise is measured by
``benchmarks/statistics_truth.py``.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 10_000
FEWEST_FOR_BOOTSTRAP = 5
FEWEST_FOR_RANKS = 6

# 95 % quantile of |sample median - median| / sample standard deviation for n normal values, n = 2, 3, 4.
# n = 2 is exact, t(0.975, 1) / sqrt(2); 3 and 4 from 2e7 simulated samples.
_MEDIAN_PIVOTS = {2: 8.985, 3: 2.544, 4: 1.637}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value and the bounds that hold the true one with 95 % confidence.

    Args:
        value: the estimate.
        low, high: the bounds; None where one value alone tells nothing of its spread.
    """

    value: float
    low: float | None
    high: float | None


def median_interval(values: Sequence[float]) -> Interval:
    """Give the median of repeats and its 95 % interval.

    Five and more repeats: the percentile bootstrap of the median (10,000 resamples of a fixed seed), its
    percentiles expanded to ``Phi(sqrt(n / (n - 1)) t(0.025, n - 1))`` for the narrowness of small samples.
    Two to four, from which resampling cannot make an interval that covers 95 % (that of three covers 75 % at
    best): the studentised median with the quantile that it has for normal noise. One: no interval.

    Args:
        values: one number a repeat, all > 0.

    Raises:
        ValueError: there are none, or not all are positive.

    Reference:
        B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapters 12 and 13;
        T. C. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 371
        (2015), section 5.3 (expanded percentiles).

    >>> median_interval([12.0])
    Interval(value=12.0, low=None, high=None)
    >>> found = median_interval([10.0, 10.1, 9.9, 10.2, 9.8])
    >>> found.value, round(found.low, 1), round(found.high, 1)
    (10.0, 9.8, 10.2)
    """
    if not len(values) or min(values) <= 0:
        raise ValueError(f"one positive number a repeat is needed, got {list(values)}")
    median = statistics.median(values)
    count = len(values)
    if count == 1:
        return Interval(value=median, low=None, high=None)
    logs = np.sort(np.log(values))
    if count < FEWEST_FOR_BOOTSTRAP:
        half = _MEDIAN_PIVOTS[count] * float(np.std(logs, ddof=1))
        return Interval(value=median, low=median * math.exp(-half), high=median * math.exp(half))
    chosen = np.random.default_rng(0).integers(0, count, size=(RESAMPLES, count))
    medians = np.median(logs[chosen], axis=1)
    tail = statistics.NormalDist().cdf(math.sqrt(count / (count - 1)) * student_t_quantile(0.025, count - 1))
    low, high = np.exp(np.quantile(medians, (tail, 1 - tail)))
    return Interval(value=median, low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How one of two compares with the other.

    Args:
        ratio: the first one's value over the second one's.
        low, high: 95 % interval of the ratio; None where single values tell nothing of their spread.
        rounds: pairs that the comparison rests on; 0 where it is not paired.
    """

    ratio: float
    low: float | None
    high: float | None
    rounds: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves no doubt which one is larger."""
        return self.low is not None and self.high is not None and (self.low > 1 or self.high < 1)


def compare(first: Mapping[Hashable, float], second: Mapping[Hashable, float]) -> Comparison:
    """Compare two series of repeats by the ratio of their values.

    Repeats of the same round are compared with each other, so that what slowed a whole round down cancels
    out. The ratios of six and more rounds: Hodges-Lehmann estimate with the interval of Wilcoxon's signed
    ranks, which holds for every symmetric noise (and a difference of two alike noises is symmetric). Of two
    to five: geometric mean with Student's t. Fewer than two rounds in common: medians, Welch's interval.

    Args:
        first, second: positive value by round.

    Raises:
        ValueError: one of them is empty.

    Reference:
        J. L. Hodges and E. L. Lehmann, Annals of Mathematical Statistics 34, 598 (1963);
        B. L. Welch, Biometrika 34, 28 (1947).

    >>> found = compare({0: 10.0, 1: 20.0, 2: 40.0}, {0: 5.0, 1: 10.0, 2: 20.0})  # the rounds differ 4 x
    >>> round(found.ratio, 6), round(found.low, 6), round(found.high, 6), found.decided
    (2.0, 2.0, 2.0, True)
    """
    if not first or not second:
        raise ValueError("nothing to compare: a series is empty")
    common = [key for key in first if key in second]
    if len(common) < 2:
        return _compare_unpaired(list(first.values()), list(second.values()))
    differences = np.array([math.log(first[key] / second[key]) for key in common])
    count = len(differences)
    if count < FEWEST_FOR_RANKS:
        centre = float(differences.mean())
        half = student_t_quantile(0.975, count - 1) * float(differences.std(ddof=1)) / math.sqrt(count)
        low, high = centre - half, centre + half
    else:
        rows, columns = np.triu_indices(count)
        walsh = np.sort((differences[rows] + differences[columns]) / 2)
        centre = float(np.median(walsh))
        beyond = _signed_rank_bound(count)
        low, high = float(walsh[beyond]), float(walsh[-1 - beyond])
    return Comparison(ratio=math.exp(centre), low=math.exp(low), high=math.exp(high), rounds=count)


def _compare_unpaired(first: Sequence[float], second: Sequence[float]) -> Comparison:
    ratio = statistics.median(first) / statistics.median(second)
    if min(len(first), len(second)) < 2:
        return Comparison(ratio=ratio, low=None, high=None, rounds=0)
    errors = [float(np.var(np.log(values), ddof=1)) / len(values) for values in (first, second)]
    spread = math.sqrt(sum(errors))
    degrees = min(len(first), len(second)) - 1
    if spread > 0:
        welch = sum(errors) ** 2 / sum(
            error**2 / (len(values) - 1) for error, values in zip(errors, (first, second))
        )
        degrees = max(degrees, math.floor(welch))
    half = student_t_quantile(0.975, degrees) * spread
    return Comparison(ratio=ratio, low=ratio * math.exp(-half), high=ratio * math.exp(half), rounds=0)


@functools.cache
def student_t_quantile(probability: float, degrees: int) -> float:
    """Give a quantile of Student's t distribution, by bisection of its cumulative distribution.

    Args:
        probability: in (0, 1).
        degrees: degrees of freedom, >= 1.

    Reference:
        M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.

    >>> tuple(round(student_t_quantile(0.975, degrees), 3) for degrees in (1, 2, 5, 19))
    (12.706, 4.303, 2.571, 2.093)
    """
    low, high = -1e6, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _student_t_cdf(value: float, degrees: int) -> float:
    angle = math.atan(value / math.sqrt(degrees))
    cosine = math.cos(angle)
    term = total = cosine if degrees % 2 else 1.0
    for step in range(2 + degrees % 2, degrees - 1, 2):
        term *= cosine**2 * (step - 1) / step
        total += term
    if degrees % 2 == 0:
        inside = math.sin(angle) * total
    elif degrees == 1:
        inside = 2 * angle / math.pi
    else:
        inside = 2 / math.pi * (angle + math.sin(angle) * total)
    return (1 + inside) / 2


@functools.cache
def _signed_rank_bound(count: int) -> int:
    """Give how many Walsh averages lie beyond each bound of the 95 % interval of ``count`` values."""
    ways = [1]
    for rank in range(1, count + 1):
        ways = [
            (ways[total] if total < len(ways) else 0) + (ways[total - rank] if total >= rank else 0)
            for total in range(len(ways) + rank)
        ]
    below, bound = 0, 0
    for total, number in enumerate(ways):
        below += number
        if below > (1 - CONFIDENCE) / 2 * 2**count:
            bound = total
            break
    return max(bound - 1, 0)
