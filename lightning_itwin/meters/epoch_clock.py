"""The clock of an epoch: training time without validation and checkpoints, intervals, waiting for data.

The clock reads no time itself: every method takes ``now_s``, so that a test can state exact numbers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_STEPS_KEPT = 4096  # the newest intervals of an epoch: the memory does not grow with its length


@dataclass(frozen=True, kw_only=True)
class EpochReading:
    """What the clock tells of one epoch.

    Args:
        time_s: from the start of the epoch to the end of its last batch, less validation and checkpoints in
            between.
        validation_s: validation within the epoch and after its last batch.
        validation_steps: batches of it.
        steps: batches.
        samples: samples of the batches; None if one of them had no size.
        step_time_median_s, step_time_p95_s: of the intervals from one batch's end to the next one's, those
            with a validation in between left out; None with fewer than two batches.
        data_wait_s: time from when a batch is asked for to the start of its step, of the batches that were
            trained; where nobody says when it is asked for, from the end of the one before (or the start of
            the epoch, or the end of a validation).
    """

    time_s: float
    validation_s: float
    validation_steps: int
    steps: int
    samples: int | None
    step_time_median_s: float | None
    step_time_p95_s: float | None
    data_wait_s: float


@dataclass(frozen=True, kw_only=True)
class ClockTotals:
    """What all epochs of a training come to, the unfinished one included.

    Args:
        epochs_s: sum of ``EpochReading.time_s``.
        data_wait_s: thereof waiting for batches.
        validation_s: validation.
        checkpoint_s: saving checkpoints outside of validation.
    """

    epochs_s: float = 0.0
    data_wait_s: float = 0.0
    validation_s: float = 0.0
    checkpoint_s: float = 0.0


class EpochClock:
    """Adds up one epoch at a time, and all of them.

    >>> clock = EpochClock()
    >>> clock.epoch_start(0.0)
    >>> for start in (1.0, 4.0, 7.0):
    ...     clock.batch_start(start)
    ...     clock.batch_end(start + 2.0, samples=8)
    >>> reading = clock.read()
    >>> reading.time_s, reading.steps, reading.samples, reading.data_wait_s, reading.step_time_median_s
    (9.0, 3, 24, 3.0, 3.0)
    """

    def __init__(self) -> None:
        self._before = ClockTotals()
        self._checkpoint_s = 0.0  # of the whole training
        self._begin(0.0)

    def epoch_start(self, now_s: float) -> None:
        """Begin an epoch; of the one before, the totals alone are kept."""
        self._before = self.totals()
        self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        self._start_s = self._mark_s = self._last_batch_end_s = now_s
        self._asked_s: float | None = None
        self._validation_start_s: float | None = None
        self._validation_s = 0.0
        self._validation_before_last_batch_s = 0.0
        self._validation_steps = 0
        self._checkpoint_start_s: float | None = None
        self._checkpoint_before_last_batch_s = self._checkpoint_at_start_s = self._checkpoint_s
        self._steps = 0
        self._samples: int | None = 0
        self._data_wait_s = self._wait_s = 0.0
        self._intervals_s: deque[float] = deque(maxlen=_STEPS_KEPT)
        self._interrupted = True

    def batch_asked(self, now_s: float) -> None:
        """Note that the next batch is asked for; of several times before its step, the first counts."""
        if self._asked_s is None:
            self._asked_s = now_s

    def batch_start(self, now_s: float) -> None:
        """Note that a batch has arrived and its step begins."""
        since_s = self._mark_s if self._asked_s is None else max(self._mark_s, self._asked_s)
        self._wait_s, self._asked_s = now_s - since_s, None

    def batch_end(self, now_s: float, samples: int | None) -> None:
        """Note that a step has ended; ``samples`` is the size of its batch, None where it has none."""
        if not self._interrupted:
            self._intervals_s.append(now_s - self._mark_s)
        self._interrupted = False
        self._data_wait_s += self._wait_s
        self._wait_s = 0.0
        self._mark_s = self._last_batch_end_s = now_s
        self._validation_before_last_batch_s = self._validation_s
        self._checkpoint_before_last_batch_s = self._checkpoint_s
        self._steps += 1
        self._samples = None if samples is None or self._samples is None else self._samples + samples

    def validation_start(self, now_s: float) -> None:
        """Note that a validation begins."""
        self._validation_start_s = now_s

    def validation_batch(self) -> None:
        """Count a batch of validation."""
        self._validation_steps += 1

    def validation_end(self, now_s: float) -> None:
        """Note that a validation has ended."""
        if self._validation_start_s is not None:
            self._validation_s += now_s - self._validation_start_s
            self._validation_start_s = None
            self._mark_s = now_s
            self._interrupted = True

    def checkpoint_start(self, now_s: float) -> None:
        """Note that a checkpoint is being saved; within a validation it stays a part of that."""
        if self._validation_start_s is None:
            self._checkpoint_start_s = now_s

    def checkpoint_end(self, now_s: float) -> None:
        """Note that a checkpoint was saved."""
        if self._checkpoint_start_s is not None:
            self._checkpoint_s += now_s - self._checkpoint_start_s
            self._mark_s += now_s - self._checkpoint_start_s
            self._checkpoint_start_s = None

    def totals(self) -> ClockTotals:
        """Tell of all epochs so far."""
        before = self._before
        return ClockTotals(
            epochs_s=before.epochs_s + self._time_s,
            data_wait_s=before.data_wait_s + self._data_wait_s,
            validation_s=before.validation_s + self._validation_s,
            checkpoint_s=self._checkpoint_s,
        )

    @property
    def _time_s(self) -> float:
        paused_s = self._validation_before_last_batch_s
        paused_s += self._checkpoint_before_last_batch_s - self._checkpoint_at_start_s
        return self._last_batch_end_s - self._start_s - paused_s

    def read(self) -> EpochReading:
        """Tell of the epoch so far."""
        median, p95 = np.quantile(self._intervals_s, (0.5, 0.95)) if self._intervals_s else (None, None)
        return EpochReading(
            time_s=self._time_s,
            validation_s=self._validation_s,
            validation_steps=self._validation_steps,
            steps=self._steps,
            samples=self._samples,
            step_time_median_s=None if median is None else float(median),
            step_time_p95_s=None if p95 is None else float(p95),
            data_wait_s=self._data_wait_s,
        )
