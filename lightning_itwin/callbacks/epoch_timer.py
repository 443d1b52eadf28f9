"""EpochTimer: how long an epoch takes and how many samples a second it trains on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric.utilities.throughput import Throughput, get_available_flops
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.data import extract_batch_size
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_itwin.callbacks.measuring_callback import MeasuringCallback
from lightning_itwin.meters.epoch_clock import EpochClock, EpochReading
from lightning_itwin.records import EpochRecord, tags


class EpochTimer(MeasuringCallback):
    """Times every epoch: training apart from validation, the device synchronised at both ends.

    Logged metrics: ``epoch/time_s`` (training part), ``epoch/samples_per_s`` (all ranks together),
    ``epoch/validation_s``, ``epoch/step_time_s`` (median), and, where the module tells ``flops_per_batch``
    as Lightning's ``ThroughputMonitor`` has it, ``epoch/flops_per_s`` (all ranks together) and ``epoch/mfu``.

    Args:
        batch_size_fn: gives the number of samples of a batch; by default Lightning's own rule, the length of
            the first tensor in it.

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(callbacks=[EpochTimer()], logger=False, enable_model_summary=False)
    """

    def __init__(self, batch_size_fn: Callable[[Any], int] | None = None) -> None:
        self._batch_size_fn = batch_size_fn or extract_batch_size
        self._clock = EpochClock()
        self._warmup = True

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._warmup = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock.epoch_start(_now_s(trainer))

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._clock.batch_start(time.perf_counter())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now_s = _now_s(trainer) if trainer.is_last_batch else time.perf_counter()
        self._clock.batch_end(now_s, self._samples(batch))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._running and not trainer.sanity_checking:
            self._clock.validation_start(_now_s(trainer))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._running and not trainer.sanity_checking:
            self._clock.validation_end(_now_s(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        reading = self._clock.read()
        world_samples = _sum_over_ranks(trainer, reading.samples)
        flops_per_batch = getattr(pl_module, "flops_per_batch", None)
        flops = None if flops_per_batch is None else float(flops_per_batch) * reading.steps
        common = {"time_unix_s": time.time(), "rank": trainer.global_rank, "epoch": trainer.current_epoch}
        self.run.write(
            EpochRecord(
                **common,
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
                    **common,
                    stage="validate",
                    time_s=reading.validation_s,
                    steps=sum(int(n) for n in trainer.num_val_batches),
                    samples=None,
                    world_samples=None,
                    step_time_median_s=None,
                    step_time_p95_s=None,
                    data_wait_s=None,
                    warmup=self._warmup,
                )
            )
        self.run.log(trainer, _scalars(trainer, reading, world_samples, flops))
        self._warmup = False

    def _samples(self, batch: Any) -> int | None:
        try:
            return int(self._batch_size_fn(batch))
        except MisconfigurationException:  # Lightning's word for a batch without a size
            return None


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
        device = trainer.strategy.root_device
        peak = get_available_flops(device, torch.get_default_dtype()) if device.type == "cuda" else None
        throughput = Throughput(available_flops=peak, world_size=trainer.world_size, window_size=2)
        throughput.update(time=0.0, batches=0, samples=0, flops=0)
        throughput.update(
            time=reading.time_s, batches=reading.steps, samples=reading.samples or 0, flops=int(flops)
        )
        rates = throughput.compute()
        scalars[tags.EPOCH_FLOPS_PER_S] = rates.get("flops_per_sec", rates.get("device/flops_per_sec"))
        scalars["epoch/mfu"] = rates.get("device/mfu")
    return scalars


def _now_s(trainer: Trainer) -> float:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize(trainer.strategy.root_device)
    return time.perf_counter()


def _sum_over_ranks(trainer: Trainer, samples: int | None) -> int | None:
    if samples is None or trainer.world_size == 1:
        return samples
    mine = torch.tensor(samples, dtype=torch.int64, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(mine, reduce_op="sum"))
