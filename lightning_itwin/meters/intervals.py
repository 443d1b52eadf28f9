"""Interval algebra on a time line: union, intersection, difference, length.

Every function takes and gives sets of intervals as arrays of shape (N, 2), starts and ends in nanoseconds. A
set is *normal* when its intervals are sorted, disjoint and not empty; :func:`union` makes any set normal, and
the other functions want normal ones.
"""

# N intervals; column 0 starts, column 1 ends

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Intervals = npt.NDArray[np.int64]


def no_intervals() -> Intervals:
    """Give the empty set."""
    return np.empty((0, 2), dtype=np.int64)


def intervals(pairs: Iterable[tuple[int, int]]) -> Intervals:
    """Give the array of pairs of start and end, as they come.

    Args:
        pairs: starts and ends in ns.

    >>> intervals([(0, 3), (5, 6)]).tolist()
    [[0, 3], [5, 6]]
    """
    return np.array(list(pairs), dtype=np.int64).reshape(-1, 2)


def union(*sets: Intervals) -> Intervals:
    """Give the normal set of all times that lie in any interval of any set: two at once count once.

    Args:
        sets: each (N, 2), in any order, overlapping or empty.

    >>> union(intervals([(4, 9), (0, 2)]), intervals([(8, 12), (3, 3)])).tolist()
    [[0, 2], [4, 12]]
    """
    spans = np.concatenate([no_intervals(), *sets])
    spans = spans[spans[:, 1] > spans[:, 0]]
    if not len(spans):
        return no_intervals()
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    first = np.flatnonzero(np.concatenate([[True], spans[1:, 0] > reach[:-1]]))
    last = np.concatenate([first[1:], [len(spans)]]) - 1
    return np.stack([spans[first, 0], reach[last]], axis=1)


def intersection(a: Intervals, b: Intervals) -> Intervals:
    """Give the normal set of the times that lie in both sets.

    Args:
        a: (N, 2), normal.
        b: (M, 2), normal.

    >>> intersection(intervals([(0, 5), (8, 10)]), intervals([(3, 9)])).tolist()
    [[3, 5], [8, 9]]
    """
    if not len(a) or not len(b):
        return no_intervals()
    edges = np.concatenate([a.ravel(), b.ravel()])
    steps = np.tile(np.array([1, -1]), len(a) + len(b))
    order = np.argsort(edges, kind="stable")
    edges, depth = edges[order], np.cumsum(steps[order])
    both = np.flatnonzero(depth[:-1] == 2)
    return union(np.stack([edges[both], edges[both + 1]], axis=1))


def difference(a: Intervals, b: Intervals) -> Intervals:
    """Give the normal set of the times that lie in ``a`` and not in ``b``.

    Args:
        a: (N, 2), normal.
        b: (M, 2), normal.

    >>> difference(intervals([(0, 10)]), intervals([(2, 3), (8, 12)])).tolist()
    [[0, 2], [3, 8]]
    """
    if not len(a) or not len(b):
        return a
    first, last = min(a[0, 0], b[0, 0]), max(a[-1, 1], b[-1, 1])
    edges = np.concatenate([[first], b.ravel(), [last]]).reshape(-1, 2)
    return intersection(a, edges[edges[:, 1] > edges[:, 0]])


def length_ns(a: Intervals) -> int:
    """Give the time that a normal set covers.

    Args:
        a: (N, 2), normal.

    >>> length_ns(intervals([(0, 5), (8, 10)]))
    7
    """
    return int((a[:, 1] - a[:, 0]).sum())
