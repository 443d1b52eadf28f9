"""The driver: fills slots with what the policy asks for, and tells the study how each trial ended.

All that it knows stands in the study's rows and in the trials' folders, so that a killed driver can be
started again: it reads the results of trials that ended meanwhile, takes over those that still run, and
queues again those that are gone.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lightning_itwin.hpo import rows
from lightning_itwin.hpo.best import tidy
from lightning_itwin.hpo.budget import Budget, Spent, spent
from lightning_itwin.hpo.finishing import ask_to_finish
from lightning_itwin.hpo.lease import DriverIdentity, asking, fresh
from lightning_itwin.hpo.open_study import OpenStudy
from lightning_itwin.hpo.patience import Patience, StorageLostError
from lightning_itwin.hpo.policies import Segment
from lightning_itwin.hpo.storage import connection_errors
from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.hpo.trial_folder import TrialFolder
from lightning_itwin.hpo.worlds import Places, world_of, write_trial
from lightning_itwin.launch import Launcher, RunningWorld, WorldEnd
from lightning_itwin.launch.by_name import adopt
from lightning_itwin.launch.world import KILLED, SchedulerError, was_killed
from lightning_itwin.optional import MissingExtraError
from lightning_itwin.records.manifest import write_json

_POLL_S = 0.2
_ORPHANS_EVERY_S = 30.0
_ASK_EVERY_S = 5.0
_CLOCK = "clock.json"


@dataclass(kw_only=True)
class Running:
    """A trial that runs in a slot of this driver."""

    number: int
    slot: int
    folder: TrialFolder
    world: RunningWorld


class Driver:
    """Runs a study's trials on this machine.

    Args:
        study: that is open.
        places: what each slot has.
        launcher: what starts the worlds.
        identity: of this driver.
        joined: whether it helps another driver.
        announce: told after every change.
    """

    def __init__(
        self,
        study: OpenStudy,
        places: Places,
        launcher: Launcher,
        identity: DriverIdentity,
        *,
        joined: bool = False,
        announce: Callable[[Driver], None] | None = None,
    ) -> None:
        self.study = study
        self.places = places
        self.running: dict[int, Running] = {}
        self.budget = Budget(
            trials=study.plan.trials,
            epochs=study.plan.epochs,
            seconds=None if study.plan.hours is None else 3600.0 * study.plan.hours,
        )
        self._launcher = launcher
        self._identity = identity
        self._joined = joined
        self._announce = announce or (lambda driver: None)
        self._before_s = 0.0 if joined else _clock(study)
        self._started_s = time.monotonic()
        self._looked_s = -_ORPHANS_EVERY_S
        self._ask_at_s = 0.0
        self._queued = 0
        self._patience = Patience()

    def run(self) -> None:
        """Run until the budget is spent and nothing runs any more.

        Raises:
            StudyError: the baseline failed, and no other trial has shown that the config can be trained.
            KeyboardInterrupt: after the trials that ran were ended and their rows told.
            StorageLostError: the storage was away for too long; what runs trains on.
        """
        try:
            while self._patience.endure(self._turn):
                time.sleep(_POLL_S)
        except StorageLostError:
            raise
        except BaseException:
            self._interrupt()
            raise
        finally:
            self._keep_clock()

    @property
    def seconds(self) -> float:
        """Wall clock in which the study was driven."""
        return self._before_s + time.monotonic() - self._started_s

    def spent(self) -> Spent:
        """Give what the study has cost."""
        return spent(self.study.optuna.get_trials(deepcopy=False), self.seconds)

    @property
    def queued(self) -> int:
        """How many of its trials wait for a scheduler."""
        return sum(getattr(one.world, "waits", False) for one in self.running.values())

    def _turn(self) -> bool:
        """Do what there is to do; say whether there will be more."""
        self._identity.beat()
        changed = self._settle_ended()
        if time.monotonic() - self._looked_s >= _ORPHANS_EVERY_S:
            self._looked_s = time.monotonic()
            self._keep_clock()
            changed |= self._settle_orphans()
        if changed or time.monotonic() >= self._ask_at_s:
            while len(self.running) < self.places.slots:
                if not self._start_one():  # policies compute: not again before something has happened
                    self._ask_at_s = time.monotonic() + _ASK_EVERY_S
                    break
                changed = True
        if changed or not self.running or self.queued != self._queued:
            self._queued = self.queued
            self._announce(self)
        if self.running:
            return True
        others = [row for row in self.study.optuna.get_trials(deepcopy=False) if row.state.name == "RUNNING"]
        return bool(others) and not self._joined  # one that joined has done its part

    def _settle_ended(self) -> bool:
        ended = [(one, end) for one in self.running.values() if (end := one.world.poll()) is not None]
        for one, end in ended:
            with asking(self.study.folder):
                self._settle(one, end)
            del self.running[one.number]
        return bool(ended)

    def _settle(self, one: Running, end: WorldEnd) -> None:
        lost = KILLED if was_killed(one.folder.log) else ""
        lost = end.reason if end.status == "lost" else lost
        failed = end.reason or "it ended without a result; see its log"
        state = rows.settle(
            self.study.optuna, one.number, one.folder, lost=lost, failed=failed, taken=end.taken
        )
        if state == "lost":
            rows.retry_lost(self.study.optuna, self.study.trial)
        tidy(self.study.record(), self.study.trial)
        if state == "failed":
            self._stop_where_nothing_trains(one, failed, end.log_tail)

    def _stop_where_nothing_trains(self, one: Running, reason: str, log_tail: str) -> None:
        seen = self.study.record().rows
        baseline_failed = any(row.baseline and row.state == "failed" for row in seen)
        if baseline_failed and not any(row.curve for row in seen):
            raise StudyError(
                f"the config's own hyperparameters cannot be trained: {reason}\n{log_tail}\n"
                f"(whole output: {one.folder.log})"
            )

    def _start_one(self) -> bool:
        """Start the next trial; say whether there was one."""
        with asking(self.study.folder):
            asked = self._ask()
            if asked is None:
                return False
            number, segment = asked
        slot = min(set(range(self.places.slots)) - {one.slot for one in self.running.values()})
        folder = self.study.trial(number)
        row = self.study.optuna.get_trials(deepcopy=False)[number]
        checkpoint = None
        if segment.resume_from is not None:
            before = self.study.trial(segment.resume_from)
            saved = before.saved("last")
            checkpoint = None if saved is None else str(before.path / saved.name)
        spec = write_trial(
            self.study,
            folder,
            row.params,
            self.places.accelerator,
            until_epoch=segment.until_epoch,
            study=self.study.optuna.study_name,
            storage=self.study.url,
            number=number,
            trial_id=row._trial_id,
            policy={} if row.user_attrs.get(rows.BASELINE) else self.study.policy_arguments,
            checkpoint=checkpoint,
        )
        world = world_of(self.study, folder, spec.token, self.places.environment(slot))
        self.running[number] = Running(
            number=number, slot=slot, folder=folder, world=self._launcher.start(world)
        )
        return True

    def _ask(self) -> tuple[int, Segment] | None:
        study = self.study.optuna
        known = study.get_trials(deepcopy=False)
        queued = any(row.state.name == "WAITING" for row in known)
        cost = spent(known, self.seconds)
        if not queued and self.budget.exhausted(cost):
            return None
        if queued or self.budget.new_configurations(cost):
            asked = self.study.policy.ask(study, self.study.distributions)
        else:
            baselines = {row.number for row in known if row.user_attrs.get(rows.BASELINE)}
            asked = ask_to_finish(study, self.study.policy, self.study.max_epochs, baselines)
        if asked is None:
            return None
        trial, segment = asked
        trial.set_user_attr(rows.DRIVER, self._identity.name)
        self.study.trial(trial.number).clear()
        rows.copy_reports(study, trial.number)
        return trial.number, segment

    def _settle_orphans(self) -> bool:
        """Settle the rows of drivers that are gone: read, take over, or queue again."""
        changed = False
        with asking(self.study.folder):
            for row in self.study.optuna.get_trials(deepcopy=False):
                owner = row.user_attrs.get(rows.DRIVER, "")
                if row.state.name != "RUNNING" or row.number in self.running or self._lives(owner):
                    continue
                folder = self.study.trial(row.number)
                if folder.result() is None:
                    try:
                        adopted = self._adopt(row.number, folder)
                    except (SchedulerError, MissingExtraError):
                        continue  # it may wait or run as a job, and from here nobody can tell
                    if adopted:
                        changed = True
                        continue
                    if not self._identity.is_here(owner) and fresh(folder.alive):
                        continue  # its driver is gone, its processes on that machine are not
                rows.settle(
                    self.study.optuna, row.number, folder, lost="its driver and its processes are gone"
                )
                changed = True
            changed |= bool(rows.retry_lost(self.study.optuna, self.study.trial))
        return changed

    def _lives(self, owner: str) -> bool:
        return bool(owner) and owner != self._identity.name and self._identity.lives(owner)

    def _adopt(self, number: int, folder: TrialFolder) -> bool:
        try:
            token = folder.read_spec().token
        except (OSError, ValueError):  # its driver was killed before it wrote it
            return False
        world = adopt(self._launcher, world_of(self.study, folder, token, {}))
        if world is None:
            return False
        taken = {one.slot for one in self.running.values()}
        slot = min(set(range(len(self.running) + 1)) - taken)
        self.running[number] = Running(number=number, slot=slot, folder=folder, world=world)
        self._write_owner(number)
        return True

    def _write_owner(self, number: int) -> None:
        trial_id = self.study.optuna.get_trials(deepcopy=False)[number]._trial_id
        self.study.optuna._storage.set_trial_user_attr(trial_id, rows.DRIVER, self._identity.name)

    def _interrupt(self) -> None:
        """End what runs, and tell the rows: they are tried again by the same command."""
        stopping = [threading.Thread(target=one.world.stop) for one in self.running.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        with contextlib.suppress(*connection_errors()), asking(self.study.folder):
            for one in self.running.values():
                rows.settle(self.study.optuna, one.number, one.folder, lost=rows.INTERRUPTED)
        self.running.clear()

    def _keep_clock(self) -> None:
        if not self._joined:
            write_json(self.study.folder / _CLOCK, {"seconds": self.seconds})


def _clock(study: OpenStudy) -> float:
    try:
        return float(json.loads((study.folder / _CLOCK).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError):
        return 0.0
