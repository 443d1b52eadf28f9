"""GPUMonitor: what the GPUs do and what they draw while a model trains."""

from __future__ import annotations

import math
import platform
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_itwin.callbacks.epoch_timer import EpochTimer
from lightning_itwin.callbacks.measuring_callback import MeasuringCallback
from lightning_itwin.callbacks.node_gpus import share_gpus
from lightning_itwin.meters.gpu import MIN_INTERVAL_S, GPUMeans, GPUMeter
from lightning_itwin.records import tags

_SCALARS = {
    tags.GPU_UTILIZATION_PERCENT: "utilization_percent",
    tags.GPU_SM_ACTIVE_PERCENT: "sm_active_percent",
    tags.GPU_POWER_W: "power_w",
    tags.GPU_MEMORY_GIB: "memory_gib",
    tags.GPU_TEMPERATURE_C: "temperature_c",
    tags.GPU_ENERGY_WH: "energy_wh",
}


class GPUMonitor(MeasuringCallback):
    """Reads utilisation, memory, power, energy, temperature, clocks and throttling of the GPUs in use.

    A thread reads at regular intervals and writes every reading as a
    :class:`~lightning_itwin.records.GPURecord`. Every GPU is read by one rank, however many share it: the
    lowest that sees it, which is local rank 0 on an ordinary node. In use is the device that each rank trains
    on; a training on CPU counts every GPU that ``CUDA_VISIBLE_DEVICES`` lets it see. Where MIG splits a GPU,
    power and energy are those of the whole, since instances have no meter.

    Energy is the difference of the hardware's counter (Volta and newer), else the trapezoid of the power; it
    counts from the start of the training to its end, validation included. Where driver, permission or package
    is missing, or a GPU is lost, there is one warning and nothing is measured; the training goes on.

    Logged metrics, by global rank 0, of the GPUs that it reads, whenever the Trainer logs and at the end of
    every epoch: means over devices and over the time since the last log of ``gpu/utilization_percent`` (share
    of time in which any kernel ran), ``gpu/sm_active_percent`` (Hopper and newer), ``gpu/power_w``,
    ``gpu/memory_gib``, ``gpu/temperature_c``; ``gpu/energy_wh`` since the start, mean over devices, and
    ``gpu/total_energy_wh``, their sum; the same for each device under ``gpu/<node>.<index>/...``.

    Args:
        interval_s: time between two readings, at least 0.1 s.
        link_throughput: also read PCIe and NVLink traffic; before Hopper the driver takes about 40 ms for it.

    Raises:
        ValueError: ``interval_s`` is below 0.1 s.

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(callbacks=[GPUMonitor()], logger=False, enable_model_summary=False)
    """

    brings = (EpochTimer,)

    def __init__(self, interval_s: float = 1.0, link_throughput: bool = False) -> None:
        if not (math.isfinite(interval_s) and interval_s >= MIN_INTERVAL_S):
            raise ValueError(
                f"GPUMonitor(interval_s={interval_s}): the interval must be at least {MIN_INTERVAL_S} s, "
                "because the GPUs refresh their counters about every 100 ms. 1.0 is a good choice."
            )
        self._interval_s = interval_s
        self._link_throughput = link_throughput
        self._meter: GPUMeter | None = None
        self._node = platform.node()
        self._logs = 0

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gpus = share_gpus(trainer, link_throughput=self._link_throughput)
        self._meter = GPUMeter(
            gpus.sensors,
            gpus.mine,
            self.run.write,
            interval_s=self._interval_s,
            rank=trainer.global_rank,
            node=self._node,
        )
        self._logs = 0
        self._meter.start()
        if gpus.warns:
            self._warn(gpus.fault)
        if any(gpu.instances for gpu in gpus.mine):
            self._warn("a GPU is split by MIG: its power and energy are those of the whole GPU")
        self._warn_of_faults()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._warn_of_faults()
        every = getattr(trainer, "log_every_n_steps", 0)  # which the Trainer sets without declaring it
        # counted rather than divided: manual optimisation may take several global steps a batch
        logs = trainer.global_step // every if every else 0
        if logs != self._logs:
            self._logs = logs
            self._log(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._meter is not None:
            self._meter.read()
            self._log(trainer)

    def stop(self) -> None:
        if self._meter is not None:
            self._meter.stop()
            self._warn_of_faults()
            self._meter = None

    def _log(self, trainer: Trainer) -> None:
        if self._meter is None or trainer.global_rank != 0:
            return
        means = self._meter.take_means()
        if means:
            self.run.log(trainer, _scalars(means, self._meter.total_energy_wh, self._node))

    def _warn_of_faults(self) -> None:
        faults = self._meter.take_faults() if self._meter is not None else ()
        if faults:
            self._warn("; ".join(faults))

    def _warn(self, text: str) -> None:
        warnings.warn(f"GPUMonitor on {self._node}: {text}. The training goes on.", stacklevel=3)


def _scalars(
    means: Iterable[GPUMeans], total_energy_wh: float | None, node: str
) -> Mapping[str, float | None]:
    scalars: dict[str, float | None] = {tags.GPU_TOTAL_ENERGY_WH: total_energy_wh}
    for tag, name in _SCALARS.items():
        known = {gpu.device.index: value for gpu in means if (value := getattr(gpu, name)) is not None}
        scalars[tag] = sum(known.values()) / len(known) if known else None
        scalars.update({tags.of_gpu(tag, node, index): value for index, value in known.items()})
    return scalars
