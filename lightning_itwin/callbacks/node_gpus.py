"""The GPUs that a training uses on a node, each given to exactly one rank to read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from lightning.pytorch import Trainer

from lightning_itwin.callbacks.collectives import gather
from lightning_itwin.meters import gpu_sharing
from lightning_itwin.meters.gpu import open_sensors
from lightning_itwin.meters.gpu_sensors import (
    GPUDevice,
    GPUSensors,
    GPUUnavailableError,
    NoSensors,
    visible_devices,
    visible_variable,
)


@dataclass(frozen=True, kw_only=True)
class NodeGPUs:
    """The GPUs that one rank reads.

    Args:
        sensors: where readings come from; a null object where no GPU can be read.
        mine: those of the GPUs in use that this rank reads.
        fault: why GPUs cannot be read; empty where all is well.
        warns: whether this rank is the one that warns of a fault.
    """

    sensors: GPUSensors
    mine: tuple[GPUDevice, ...]
    fault: str
    warns: bool


def share_gpus(trainer: Trainer, *, link_throughput: bool = False) -> NodeGPUs:
    """Open the sensors and agree with the other ranks on who reads which GPU; collective.

    In use is the device that each rank trains on; a training on CPU counts every GPU that
    ``CUDA_VISIBLE_DEVICES`` lets it see.

    Args:
        trainer: a Trainer whose processes are connected.
        link_throughput: also read PCIe and NVLink traffic.
    """
    sensors, fault = _open(link_throughput)
    in_use = _in_use(trainer.strategy.root_device, sensors.devices)
    if sensors.devices and not in_use:
        fault = "the environment (CUDA_VISIBLE_DEVICES) lets this process see no GPU"
    rank = trainer.global_rank
    row = gpu_sharing.table(sensors.devices, in_use, fault=bool(fault))
    tables = [[int(entry) for entry in other] for other in gather(trainer, row, torch.int64)]
    return NodeGPUs(
        sensors=sensors,
        mine=tuple(gpu_sharing.assigned(tables, rank, sensors.devices)),
        fault=fault,
        warns=bool(fault) and gpu_sharing.warner(tables) == rank,
    )


def _open(link_throughput: bool) -> tuple[GPUSensors, str]:
    """Open the sensors; without any, a null object and the reason."""
    try:
        sensors = open_sensors(link_throughput=link_throughput)
    except GPUUnavailableError as error:
        return NoSensors(), f"nothing is measured: {error}"
    return sensors, "; ".join(sensors.faults)


def _in_use(device: torch.device, devices: tuple[GPUDevice, ...]) -> tuple[GPUDevice, ...]:
    """Give the GPUs that a process uses which trains on ``device``."""
    hip = torch.version.hip is not None
    visible = visible_devices(devices, visible_variable(hip=hip))
    if device.type != "cuda":
        return visible
    # torch's order is CUDA's, which need not be the driver's, so the UUID decides
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    index = device.index or 0
    return tuple(gpu for gpu in devices if gpu.answers_to(uuid)) or visible[index : index + 1] or visible
