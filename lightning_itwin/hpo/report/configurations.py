"""Rows joined to configurations: one set of hyperparameters, all its segments, one learning curve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning_itwin.hpo.study_reading import StudyRecord, StudyRow

STATES = ("complete", "stopped", "paused", "failed", "diverged", "running", "lost", "waiting")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One set of hyperparameters and all that was trained with it.

    Args:
        number: of its first row.
        baseline: whether it is the user's own.
        state: of its last row.
        value: its best value; None where it has none.
        best_epoch: of that value, counted from 1.
        params: value by key.
        curve: value by epoch, counted from 1; NaN where it diverged.
        epochs: that were trained for it, those that were lost and trained again included.
        rows: its segments.
    """

    number: int
    baseline: bool
    state: str
    value: float | None
    best_epoch: int | None
    params: Mapping[str, Any]
    curve: Mapping[int, float]
    epochs: int
    rows: tuple[StudyRow, ...]

    @property
    def reached(self) -> int:
        """Last epoch of its curve."""
        return max(self.curve, default=0)

    @property
    def reason(self) -> str:
        """Why its last row failed, was lost or diverged."""
        return self.rows[-1].reason

    def at(self, epoch: int) -> float | None:
        """Give the value of an epoch; None where it has none that is a number."""
        value = self.curve.get(epoch, math.nan)
        return value if math.isfinite(value) else None


def configurations(study: StudyRecord) -> tuple[Configuration, ...]:
    """Join the rows of a study, in the order of the configurations' numbers."""
    rows: dict[int, list[StudyRow]] = {}
    for row in study.rows:
        rows.setdefault(row.configuration, []).append(row)
    return tuple(_join(number, tuple(rows[number]), study.sign) for number in sorted(rows))


def ranked(found: tuple[Configuration, ...], sign: float) -> list[Configuration]:
    """Sort those that have a value, the best first.

    Args:
        found: of :func:`configurations`.
        sign: 1 where lower values are better, else -1.
    """
    valued = [one for one in found if one.value is not None]
    return sorted(valued, key=lambda one: (sign * (one.value or 0.0), one.number))


def _join(number: int, rows: tuple[StudyRow, ...], sign: float) -> Configuration:
    curve: dict[int, float] = {}
    for row in rows:
        curve |= row.curve
    valued = [row for row in rows if row.value is not None]
    best = min(valued, key=lambda row: (sign * (row.value or 0.0), row.number), default=None)
    return Configuration(
        number=number,
        baseline=any(row.baseline for row in rows),
        state=rows[-1].state,
        value=None if best is None else best.value,
        best_epoch=None if best is None else best.best_epoch,
        params=next((row.params for row in reversed(rows) if row.params), {}),
        curve=dict(sorted(curve.items())),
        epochs=sum(row.epochs for row in rows),
        rows=rows,
    )
