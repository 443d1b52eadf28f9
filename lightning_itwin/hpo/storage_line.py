"""The line from a training to its study: a thread that reports and asks; no training waits for it long."""

from __future__ import annotations

import functools
import math
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from lightning_itwin.hpo import policies
from lightning_itwin.hpo.storage import open_storage, storage_errors
from lightning_itwin.hpo.trial_folder import TrialSpec
from lightning_itwin.optional import require

if TYPE_CHECKING:
    import optuna

_Answer = TypeVar("_Answer")
_TRIES = 3
_PAUSE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the study said.

    Args:
        stop: whether the training ends here.
        best: best value of the whole study so far; None where it is not known.
    """

    stop: bool = False
    best: float | None = None


class StudyLine(Protocol):
    """What the thread does; its errors are those of :func:`~lightning_itwin.hpo.storage.storage_errors`."""

    def connect(self) -> None:
        """Open the storage, which reads what is in it; a second call does nothing."""

    def tell(self, epoch: int, value: float) -> Verdict:
        """Report a value and ask for the verdict."""


class RowLine:
    """The row of one trial in an Optuna study, and the policy that judges it.

    Args:
        spec: of the trial.
    """

    def __init__(self, spec: TrialSpec) -> None:
        self._spec = spec
        self._study: optuna.Study | None = None
        self._sign = -1.0 if spec.direction == "maximize" else 1.0
        self._finished: dict[int, float] = {}

    def tell(self, epoch: int, value: float) -> Verdict:
        self.connect()
        study = self._study
        assert study is not None
        self._trial.report(value, epoch)
        judged = self._policy is not None and self._policy.should_stop(study, self._trial)
        return Verdict(stop=judged, best=self._best(study, epoch))

    def connect(self) -> None:
        if self._study is not None:
            return
        optuna = require("optuna", extra="hpo")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.load_study(study_name=self._spec.study, storage=open_storage(self._spec.storage))
        self._trial = optuna.Trial(study, self._spec.trial_id)
        self._policy = policies.make_policy(**self._spec.policy) if self._spec.policy else None
        self._study = study

    def _best(self, study: optuna.Study, epoch: int) -> float | None:
        """Give the best value of the study without this report's."""
        best = math.inf
        for row in study.get_trials(deepcopy=False):
            if row.number not in self._finished:
                values = [
                    self._sign * value
                    for step, value in row.intermediate_values.items()
                    if not (row.number == self._spec.number and step == epoch) and not math.isnan(value)
                ]
                lowest = min(values, default=math.inf)
                if row.state.is_finished():
                    self._finished[row.number] = lowest
            else:
                lowest = self._finished[row.number]
            best = min(best, lowest)
        return self._sign * best if math.isfinite(best) else None


class StorageLine:
    """Hands values to a study in a thread of its own, and waits for its verdict no longer than a deadline.

    While the storage is frozen or gone the training goes on; what it could not say is said when the storage
    is back, in order. A verdict that comes late counts at the next epoch.

    Args:
        line: what the thread does.
        deadline_s: how long an epoch waits; none at all while an earlier one is still unanswered.
        warn: told once each time the storage stops answering.
    """

    def __init__(self, line: StudyLine, deadline_s: float, warn: Callable[[str], None] | None = None) -> None:
        self._line = line
        self._deadline_s = deadline_s
        self._warn = warn or (lambda text: print(text, file=sys.stderr, flush=True))
        self._queue: queue.Queue[tuple[int, float]] = queue.Queue()
        self._told = threading.Condition()
        self._answered = 0
        self._asked = 0
        self._verdict = Verdict()
        self._thread = threading.Thread(target=self._serve, name="study-line", daemon=True)
        self._thread.start()

    def ask(self, epoch: int, value: float) -> Verdict:
        """Report the value of an epoch; give the verdict, or the last one that is known."""
        with self._told:
            behind = self._answered < self._asked
            self._asked += 1
            self._queue.put((epoch, value))
            answered = self._told.wait_for(
                lambda: self._answered >= self._asked, 0.0 if behind else self._deadline_s
            )
            if not answered and not behind:
                self._warn(
                    f"the study's storage has not answered within {self._deadline_s:.0f} s; "
                    "the training goes on without its verdict"
                )
            return self._verdict

    def drain(self) -> bool:
        """Wait once more for what is unsaid, no longer than the deadline; say whether all was said."""
        with self._told:
            return self._told.wait_for(lambda: self._answered >= self._asked, self._deadline_s)

    def _serve(self) -> None:
        self._insist(self._line.connect)
        while True:
            epoch, value = self._queue.get()
            verdict = self._insist(functools.partial(self._line.tell, epoch, value))
            with self._told:
                self._answered += 1
                self._verdict = verdict
                self._told.notify_all()

    def _insist(self, call: Callable[[], _Answer]) -> _Answer:
        failed = 0
        while True:
            try:
                return call()
            except storage_errors() as error:
                failed += 1
                if failed == _TRIES:
                    self._warn(f"the study's storage cannot be reached: {type(error).__name__}: {error}")
            time.sleep(min(_PAUSE_S * 2**failed, 60.0))
