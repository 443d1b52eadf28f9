"""The clock of an epoch: training time without validation, intervals between batches, waiting for data.

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
        time_s: from the start of the epoch to the end of its last batch, less validation in between.
        validation_s: validation within the epoch and after its last batch.
        validation_steps: batches of it.
        steps: batches.
        samples: samples of the batches; None if one of them had no size.
        step_time_median_s, step_time_p95_s: of the intervals from one batch's end to the next one's, those
            with a validation in between left out; None with fewer than two batches.
        data_wait_s: time between the end of a batch (or the start of the epoch, or of a validation) and the
            start of the next one.
    """

    time_s: float
    validation_s: float
    validation_steps: int
    steps: int
    samples: int | None
    step_time_median_s: float | None
    step_time_p95_s: float | None
    data_wait_s: float


class EpochClock:
    """Adds up one epoch at a time.

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
        self.epoch_start(0.0)

    def epoch_start(self, now_s: float) -> None:
        """Begin an epoch; the one before is forgotten."""
        self._start_s = self._mark_s = self._last_batch_end_s = now_s
        self._validation_start_s: float | None = None
        self._validation_s = 0.0
        self._validation_before_last_batch_s = 0.0
        self._validation_steps = 0
        self._steps = 0
        self._samples: int | None = 0
        self._data_wait_s = 0.0
        self._intervals_s: deque[float] = deque(maxlen=_STEPS_KEPT)
        self._interrupted = True

    def batch_start(self, now_s: float) -> None:
        """Note that a batch has arrived and its step begins."""
        self._data_wait_s += now_s - self._mark_s

    def batch_end(self, now_s: float, samples: int | None) -> None:
        """Note that a step has ended; ``samples`` is the size of its batch, None where it has none."""
        if not self._interrupted:
            self._intervals_s.append(now_s - self._mark_s)
        self._interrupted = False
        self._mark_s = self._last_batch_end_s = now_s
        self._validation_before_last_batch_s = self._validation_s
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

    def read(self) -> EpochReading:
        """Tell of the epoch so far."""
        median, p95 = np.quantile(self._intervals_s, (0.5, 0.95)) if self._intervals_s else (None, None)
        return EpochReading(
            time_s=self._last_batch_end_s - self._start_s - self._validation_before_last_batch_s,
            validation_s=self._validation_s,
            validation_steps=self._validation_steps,
            steps=self._steps,
            samples=self._samples,
            step_time_median_s=None if median is None else float(median),
            step_time_p95_s=None if p95 is None else float(p95),
            data_wait_s=self._data_wait_s,
        )
