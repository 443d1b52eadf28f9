from __future__ import annotations

import random

import numpy as np
import pytest

from lightning_itwin.meters.intervals import (
    Intervals,
    difference,
    intersection,
    intervals,
    length_ns,
    no_intervals,
    union,
)

END = 60


def moments(spans: Intervals) -> set[int]:
    """The oracle: an interval as the set of its whole nanoseconds."""
    return {moment for start, end in spans.tolist() for moment in range(start, end)}


def drawn(source: random.Random) -> Intervals:
    spans = [sorted((source.randrange(END), source.randrange(END))) for _ in range(source.randrange(12))]
    return intervals((start, end) for start, end in spans)


def is_normal(spans: Intervals) -> bool:
    flat = spans.ravel()
    return bool((flat[1:] > flat[:-1]).all())


@pytest.mark.parametrize("seed", range(200))
def test_the_algebra_is_that_of_sets(seed: int) -> None:
    source = random.Random(seed)
    a, b = drawn(source), drawn(source)
    normal_a, normal_b = union(a), union(b)
    cases = [
        (union(a, b), moments(a) | moments(b)),
        (intersection(normal_a, normal_b), moments(a) & moments(b)),
        (difference(normal_a, normal_b), moments(a) - moments(b)),
    ]
    for found, wanted in cases:
        assert moments(found) == wanted
        assert length_ns(found) == len(wanted)
        assert is_normal(found)


def test_two_at_once_count_once() -> None:
    assert length_ns(union(intervals([(0, 10), (2, 12), (2, 5)]))) == 12


def test_nothing_is_no_special_case() -> None:
    nothing, some = no_intervals(), intervals([(1, 4)])
    assert length_ns(union()) == 0
    assert length_ns(intersection(nothing, some)) == 0
    assert difference(some, nothing).tolist() == [[1, 4]]
    assert difference(nothing, some).tolist() == []


def test_nanoseconds_since_the_epoch_stay_exact() -> None:
    now = 1_795_393_616_101_838_783
    spans = union(intervals([(now, now + 1), (now + 3, now + 4)]))
    assert spans.dtype == np.int64
    assert length_ns(spans) == 2
