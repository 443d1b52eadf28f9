"""How far a long computation is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

_PLAIN_LINE_EVERY_S = 10.0


class Progress:
    """Shows progress on standard error, with the time that is left.

    Args:
        what: the things that are counted.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None
        self._begun: tuple[float, int] | None = None
        self._told_s = 0.0

    def __call__(self, done: int, of: int) -> None:
        """Show that ``done`` of ``of`` are done."""
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=of, initial=done, unit=f" {self._what}", smoothing=0.05)
            self._bar.update(done - self._bar.n)
            if done == of:
                self._bar.close()
            return
        now_s = time.monotonic()
        if self._begun is None:
            self._begun = (now_s, done)
        elif now_s - self._told_s < _PLAIN_LINE_EVERY_S and done != of:
            return
        self._told_s = now_s
        begun_s, before = self._begun
        line = f"{done} of {of} {self._what}"
        if before < done < of:
            line += f", {duration((of - done) * (now_s - begun_s) / (done - before))} left"
        print(line, file=sys.stderr, flush=True)


def duration(time_s: float) -> str:
    """Write a duration.

    >>> duration(3661.4)
    '1:01:01'
    """
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
