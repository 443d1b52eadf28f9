"""What a study knew when: its best value by epochs spent and by wall time."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.hpo.study_reading import StudyRecord, StudyRow

EpochTimes = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A moment at which the study had a better value than ever before.

    Args:
        epochs: spent on all trainings until then.
        wall_s: since the first training began; None where the rows do not tell.
        value: the best until then.
        configuration: that gave it.
        epoch: of that configuration's training.
    """

    epochs: int
    wall_s: float | None
    value: float
    configuration: int
    epoch: int


@dataclass(frozen=True, kw_only=True)
class History:
    """The course of a study.

    Args:
        steps: the improvements, the first value among them.
        ends: epochs spent in all, and seconds since the start, when each row had reported its last epoch.
        epochs: spent in all.
        wall_s: from the start of the first row to the end of the last one; None where the rows do not tell.
        started_unix_s: of the first row.
    """

    steps: tuple[Step, ...]
    ends: Mapping[int, tuple[int, float | None]]
    epochs: int
    wall_s: float | None
    started_unix_s: float | None


def read_epoch_times(folder: Path) -> dict[int, dict[int, float]]:
    """Read from the trials' folders when each epoch was reported, by row.

    Args:
        folder: of the study.
    """
    found: dict[int, dict[int, float]] = {}
    for path in folder.glob("trials/*/reports.jsonl"):
        if not path.parent.name.isdigit():
            continue
        times = found.setdefault(int(path.parent.name), {})
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                times[int(row["epoch"])] = float(row["time_unix_s"])
            except (ValueError, TypeError, KeyError):  # half a line of a killed process
                continue
    return found


def history(study: StudyRecord, times: EpochTimes | None = None, now_unix_s: float | None = None) -> History:
    """Put the epochs of all rows in the order in which they happened.

    An epoch whose time is not known lies where an even pace between its row's start and end puts it.

    Args:
        study: the rows.
        times: of :func:`read_epoch_times`.
        now_unix_s: end of the rows that still run.
    """
    starts = [row.started_unix_s for row in study.rows if row.started_unix_s is not None]
    first = min(starts, default=None)
    events: list[tuple[float, int, int, float]] = []
    for row in study.rows:
        moments = _moments(row, (times or {}).get(row.number, {}), now_unix_s)
        events += [
            (moments[epoch], row.number, epoch, value)
            for epoch, value in row.curve.items()
            if epoch > row.from_epoch
        ]
    known = first is not None
    events.sort(key=lambda event: event[:3])
    configuration = {row.number: row.configuration for row in study.rows}
    steps: list[Step] = []
    ends: dict[int, tuple[int, float | None]] = {}
    for spent, (moment, row_number, epoch, value) in enumerate(events, start=1):
        wall_s = moment - first if known and first is not None else None
        ends[row_number] = (spent, wall_s)
        if math.isfinite(value) and (not steps or study.sign * value < study.sign * steps[-1].value):
            steps.append(
                Step(
                    epochs=spent,
                    wall_s=wall_s,
                    value=value,
                    configuration=configuration[row_number],
                    epoch=epoch,
                )
            )
    last = [row.ended_unix_s or now_unix_s for row in study.rows if row.started_unix_s is not None]
    latest = max((moment for moment in last if moment is not None), default=None)
    return History(
        steps=tuple(steps),
        ends=ends,
        epochs=sum(row.epochs for row in study.rows),
        wall_s=None if first is None or latest is None else max(0.0, latest - first),
        started_unix_s=first,
    )


def _moments(row: StudyRow, times: Mapping[int, float], now_unix_s: float | None) -> dict[int, float]:
    """Give when each epoch ended; rows without times follow each other by their numbers."""
    epochs = [epoch for epoch in row.curve if epoch > row.from_epoch]
    if not epochs:
        return {}
    if row.started_unix_s is None:
        return {epoch: float(row.number) for epoch in epochs}
    end = row.ended_unix_s or now_unix_s or row.started_unix_s
    count = max(epochs) - row.from_epoch
    pace = (end - row.started_unix_s) / count
    return {epoch: times.get(epoch, row.started_unix_s + pace * (epoch - row.from_epoch)) for epoch in epochs}
