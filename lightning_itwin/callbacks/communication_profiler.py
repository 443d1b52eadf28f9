"""CommunicationProfiler: how much of a step is communication that nothing hides."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.profilers import PyTorchProfiler
from torch.optim import Optimizer

from lightning_itwin.callbacks.collectives import gather
from lightning_itwin.callbacks.epoch_timer import EpochTimer
from lightning_itwin.callbacks.measuring_callback import MeasuringCallback
from lightning_itwin.meters.communication import CommunicationReading, straggler_waits
from lightning_itwin.meters.communication_calls import CommunicationCalls
from lightning_itwin.meters.communication_hooks import CommunicationHooks
from lightning_itwin.meters.communication_meter import CommunicationMeter
from lightning_itwin.meters.profile_window import TimeBudget, WindowPlan, plan_window
from lightning_itwin.records import CommunicationRecord, tags


class CommunicationProfiler(MeasuringCallback):
    """Profiles a window of training steps: total, exposed and hidden communication, and what else takes time.

    A window is the next ``window_steps`` steps after ``warmup_steps``, wherever they fall: the ends of epochs
    and validations in between are left out, and a training that is shorter gets a shorter window. At the
    window's end the ranks compare notes, each writes its row, and rank 0 logs the means over ranks.

    Logged metrics: ``comm/overhead_percent`` (exposed communication as a share of wall time),
    ``comm/exposed_s``, ``comm/total_s``, ``comm/hidden_s``, ``comm/wait_s`` (waiting for stragglers), all of
    the window; ``data/wait_percent``; ``profiler/cost_percent`` (time that profiling took from the training).

    Args:
        window_steps: steps of a window.
        warmup_steps: steps before it, from the start of the training or of the window's first epoch.
        every_n_epochs: another window in each n-th epoch from the first; None for a single window.
        max_overhead: share of the training time that profiling may take, above 0 and up to 1. The first
            window is always measured, and each further one if the time so far pays for it.

    Raises:
        ValueError: an argument is out of its range.

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(callbacks=[CommunicationProfiler()], logger=False, enable_model_summary=False)
    """

    brings = (EpochTimer,)

    def __init__(
        self,
        window_steps: int = 10,
        warmup_steps: int = 3,
        every_n_epochs: int | None = None,
        max_overhead: float = 0.01,
    ) -> None:
        for name, value, least in (
            ("window_steps", window_steps, 1),
            ("warmup_steps", warmup_steps, 0),
            ("every_n_epochs", 1 if every_n_epochs is None else every_n_epochs, 1),
        ):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is a whole number from {least}; given: {value!r}")
        if not 0.0 < max_overhead <= 1.0:
            raise ValueError(f"max_overhead is a share above 0 and up to 1; given: {max_overhead!r}")
        self._window_steps = window_steps
        self._warmup_steps = warmup_steps
        self._every_n_epochs = every_n_epochs
        self._max_overhead = max_overhead
        self._calls = CommunicationCalls()
        self._hooks = CommunicationHooks(self._calls)
        self._window: _Window | None = None
        self._warned = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._hooks.install()  # before the strategy wraps the module, so that no hook escapes

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._meter = CommunicationMeter(trainer.strategy.root_device, self._calls)
        self._budget = TimeBudget(self._max_overhead)
        self._started_s = time.perf_counter()
        self._first_epoch = trainer.current_epoch
        self._warned = False
        self._window = _Window()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = trainer.current_epoch - self._first_epoch
        if self._window is None and self._every_n_epochs and epochs % self._every_n_epochs == 0:
            # The clocks of the ranks differ a little; their decision must not.
            elapsed_s = min(row[0] for row in gather(trainer, [self._elapsed_s()]))
            if self._budget.grants(elapsed_s=elapsed_s):
                self._window = _Window()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._window is None:
            return
        if self._window.plan is None:
            self._window.steps_left = _steps_left(trainer, batch_idx)
            self._window.plan = plan_window(
                warmup_steps=self._warmup_steps,
                window_steps=self._window_steps,
                steps_left=self._window.steps_left,
            )
            self._meter.reset()
        self._meter.batch_start()
        warmup_left = self._window.plan.warmup_steps - self._window.steps_seen
        if warmup_left == 1 and self._meter.wants_operators:
            self._begin(trainer, self._meter.begin_operators)
        elif warmup_left <= 0:
            if self._window.first_step is None:
                self._window.first_step = trainer.fit_loop.epoch_loop.total_batch_idx
                self._window.epoch = trainer.current_epoch
            if not self._window.open:
                self._open(trainer, self._window)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        # The slice ends here: an optimizer's many small operators cost most and tell nothing new.
        if self._window is not None and self._meter.slicing:
            self._meter.end_operators()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        window = self._window
        if window is None or window.plan is None:
            return
        if self._meter.slicing:
            self._meter.end_operators()
        self._meter.batch_end()
        window.steps_seen += 1
        window.steps_open += window.open
        if window.steps_seen == window.plan.warmup_steps and not trainer.is_last_batch:
            self._open(trainer, window)  # already here: the wait for the first batch is part of the window
        elif window.steps_seen == window.plan.warmup_steps + window.plan.steps:
            self._finish(trainer, window)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._window is not None and self._window.first_step is not None:
            self._finish(trainer, self._window)
        if self._budget.windows:
            cost_percent = self._budget.percent_of(self._elapsed_s())
            self.run.log(trainer, {tags.PROFILER_COST_PERCENT: cost_percent})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        super().on_exception(trainer, pl_module, exception)
        self._hooks.remove()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        self._hooks.remove()

    def stop(self) -> None:
        self._meter.abort()
        self._window = None

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._started_s

    def _open(self, trainer: Trainer, window: _Window) -> None:
        window.open = True
        self._begin(trainer, self._meter.begin)
        # Else the first step would wait for the rank whose profiler took longest to start.
        trainer.strategy.barrier("communication profiler")
        self._meter.restart_clock()

    def _begin(self, trainer: Trainer, begin: Callable[[Sequence[Any]], None]) -> None:
        if self._meter.lost:
            return
        if isinstance(getattr(trainer, "profiler", None), PyTorchProfiler):
            self._give_up("Trainer(profiler='pytorch') is at work; use one profiler at a time")
            return
        try:
            begin(trainer.optimizers)
        except RuntimeError as error:
            self._give_up(str(error))

    def _pause(self) -> None:
        window = self._window
        if window is None or not window.open:
            return
        if self._meter.measuring:
            self._meter.end(window.steps_open)
            if self._meter.lost:
                self._give_up(self._meter.lost)
        window.open = False
        window.steps_open = 0

    def _give_up(self, reason: str) -> None:
        # This rank counts on: the others may be measuring, and want its answer at the end of the window.
        self._meter.lost = reason
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"CommunicationProfiler leaves out a window: {reason}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _finish(self, trainer: Trainer, window: _Window) -> None:
        self._pause()
        mine = CommunicationReading() if self._meter.lost else self._meter.read()
        rows = gather(trainer, [self._meter.cost_s, *mine.to_values()])
        clock = time.perf_counter()
        self._window = None
        self._budget.spend(max(row[0] for row in rows))  # all wait for the slowest
        readings = [CommunicationReading.from_values(row[1:]) for row in rows]
        readings = [reading for reading in readings if reading.wall_s]
        if not readings:
            return
        cost_percent = self._budget.percent_of(self._elapsed_s() + window.time_left_s(readings[0].wall_s))
        if mine.wall_s:
            wait_s = mine.exposed_s - min(reading.exposed_s for reading in readings)
            self.run.write(self._record(trainer, window, mine, wait_s, cost_percent))
        self.run.log(trainer, _scalars(readings, cost_percent))
        self._budget.cost_s += time.perf_counter() - clock

    def _record(
        self,
        trainer: Trainer,
        window: _Window,
        mine: CommunicationReading,
        wait_s: float,
        cost_percent: float,
    ) -> CommunicationRecord:
        return CommunicationRecord(
            time_unix_s=time.time(),
            rank=trainer.global_rank,
            epoch=window.epoch,
            first_step=window.first_step or 0,
            steps=self._meter.steps,
            wall_s=mine.wall_s,
            total_s=mine.total_s,
            exposed_s=mine.exposed_s,
            hidden_s=mine.hidden_s,
            computation_s=mine.computation_s,
            data_wait_s=mine.data_wait_s,
            idle_s=mine.idle_s,
            wait_s=wait_s,
            overhead_percent=mine.overhead_percent,
            collectives=mine.collectives,
            cost_s=self._meter.cost_s,
            cost_percent=cost_percent,
            source=self._meter.source,
        )


@dataclass
class _Window:
    plan: WindowPlan | None = None
    steps_left: int | None = None
    steps_seen: int = 0
    steps_open: int = 0
    open: bool = False
    first_step: int | None = None
    epoch: int = 0

    def time_left_s(self, wall_s: float) -> float:
        """Give the time that the training will take after the window; 0 where nobody knows."""
        steps = self.steps_seen - (self.plan.warmup_steps if self.plan else 0)
        if self.steps_left is None or steps <= 0:
            return 0.0
        return max(0, self.steps_left - self.steps_seen) * wall_s / steps


def _scalars(readings: Sequence[CommunicationReading], cost_percent: float) -> dict[str, float | None]:
    mean = statistics.fmean
    return {
        tags.COMM_OVERHEAD_PERCENT: mean(reading.overhead_percent for reading in readings),
        tags.COMM_EXPOSED_S: mean(reading.exposed_s for reading in readings),
        tags.COMM_TOTAL_S: mean(reading.total_s for reading in readings),
        tags.COMM_HIDDEN_S: mean(reading.hidden_s for reading in readings),
        tags.COMM_WAIT_S: mean(straggler_waits(reading.exposed_s for reading in readings)),
        tags.DATA_WAIT_PERCENT: mean(100 * reading.data_wait_s / reading.wall_s for reading in readings),
        tags.PROFILER_COST_PERCENT: cost_percent,
    }


def _steps_left(trainer: Trainer, batch_idx: int) -> int | None:
    """Give the number of batches until the training ends, as far as its limits tell."""
    limits: list[float] = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        epochs = trainer.max_epochs - trainer.current_epoch
        limits.append(epochs * trainer.num_training_batches - batch_idx)
    if trainer.max_steps >= 0:
        limits.append((trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches)
    least = min(limits, default=float("inf"))
    return None if least == float("inf") else max(1, int(least))
