"""The progress of a study: trials, stopped ones, the best and its gain, the time that is left."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from tqdm import tqdm

from lightning_itwin.hpo.best import percent
from lightning_itwin.hpo.driver import Driver
from lightning_itwin.hpo.study_reading import StudyRecord

_STEPS = 1000
_LINE_S = 60.0


class Progress:
    """Shows how far a study is, as the share of its budget that is used.

    A bar in a terminal; in a file, such as the log of a batch job, a line a minute at most.

    Args:
        silent: whether nothing is shown.
        stream: where to; None for the standard error.
    """

    def __init__(self, silent: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._silent = silent
        self._in_lines = not self._stream.isatty()
        self._bar = tqdm(
            total=_STEPS,
            dynamic_ncols=True,
            disable=silent or self._in_lines,
            file=self._stream,
            bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}",
        )
        self._start_s = time.monotonic()
        self._said_s = float("-inf")
        self._begun: float | None = None
        self._line = ""
        self._told: set[int] = set()

    def __call__(self, driver: Driver) -> None:
        if self._silent:
            return
        record = driver.study.record()
        share = driver.budget.share(driver.spent(), finished(record))
        if self._begun is None:  # what an earlier call has done says nothing about this one's speed
            self._begun = share
            self._bar.initial = self._bar.n = int(_STEPS * share)
        self._bar.update(int(_STEPS * share) - self._bar.n)
        for row in record.rows:
            if row.state in ("failed", "lost", "diverged") and row.number not in self._told:
                self._told.add(row.number)
                self._write(f"trial {row.number}: {row.state}: {row.reason}")
        if self._line != (line := summary(record, driver.queued)):
            if self._in_lines:
                self._say(share, line)
            else:
                self._line = line
                self._bar.set_postfix_str(line)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()

    def _write(self, text: str) -> None:
        if self._in_lines:
            print(text, file=self._stream, flush=True)
        else:
            self._bar.write(text, file=self._stream)

    def _say(self, share: float, line: str) -> None:
        now = time.monotonic()
        if now - self._said_s < _LINE_S and share < 1:
            return
        self._said_s, self._line = now, line
        gone, done = now - self._start_s, share - (self._begun or 0.0)
        left = f", {tqdm.format_interval(gone / done * (1 - share))} left" if done > 0 else ""
        self._write(f"{share:4.0%} after {tqdm.format_interval(gone)}{left}: {line}")


def finished(record: StudyRecord) -> int:
    """Count the configurations of which nothing runs or waits."""
    busy = {row.configuration for row in record.rows if row.state in ("running", "waiting")}
    return len({row.configuration for row in record.rows} - busy)


def summary(record: StudyRecord, queued: int = 0) -> str:
    """Say in one line how a study stands.

    Counted are configurations: ``stopped`` are those of which nothing runs and that were not trained to their
    end.

    Args:
        record: the study's rows.
        queued: how many of those that run wait for a scheduler.
    """
    last: dict[int, str] = {}
    for row in record.rows:
        last[row.configuration] = row.state
    states = list(last.values())
    stopped = sum(state in ("paused", "stopped", "diverged") for state in states)
    parts = [
        f"{len(states)} trial{'' if len(states) == 1 else 's'}",
        f"{states.count('running') - queued} running",
        *([f"{queued} in the queue"] if queued else []),
        f"{stopped} stopped",
        f"{states.count('complete')} complete",
    ]
    if failed := states.count("failed") + states.count("lost"):
        parts.append(f"{failed} failed")
    winner, baseline = record.winner, record.baseline
    if winner is not None and winner.value is not None:
        best = f"best {record.plan.metric} {winner.value:.5g} (trial {winner.number}"
        gain = record.improvement_percent(winner.value, baseline.value if baseline else None)
        if gain is not None and not winner.baseline:
            best += f", {percent(gain, record.plan.direction)} the baseline"
        best += ")"
        parts.append(best)
    return ", ".join(parts)
