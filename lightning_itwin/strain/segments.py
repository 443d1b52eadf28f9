"""Segments of time: rows of start and end, half-open, in GPS seconds or in samples."""

# S segments

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import numpy as np

from lightning_itwin.strain.channel_pieces import ChannelError

NONE = np.zeros((0, 2))


def union(*segments: np.ndarray) -> np.ndarray:
    """Give the time that is in any of several lists of segments, in order and without overlap.

    Args:
        segments: (S, 2) each, in any order.

    >>> union(np.array([[5, 9], [0, 2]]), np.array([[2, 3]])).tolist()
    [[0, 3], [5, 9]]
    """
    rows = np.concatenate([np.asarray(one).reshape(-1, 2) for one in segments] or [NONE])
    rows = rows[rows[:, 1] > rows[:, 0]]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if not len(rows):
        return rows
    ends = np.maximum.accumulate(rows[:, 1])
    first = np.r_[True, rows[1:, 0] > ends[:-1]]
    last = np.r_[first[1:], True]
    return np.stack([rows[first, 0], ends[last]], axis=1)


def intersection(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give the time that is in both of two lists of segments.

    Args:
        one: (S, 2).
        other: (S, 2).

    >>> intersection(np.array([[0, 4], [6, 9]]), np.array([[3, 7]])).tolist()
    [[3, 4], [6, 7]]
    """
    one, other = union(one), union(other)
    if not len(one) or not len(other):
        return one[:0]
    # Each pair that overlaps: those of `other` that end behind the start and begin before the end of a row.
    first = np.searchsorted(other[:, 1], one[:, 0], side="right")
    last = np.searchsorted(other[:, 0], one[:, 1], side="left")
    count = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(one)), count)
    within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    partner = other[first[which] + within]
    rows = np.stack(
        [np.maximum(one[which, 0], partner[:, 0]), np.minimum(one[which, 1], partner[:, 1])], axis=1
    )
    return rows[rows[:, 1] > rows[:, 0]]


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give the time that is in the first list of segments and not in the second.

    Args:
        one: (S, 2).
        other: (S, 2).

    >>> difference(np.array([[0, 9]]), np.array([[2, 3], [8, 12]])).tolist()
    [[0, 2], [3, 8]]
    """
    one, other = union(one), union(other)
    if not len(one) or not len(other):
        return one
    edges = np.concatenate([[one[0, 0]], other.ravel(), [max(one[-1, 1], other[-1, 1])]])
    edges[0] = min(edges[0], other[0, 0])
    return intersection(one, edges.reshape(-1, 2))


def duration(segments: np.ndarray) -> float:
    """Give the time in segments, in their own unit.

    Args:
        segments: (S, 2).
    """
    return float((segments[:, 1] - segments[:, 0]).sum()) if len(segments) else 0.0


def runs_of(flags: np.ndarray) -> np.ndarray:
    """Give the ranges in which flags are set, (S, 2) int64.

    Args:
        flags: bool, (T,).

    >>> runs_of(np.array([True, True, False, True])).tolist()
    [[0, 2], [3, 4]]
    """
    change = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, dtype=np.int8), [0]])))
    return change.reshape(-1, 2).astype(np.int64)


def read_segments(path: str | Path) -> np.ndarray:
    """Read a segment file: GPS start and end a line, or segwizard's ``number start end duration``.

    ``#``, ``;`` and ``%`` begin comments; columns are parted by spaces, tabs or commas. Further columns, such
    as the probability in a veto list, are passed over.

    Args:
        path: text file.

    Returns:
        Segments in GPS seconds, in order and without overlap, float64 (S, 2).

    Raises:
        FileNotFoundError: there is no such file.
        ChannelError: a line cannot be read, or a segment ends before it begins.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"No such segment file: {file}")
    rows: list[list[float]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        words = [word for word in re.split(r"[\s,]+", re.split(r"[#;%]", line)[0].strip()) if word]
        if not words:
            continue
        try:
            values = [float(word) for word in words[:4]]
        except ValueError:
            if not rows:
                continue  # a heading
            raise ChannelError(f"Cannot read line {number} of {file}: {line.strip()!r}.") from None
        # segwizard: the fourth column is the difference of the second and the third
        if len(values) == 4 and abs(values[2] - values[1] - values[3]) < 1e-6 * max(1.0, values[3]):
            values = values[1:]
        if len(values) < 2 or values[1] < values[0]:
            raise ChannelError(f"Line {number} of {file} is no segment, start and end: {line.strip()!r}.")
        rows.append(values[:2])
    return union(np.array(rows, dtype=np.float64).reshape(-1, 2))


def write_segments(path: str | Path, segments: np.ndarray, heading: str = "") -> None:
    """Write segments as segwizard does: ``number start end duration``; the file appears whole or not at all.

    Args:
        path: text file; its folder is made.
        segments: GPS seconds, (S, 2).
        heading: what they are, a comment at the head of the file.
    """
    lines = [f"# {line}" for line in heading.splitlines()] + ["# seg\tstart\tstop\tduration"]
    lines += [
        f"{number}\t{start:.9f}\t{end:.9f}\t{end - start:.9f}"
        for number, (start, end) in enumerate(np.asarray(segments, dtype=np.float64).tolist())
    ]
    write_text(path, "\n".join(lines) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file that appears whole or not at all.

    Args:
        path: the file; its folder is made, an older file is replaced.
        text: its content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
