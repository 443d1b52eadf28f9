"""Which time is used, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PARTS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Which time is used, beside what gaps and samples that are not finite leave.

    Args:
        files: segment files; time outside all of them is left out. Segwizard's columns, or GPS start and end.
        veto_files: segment files; time inside any of them is left out.
        flags: names of flags that must be set where the files have GWOSC's masks, such as ``DATA``,
            ``CBC_CAT1`` or ``NO_CBC_HW_INJ``; None asks for the first two where they are there, an empty list
            for nothing.
        gps_start_s: time before it is left out.
        gps_end_s: time after it is left out.
        leave_out_faulty: whether witnesses that cannot be used (missing, constant, nowhere finite, copies)
            are left out with a word, where they would be refused. What a model was trained with it needs
            again: use it to find a list of channels that works.

    Raises:
        ValueError: the end is not after the start.
    """

    files: Sequence[str] = ()
    veto_files: Sequence[str] = ()
    flags: Sequence[str] | None = None
    gps_start_s: float | None = None
    gps_end_s: float | None = None
    leave_out_faulty: bool = False

    def __post_init__(self) -> None:
        if None not in (self.gps_start_s, self.gps_end_s) and not self.gps_start_s < self.gps_end_s:  # type: ignore[operator]
            raise ValueError(
                f"gps_start_s must lie before gps_end_s, not {self.gps_start_s} and {self.gps_end_s}."
            )


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """How the time that can be used is dealt out, in the order of time.

    Args:
        train: share of it.
        val: share of it.
        test: share of it; together at most 1, what is left is left out.
        guard_s: time left out between one part and the next; more is, where a slow channel's resampling
            reaches further.

    Raises:
        ValueError: a share is negative, or they are more than 1 together, or nothing is for training or test.
    """

    train: float = 0.60
    val: float = 0.15
    test: float = 0.25
    guard_s: float = 4.0

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if min(shares) < 0 or not 0 < sum(shares) <= 1 + 1e-9 or self.guard_s < 0:
            raise ValueError(
                "train, val and test must be shares from 0 to 1, together above 0 and at most 1, and guard_s "
                f"at least 0, not {self.train}, {self.val}, {self.test} and {self.guard_s}."
            )

    def parts(self, segments: np.ndarray, guard: int) -> dict[str, np.ndarray]:
        """Deal out segments.

        Args:
            segments: ranges of samples, rising, int64 (S, 2).
            guard: samples left out between two parts.

        Returns:
            Ranges of samples by part, int64 (S, 2) each; ``"all"`` has all of them.
        """
        lengths = segments[:, 1] - segments[:, 0]
        before = np.concatenate([[0], np.cumsum(lengths)])  # samples in use before each segment
        shares = {name: getattr(self, name) for name in PARTS}
        guards = max(0, sum(share > 0 for share in shares.values()) - 1)
        samples = max(0, int(before[-1]) - guards * guard)
        found = {"all": segments}
        begin = 0
        for name, share in shares.items():
            end = begin + int(share * samples)
            first = np.maximum(begin - before[:-1], 0) + segments[:, 0]
            last = np.minimum(end - before[:-1], lengths) + segments[:, 0]
            there = last > first
            found[name] = np.stack([first[there], last[there]], axis=1)
            begin = end + guard if share > 0 else end
        return found
