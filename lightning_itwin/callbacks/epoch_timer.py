"""EpochTimer: how long an epoch takes and how many samples a second it trains on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from lightning.fabric.utilities.throughput import Throughput, get_available_flops
from lightning.pytorch import LightningModule, Trainer

from lightning_itwin.callbacks.collectives import sum_over_ranks
from lightning_itwin.callbacks.measuring_callback import MeasuringCallback
from lightning_itwin.callbacks.sample_counter import SampleCounter
from lightning_itwin.meters.epoch_clock import EpochClock, EpochReading
from lightning_itwin.meters.host import process_start_unix_s
from lightning_itwin.records import EpochRecord, WallTimeRecord, tags

_FETCH = ".train_dataloader_next"
_DTYPES = (("bf16", torch.bfloat16), ("16", torch.float16), ("64", torch.float64))


class EpochTimer(MeasuringCallback):
    """Times every epoch: training apart from validation, the device synchronised at both ends.

    At the end of every epoch, and of the training, it also writes where the wall time of the process went:
    start, epochs, waiting for data, validation, checkpoints.

    Logged metrics: ``epoch/time_s`` (training part), ``epoch/samples_per_s`` (all ranks together),
    ``epoch/validation_s``, ``epoch/step_time_s`` (median), and, where the module tells ``flops_per_batch``
    as Lightning's ``ThroughputMonitor`` has it, ``epoch/flops_per_s`` (all ranks together) and ``epoch/mfu``.

    Args:
        batch_size_fn: gives the number of samples of a batch; by default Lightning's own rule, the length of
            the first tensor in it.

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(callbacks=[EpochTimer()], logger=False, enable_model_summary=False)
    """

    _accounted_until_unix_s: ClassVar[float | None] = None  # of this process: the end of its last training

    def __init__(self, batch_size_fn: Callable[[Any], int] | None = None) -> None:
        self._samples = SampleCounter(batch_size_fn)
        self._clock = EpochClock()
        self._warmup = True
        self._rank = 0
        self._start_up_s = self._start_s = 0.0
        self._unwatched = ExitStack()

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._warmup = True
        self._clock = EpochClock()
        self._rank = trainer.global_rank
        self._start_s = time.perf_counter()
        since_unix_s = EpochTimer._accounted_until_unix_s or process_start_unix_s()
        self._start_up_s = max(0.0, time.time() - since_unix_s)
        self._unwatched.callback(_time_checkpoints(trainer, self._clock))
        self._unwatched.callback(_time_fetches(trainer, self._clock))
        # a training that resumes in the middle of an epoch has no on_train_epoch_start
        self._clock.epoch_start(_now_s(trainer))

    def stop(self) -> None:
        self._unwatched.close()
        EpochTimer._accounted_until_unix_s = time.time()
        self._write_wall_time()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock.epoch_start(_now_s(trainer))

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._clock.batch_start(time.perf_counter())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now_s = _now_s(trainer) if _epoch_ends(trainer) else time.perf_counter()
        self._clock.batch_end(now_s, self._samples.count(batch))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._running and not trainer.sanity_checking:
            self._clock.validation_start(_now_s(trainer))

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if self._running and not trainer.sanity_checking:
            self._clock.validation_batch()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._running and not trainer.sanity_checking:
            self._clock.validation_end(_now_s(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        reading = self._clock.read()
        world_sum = sum_over_ranks(trainer, reading.samples)
        if not reading.steps:  # a training resumed at the end of an epoch ends it once more
            return
        world_samples = None if world_sum is None else int(world_sum)
        flops_per_batch = getattr(pl_module, "flops_per_batch", None)
        flops = None if flops_per_batch is None else float(flops_per_batch) * reading.steps
        now_unix_s, rank, epoch = time.time(), trainer.global_rank, trainer.current_epoch
        self.run.write(
            EpochRecord(
                time_unix_s=now_unix_s,
                rank=rank,
                epoch=epoch,
                stage="train",
                time_s=reading.time_s,
                steps=reading.steps,
                samples=reading.samples,
                world_samples=world_samples,
                step_time_median_s=reading.step_time_median_s,
                step_time_p95_s=reading.step_time_p95_s,
                data_wait_s=reading.data_wait_s,
                flops=flops,
                warmup=self._warmup,
            )
        )
        if reading.validation_s:
            self.run.write(
                EpochRecord(
                    time_unix_s=now_unix_s,
                    rank=rank,
                    epoch=epoch,
                    stage="validate",
                    time_s=reading.validation_s,
                    steps=reading.validation_steps,
                    samples=None,
                    world_samples=None,
                    step_time_median_s=None,
                    step_time_p95_s=None,
                    data_wait_s=None,
                    warmup=self._warmup,
                )
            )
        self._write_wall_time()
        self.run.log(trainer, _scalars(trainer, reading, world_samples, flops))
        self._warmup = False

    def _write_wall_time(self) -> None:
        self.run.write(
            WallTimeRecord(
                time_unix_s=time.time(),
                rank=self._rank,
                start_up_s=self._start_up_s,
                training_s=time.perf_counter() - self._start_s,
                **asdict(self._clock.totals()),
            )
        )


def _time_checkpoints(trainer: Trainer, clock: EpochClock) -> Callable[[], None]:
    """Have the clock told of every checkpoint that the Trainer saves; gives what ends that.

    Lightning has a hook before a checkpoint is written and none after it.
    """
    save = trainer.save_checkpoint

    def timed(*args: Any, **kwargs: Any) -> None:
        clock.checkpoint_start(_now_s(trainer))
        try:
            save(*args, **kwargs)
        finally:
            clock.checkpoint_end(_now_s(trainer))

    return _replace(trainer, "save_checkpoint", timed)


def _time_fetches(trainer: Trainer, clock: EpochClock) -> Callable[[], None]:
    """Have the clock told when the loop asks for a batch, which Lightning tells profilers alone."""
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]  # Lightning does not declare it
    start = profiler.start

    def timed(action_name: str) -> None:
        if action_name.endswith(_FETCH):
            clock.batch_asked(time.perf_counter())
        start(action_name)

    return _replace(profiler, "start", timed)


def _replace(owner: Any, method: str, function: Callable[..., None]) -> Callable[[], None]:
    """Put a function in the place of an object's method; gives what ends that."""

    def end() -> None:
        if vars(owner).get(method) is function:
            delattr(owner, method)

    setattr(owner, method, function)
    return end


def _scalars(
    trainer: Trainer, reading: EpochReading, world_samples: int | None, flops: float | None
) -> dict[str, float | None]:
    scalars = {
        tags.EPOCH_TIME_S: reading.time_s,
        tags.EPOCH_VALIDATION_S: reading.validation_s or None,
        tags.EPOCH_STEP_TIME_S: reading.step_time_median_s,
        tags.EPOCH_SAMPLES_PER_S: None,
    }
    if reading.time_s <= 0:
        return scalars
    if world_samples is not None:
        scalars[tags.EPOCH_SAMPLES_PER_S] = world_samples / reading.time_s
    if flops is not None:
        peak = _peak_flops(trainer) if trainer.strategy.root_device.type == "cuda" else None
        throughput = Throughput(available_flops=peak, world_size=trainer.world_size, window_size=2)
        throughput.update(time=0.0, batches=0, samples=0, flops=0)
        throughput.update(
            time=reading.time_s, batches=reading.steps, samples=reading.samples or 0, flops=int(flops)
        )
        rates = throughput.compute()
        scalars[tags.EPOCH_FLOPS_PER_S] = rates.get("flops_per_sec", rates.get("device/flops_per_sec"))
        scalars[tags.EPOCH_MFU] = rates.get("device/mfu")
    return scalars


def _now_s(trainer: Trainer) -> float:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize(trainer.strategy.root_device)
    return time.perf_counter()


def _epoch_ends(trainer: Trainer) -> bool:
    steps_done = 0 <= trainer.max_steps <= trainer.global_step
    return trainer.is_last_batch or trainer.should_stop or steps_done


def _peak_flops(trainer: Trainer) -> int | None:
    dtype = next((dtype for name, dtype in _DTYPES if str(trainer.precision).startswith(name)), torch.float32)
    try:
        return get_available_flops(trainer.strategy.root_device, dtype)
    except (ValueError, IndexError):  # Lightning's table lacks the dtype, or cannot read the GPU's name
        return None
