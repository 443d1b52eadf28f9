"""What every source of GPU readings offers, and which of a node's GPUs a process may use."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class GPUUnavailableError(RuntimeError):
    """No GPU can be read here: no driver, no permission, no device; the message says which."""


class GPULostError(RuntimeError):
    """One GPU has stopped to answer, for good; the message says why."""


@dataclass(frozen=True, kw_only=True)
class GPUDevice:
    """One physical GPU.

    Args:
        index: its number on the node as the driver counts.
        uuid: the driver's UUID, such as ``"GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"``.
        name: product name.
        instances: UUIDs of the MIG instances that it is split into; empty where it is whole.
    """

    index: int
    uuid: str
    name: str
    instances: tuple[str, ...] = ()

    def answers_to(self, uuid: str) -> bool:
        """Say whether ``uuid``, with or without ``GPU-``, is this GPU's or one of its instances'."""
        return _bare(uuid) in {_bare(own) for own in (self.uuid, *self.instances)}


@dataclass(frozen=True, kw_only=True)
class GPUReading:
    """What the sensors of one GPU say at one moment; None for what they cannot tell.

    Args:
        energy_j: counter of energy since some moment in the past, which may start over.
        power_w: power draw.

    The others are those of :class:`lightning_itwin.records.GPURecord`.
    """

    energy_j: float | None = None
    power_w: float | None = None
    utilization_percent: float | None = None
    memory_gib: float | None = None
    memory_total_gib: float | None = None
    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle_reasons: str | None = None
    pcie_tx_mib_per_s: float | None = None
    pcie_rx_mib_per_s: float | None = None
    nvlink_tx_mib_per_s: float | None = None
    nvlink_rx_mib_per_s: float | None = None
    sm_active_percent: float | None = None

    def is_empty(self) -> bool:
        """Say whether no sensor told anything.

        >>> GPUReading().is_empty(), GPUReading(power_w=0.0).is_empty()
        (True, False)
        """
        return all(getattr(self, field.name) is None for field in dataclasses.fields(self))


class GPUSensors(Protocol):
    """A source of readings, such as NVML."""

    devices: tuple[GPUDevice, ...]
    faults: tuple[str, ...]

    def read(self, device: GPUDevice) -> GPUReading:
        """Read one GPU.

        Raises:
            GPULostError: the GPU has gone.
        """

    def close(self) -> None:
        """Let go of the driver."""


class NoSensors:
    """The sensors of a machine without GPU: a null object, so that no caller has to ask."""

    devices: tuple[GPUDevice, ...] = ()
    faults: tuple[str, ...] = ()

    def read(self, device: GPUDevice) -> GPUReading:
        """Read nothing."""
        return GPUReading()

    def close(self) -> None:
        """Do nothing."""


def visible_variable(*, hip: bool = False, environment: Mapping[str, str] = os.environ) -> str | None:
    """Give the list of devices that the environment lets CUDA (or HIP) see; None where it says nothing.

    Reference:
        ``CUDA_VISIBLE_DEVICES`` in the CUDA C++ programming guide; ``HIP_VISIBLE_DEVICES`` and
        ``ROCR_VISIBLE_DEVICES`` in "GPU isolation techniques" of the ROCm documentation.
    """
    names = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    for name in names if hip else ("CUDA_VISIBLE_DEVICES",):
        if name in environment:
            return environment[name]
    return None


def visible_devices(devices: Sequence[GPUDevice], visible: str | None) -> tuple[GPUDevice, ...]:
    """Give the GPUs that ``CUDA_VISIBLE_DEVICES`` names, in its order, as CUDA reads it.

    An entry is an index, a UUID, a MIG instance, or the beginning of a UUID that fits one device alone. The
    first entry that names no device ends the list; an entry given twice leaves nothing. Indices count as the
    driver does, which CUDA shares with ``CUDA_DEVICE_ORDER=PCI_BUS_ID`` or GPUs of one kind.

    Args:
        devices: the GPUs of the node.
        visible: value of the variable; None where it is not set, which lets all be seen.

    Returns:
        the physical GPUs, each once, also where several of its instances are named.

    >>> a, b = (GPUDevice(index=i, uuid=f"GPU-{i}{i}{i}", name="H200") for i in (0, 1))
    >>> [gpu.index for gpu in visible_devices([a, b], "1,0")], visible_devices([a, b], "")
    ([1, 0], ())
    >>> [gpu.index for gpu in visible_devices([a, b], "GPU-1")]
    [1]
    """
    if visible is None:
        return tuple(devices)
    entries = [entry.strip() for entry in visible.split(",")]
    found: list[tuple[int, str]] = []
    by_index = {device.index: device for device in devices}
    for entry in entries:
        match = _match(entry, by_index)
        if match is None:
            break
        found.append(match)
    if len(set(found)) < len(found):
        return ()
    return tuple(by_index[index] for index in dict.fromkeys(i for i, _ in found) if index in by_index)


def _match(entry: str, devices: Mapping[int, GPUDevice]) -> tuple[int, str] | None:
    """Give the index of the GPU that an entry names, and what stands for it; None for no GPU."""
    if entry.startswith("MIG-GPU-"):  # before driver 470: MIG-<UUID of the GPU>/<instance>/<compute instance>
        parent = entry.removeprefix("MIG-").split("/")[0]
        fits = [(gpu.index, entry) for gpu in devices.values() if gpu.uuid == parent]
    elif entry.startswith("MIG-"):
        own = [(gpu.index, uuid) for gpu in devices.values() for uuid in gpu.instances]
        fits = [(index, uuid) for index, uuid in own if uuid.startswith(entry)]
    elif entry.startswith("GPU-"):
        fits = [(gpu.index, gpu.uuid) for gpu in devices.values() if gpu.uuid.startswith(entry)]
    else:
        digits = entry.removeprefix("+")
        length = next((i for i, character in enumerate(digits) if not character.isdecimal()), len(digits))
        # an index below the largest one may be missing, because that GPU does not answer
        index = int(digits[:length]) if length else -1
        fits = [(index, str(index))] if 0 <= index <= max(devices, default=-1) else []
    return fits[0] if len(fits) == 1 else None


def _bare(uuid: str) -> str:
    return uuid.removeprefix("GPU-").removeprefix("MIG-").lower()
