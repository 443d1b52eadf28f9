"""GPUMeter: a thread that reads GPUs at regular intervals and adds up their energy.

Energy is the difference of the hardware's own counter wherever there is one. Power readings are for show and
for GPUs without counter: the power sensor of an A100 or H100 looks at a quarter of the time only, so that no
rate of asking helps against a load that keeps step with it.

Reference:
    Yang, Adamek, Armour: "Part-time Power Measurements: nvidia-smi's Lack of Attention", SC24,
    arXiv:2312.02741.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import torch

from lightning_itwin.meters.energy_integral import EnergyIntegral
from lightning_itwin.meters.gpu_sensors import (
    GPUDevice,
    GPULostError,
    GPUReading,
    GPUSensors,
    GPUUnavailableError,
)
from lightning_itwin.meters.nvml import NVMLSensors
from lightning_itwin.meters.rocm import ROCmSensors
from lightning_itwin.optional import MissingExtraError
from lightning_itwin.records import GPURecord

MIN_INTERVAL_S = 0.1  # the counters refresh about every 100 ms
_SILENT_READINGS = 3
_JOIN_S = 10.0


def open_sensors(*, link_throughput: bool = False) -> GPUSensors:
    """Open the sensors of this node's GPUs: AMD's where torch is built for ROCm, else NVIDIA's.

    Args:
        link_throughput: also read PCIe and NVLink traffic.

    Raises:
        GPUUnavailableError: there is no GPU that could be read; the message says why.
    """
    try:
        return ROCmSensors() if torch.version.hip else NVMLSensors(link_throughput=link_throughput)
    except MissingExtraError as error:
        raise GPUUnavailableError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class GPUMeans:
    """One GPU over the time since it was last asked for: means of the readings, energy since the start.

    Args:
        device: the GPU.
        energy_wh: energy since monitoring began.

    The others are means of what :class:`lightning_itwin.records.GPURecord` has; None where nothing was read.
    """

    device: GPUDevice
    utilization_percent: float | None
    sm_active_percent: float | None
    power_w: float | None
    memory_gib: float | None
    temperature_c: float | None
    energy_wh: float | None


class GPUMeter:
    """Reads GPUs in a thread of its own and hands on every reading as a row.

    Without devices it is a null meter: nothing is read and no thread is started. The thread is a daemon,
    draws no random numbers, and spends its time in the driver's library, where other threads go on.

    Args:
        sensors: where readings come from.
        devices: the GPUs to read, some of ``sensors.devices``.
        write: takes each row; called in the thread.
        interval_s: time between readings, at least 0.1 s.
        rank: global rank, for the rows.
        node: host name, for the rows.
        clock: a clock in seconds that never goes back.
        wall_clock: seconds since 1970, for the rows.
    """

    def __init__(
        self,
        sensors: GPUSensors,
        devices: Iterable[GPUDevice],
        write: Callable[[GPURecord], None],
        *,
        interval_s: float = 1.0,
        rank: int = 0,
        node: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._sensors = sensors
        self._write = write
        self._interval_s = interval_s
        self._rank = rank
        self._node = node
        self._clock = clock
        self._wall_clock = wall_clock
        self._devices = list(devices)
        self._energy = {device: EnergyIntegral() for device in self._devices}
        self._sums = {device: _Sums() for device in self._devices}
        self._silent = dict.fromkeys(self._devices, 0)
        self._known: set[GPUDevice] = set()
        self._faults: deque[str] = deque()
        self._reading = threading.Lock()
        self._summing = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    @property
    def devices(self) -> tuple[GPUDevice, ...]:
        """The GPUs that are read; one that was lost is no longer among them."""
        return tuple(self._devices)

    @property
    def total_energy_wh(self) -> float | None:
        """Energy of all GPUs since the start, lost ones included; None where that of one is unknown."""
        energies = [integral.energy_wh for integral in self._energy.values()]
        known = [energy for energy in energies if energy is not None]
        return sum(known) if energies and len(known) == len(energies) else None

    def start(self) -> None:
        """Take the first reading, from which energy counts, and go on in the background."""
        self.read()
        if self._devices:
            self._thread = threading.Thread(target=self._loop, name="lightning_itwin-gpu", daemon=True)
            self._thread.start()

    def read(self) -> None:
        """Read every GPU once, now."""
        with self._reading:
            for device in self.devices:
                try:
                    self._read(device)
                except GPULostError as error:
                    self._drop(device, str(error))

    def stop(self) -> None:
        """Take the last reading and let go of the driver; a second call does nothing."""
        if self._ended.is_set() or os.getpid() != self._process:
            return
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():  # asking once more would hang this thread too
                self._faults.append(f"the driver has not answered for {_JOIN_S:.0f} s")
                return
            self.read()
        self._sensors.close()

    def take_means(self) -> tuple[GPUMeans, ...]:
        """Give the means since the last call, of those GPUs that were read since."""
        with self._summing:
            taken, self._sums = self._sums, {device: _Sums() for device in self._sums}
        return tuple(
            GPUMeans(
                device=device,
                utilization_percent=sums.mean("utilization_percent"),
                sm_active_percent=sums.mean("sm_active_percent"),
                power_w=sums.mean("power_w"),
                memory_gib=sums.mean("memory_gib"),
                temperature_c=sums.mean("temperature_c"),
                energy_wh=self._energy[device].energy_wh,
            )
            for device, sums in taken.items()
            if sums
        )

    def take_faults(self) -> tuple[str, ...]:
        """Give what has gone wrong since the last call."""
        return tuple(self._faults.popleft() for _ in range(len(self._faults)))

    def _loop(self) -> None:
        due_s = self._clock() + self._interval_s
        while not self._ended.wait(max(due_s - self._clock(), 0.0)):
            begun_s = self._clock()
            self.read()
            if not self._devices:
                return
            ended_s = self._clock()
            took_s = ended_s - begun_s
            due_s += self._interval_s
            if due_s < ended_s + took_s:  # a slow driver: rest for at least as long as it took
                due_s = ended_s + max(took_s, self._interval_s)

    def _read(self, device: GPUDevice) -> None:
        now_s, unix_s = self._clock(), self._wall_clock()
        reading = self._sensors.read(device)
        if reading.is_empty():
            self._silent[device] += 1
            if device not in self._known or self._silent[device] >= _SILENT_READINGS:
                self._drop(device, f"GPU {device.index} tells nothing: no value of it can be read")
            return
        self._silent[device] = 0
        energy = self._energy[device]
        energy.add(now_s, energy_j=reading.energy_j, power_w=reading.power_w)
        if device not in self._known:
            self._known.add(device)
            if energy.energy_wh is None:
                self._faults.append(f"GPU {device.index}: neither energy nor power can be read")
        with self._summing:
            self._sums[device].add(reading)
        values = asdict(reading)
        del values["energy_j"]
        row = GPURecord(
            time_unix_s=unix_s,
            rank=self._rank,
            node=self._node,
            index=device.index,
            uuid=device.uuid,
            name=device.name,
            energy_wh=energy.energy_wh,
            energy_source=energy.source,
            **values,
        )
        try:
            self._write(row)
        except OSError as error:  # a full or vanished disk
            self._drop(device, f"GPU {device.index}: its row cannot be written: {error}")

    def _drop(self, device: GPUDevice, fault: str) -> None:
        self._devices.remove(device)
        self._faults.append(fault)


class _Sums:
    """Running sums of readings, so that memory does not grow with their number."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}
        self._readings = 0

    def __bool__(self) -> bool:
        return self._readings > 0

    def add(self, reading: GPUReading) -> None:
        self._readings += 1
        for name in ("utilization_percent", "sm_active_percent", "power_w", "memory_gib", "temperature_c"):
            value = getattr(reading, name)
            if value is not None:
                before, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (before + value, count + 1)

    def mean(self, name: str) -> float | None:
        if name not in self._sums:
            return None
        total, count = self._sums[name]
        return total / count
