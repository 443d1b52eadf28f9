"""Reporter: tells the study how a trial goes, and has all ranks stop, pause and save at the same step."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_itwin.callbacks.collectives import gather, stay_in_gloo
from lightning_itwin.hpo import random_state
from lightning_itwin.hpo.storage_line import StorageLine, Verdict
from lightning_itwin.hpo.trial_folder import (
    COMPLETE,
    DIVERGED,
    PAUSED,
    STOPPED,
    Saved,
    TrialFolder,
    TrialResult,
    TrialSpec,
)

_COST_SHARE = 0.01  # of the time, for checkpoints against a killed process


class MetricError(RuntimeError):
    """The objective is no metric that the model logs."""


class Reporter(Checkpoint):
    """Reports the objective after every epoch and carries out what the study decides.

    A metric of the validation is reported after each epoch that validates, others after each epoch. The value
    is the mean over the ranks that log it, as ``sync_dist=True`` would have logged it. Rank 0 alone talks to
    the storage; its decision is broadcast, so that every rank ends at the same step. It is a ``Checkpoint``
    because Lightning calls those last, when all metrics of the epoch are logged.

    Args:
        spec: of the trial.
        folder: of the trial.
        line: to the study, on rank 0; None for a training that is no row of one.
        leaving: set when the training will soon be ended from outside, so that the next epoch is saved.
    """

    def __init__(
        self,
        spec: TrialSpec,
        folder: TrialFolder,
        line: StorageLine | None,
        leaving: threading.Event | None = None,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._line = line
        self._leaving = leaving or threading.Event()
        self._sign = -1.0 if spec.direction == "maximize" else 1.0
        self._best: tuple[float, int] | None = None
        self._reported = False  # on every rank
        self._saving = ""
        self._state = COMPLETE
        self._reason = ""
        self._epochs = 0
        self._validates: bool | None = None  # whether the metric comes from the validation
        self._validated = False
        self._present_before = False
        self._started_s = self._saved_s = time.monotonic()
        self._save_cost_s = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started_s = self._saved_s = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epochs = trainer.current_epoch

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._present_before = self._spec.metric in trainer.callback_metrics

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validated = True
            if self._validates is None:
                self._validates = self._spec.metric in trainer.callback_metrics and not self._present_before

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (
            trainer.current_epoch < self._epochs
        ):  # a training resumed at the end of an epoch ends it once more
            return
        self._epochs = trainer.current_epoch + 1
        value = self._value(trainer)
        self._validated = False
        self._reported |= value is not None
        decision = self._decide(value) if trainer.is_global_zero else (COMPLETE, "", False, False)
        state, reason, keep_best, keep_last = trainer.strategy.broadcast(decision, src=0)
        if keep_best:
            self._save(trainer, "best", value)
        if keep_last and state != PAUSED:
            self._save(trainer, "last", value)
        if state != COMPLETE:
            self._state, self._reason = state, reason
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._state == PAUSED:  # the epoch's schedulers have stepped by now
            self._save(trainer, "last", None)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._reported and self._state == COMPLETE:
            raise MetricError(self._missing(trainer))
        if trainer.is_global_zero:
            best = self._best
            self._folder.write_result(
                TrialResult(
                    state=self._state,
                    value=None if best is None else self._sign * best[0],
                    best_epoch=None if best is None else best[1],
                    epochs=self._epochs,
                    reason=self._reason,
                    wall_s=time.monotonic() - self._started_s,
                    steps=trainer.global_step,
                )
            )
            if self._line is not None:
                self._line.drain()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._saving == "last":  # whoever resumes has the config; objects in there could not be read back
            for name in ("hyper_parameters", "datamodule_hyper_parameters"):
                checkpoint.pop(name, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        stay_in_gloo()

    def _value(self, trainer: Trainer) -> float | None:
        """Give the mean of the metric over all ranks; None where this epoch has none."""
        if self._validates and not self._validated:
            return None
        found = trainer.callback_metrics.get(self._spec.metric)
        row = [math.nan if found is None else float(found), float(found is not None)]
        device = trainer.strategy.root_device.type
        rows = gather(trainer, row, dtype=torch.float32 if device == "mps" else torch.float64)
        values = [value for value, present in rows if present]
        if not values:
            if self._validated or not self._has_validation(trainer):
                raise MetricError(self._missing(trainer))
            return None
        return values[0] if len(set(values)) == 1 else sum(values) / len(values)

    def _decide(self, value: float | None) -> tuple[str, str, bool, bool]:
        """Settle, on rank 0, what all ranks do: state, its reason, and which checkpoints are saved."""
        now_s = time.monotonic()
        wait_s = max(self._spec.save_every_s, self._save_cost_s / _COST_SHARE)
        due = now_s - self._saved_s >= wait_s or self._leaving.is_set()
        self._leaving.clear()
        keep_last = due and self._epochs < self._spec.max_epochs
        state, reason, keep_best = COMPLETE, "", False
        if value is not None:
            verdict = self._tell(value)
            if math.isfinite(value):
                keep_best = self._improves(self._sign * value, verdict)
            else:
                state, reason = DIVERGED, f"{self._spec.metric} became {value} in epoch {self._epochs}"
            if verdict.stop and state == COMPLETE and self._spec.policy:
                state = STOPPED
        if self._epochs >= self._spec.max_epochs:
            state = COMPLETE if state == STOPPED else state
        elif state == COMPLETE and self._epochs >= self._spec.until_epoch:
            state = PAUSED
        return state, reason, keep_best, keep_last

    def _tell(self, value: float) -> Verdict:
        value = value if math.isfinite(value) else math.nan  # by which policies know what diverged
        self._folder.report(self._epochs, value)
        return Verdict() if self._line is None else self._line.ask(self._epochs, value)

    def _improves(self, value: float, verdict: Verdict) -> bool:
        """Remember the best epoch; say whether it is worth a checkpoint: it beats the whole study so far."""
        if self._best is not None and value >= self._best[0]:
            return False
        self._best = (value, self._epochs)
        beats_all = verdict.best is None or value < self._sign * verdict.best
        return self._spec.keep_best and beats_all

    def _save(self, trainer: Trainer, kind: str, value: float | None) -> None:
        started_s = time.monotonic()
        name = f"{kind}-{self._epochs:05d}.ckpt"
        path = self._folder.path / name
        if kind == "last":
            random_state.save(rank_state(path, trainer.global_rank), trainer.global_step)
        self._saving = kind
        trainer.save_checkpoint(path, weights_only=False)  # every rank, and a barrier at its end
        self._saving = ""
        if trainer.is_global_zero:
            self._folder.point(kind, Saved(name=name, epochs=self._epochs, value=value))
        if kind == "last":
            self._saved_s = time.monotonic()
            self._save_cost_s = self._saved_s - started_s

    def _missing(self, trainer: Trainer) -> str:
        logged = ", ".join(sorted(map(str, trainer.callback_metrics))) or "nothing"
        return f"the objective {self._spec.metric!r} was not logged in epoch {self._epochs}; logged: {logged}"

    @staticmethod
    def _has_validation(trainer: Trainer) -> bool:
        return bool(trainer.num_val_batches and sum(map(float, trainer.num_val_batches)))


def rank_state(checkpoint: Path, rank: int) -> Path:
    """Give the file of a rank's random state beside a checkpoint."""
    return checkpoint.with_name(f"{checkpoint.name}.rank-{rank:04d}")


class RandomStateKeeper(Checkpoint):
    """Sets the random numbers of a rank to where the resumed checkpoint left them.

    Args:
        checkpoint: that is resumed.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self._steps = -1

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._steps = int(checkpoint.get("global_step", -1))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        random_state.restore(rank_state(self._checkpoint, trainer.global_rank), self._steps)
