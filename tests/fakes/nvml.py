"""Stand-ins for ``libnvidia-ml.so.1`` whose every reading is known.

:func:`build_library` compiles the one in C, for whole programs; :class:`FakeNVML` is an object to put in
the place of ``pynvml.nvmlLib``, with a clock that the test moves.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    import pytest

SOURCE = Path(__file__).with_name("fake_nvml.c")
NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, GPU_IS_LOST = 3, 4, 6, 15
GIB = 2**30


def build_library(folder: Path) -> Path:
    """Compile ``libnvidia-ml.so.1`` into ``folder``, to be named first in ``LD_LIBRARY_PATH``.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("a C compiler (cc, gcc or clang) is needed to build the fake NVML")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-lm"], check=True, timeout=60
    )
    return library


@dataclass
class FakeGPU:
    """One GPU, and what its sensors say.

    Args:
        power_w: power as a function of time.
        energy_j: counter as a function of time.
        errors: NVML's code by name of the function that fails.
        instances: number of MIG instances.
        sm_active_percent: what the performance monitors say; None where there are none.
        nvlink_mib_per_s: traffic out; in is twice that.
    """

    power_w: Callable[[float], float] = lambda _: 300.0
    energy_j: Callable[[float], float] = lambda time_s: 1e6 + 300.0 * time_s
    utilization_percent: int = 50
    errors: dict[str, int] = field(default_factory=dict)
    instances: int = 0
    sm_active_percent: float | None = None
    nvlink_mib_per_s: float = 8.0
    reasons: int = 0x4


class FakeNVML:
    """A library of NVML functions over fake GPUs; counts the calls of each.

    Args:
        gpus: the GPUs of the node.
        errors: NVML's code by name of the function that fails, for all GPUs.
    """

    def __init__(self, *gpus: FakeGPU, errors: dict[str, int] | None = None) -> None:
        self.gpus = gpus
        self.errors = errors or {}
        self.time_s = 0.0
        self.users = 0
        self.calls: dict[str, int] = {}
        self.samples: dict[int, float] = {}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeNVML:
        """Be the library that ``pynvml`` has loaded, until the test ends."""
        monkeypatch.setattr(pynvml, "nvmlLib", self)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        return self

    def uuid(self, index: int, instance: int = -1) -> str:
        kind = "GPU" if instance < 0 else "MIG"
        return f"{kind}-{index + 10:x}{index:07x}-fa4e-4000-8000-{instance + 1:012x}"

    def __getattr__(self, name: str) -> Callable[..., int]:
        short = name.removesuffix("_v2").removesuffix("_v3")
        answer = getattr(type(self), f"_{short}", None)
        if not name.startswith("nvml") or answer is None:
            raise AttributeError(name)

        def call(*args: Any) -> int:
            self.calls[name] = self.calls.get(name, 0) + 1
            planted = self.errors.get(name)
            if planted is None and short.startswith(("nvmlDevice", "nvmlGpm")) and args:
                gpu = self._gpu(args[0])
                planted = gpu.errors.get(name) if gpu else None
            return planted if planted is not None else answer(self, *args) or 0

        return call

    def _gpu(self, handle: Any) -> FakeGPU | None:
        if not isinstance(handle, pynvml.c_nvmlDevice_t):
            return None
        return self.gpus[(_address(handle) >> 8) - 1]

    @staticmethod
    def _instance(handle: Any) -> int:
        return (_address(handle) & 0xFF) - 1

    def _nvmlInitWithFlags(self, flags: int) -> None:
        self.users += 1

    def _nvmlShutdown(self) -> None:
        self.users -= 1

    def _nvmlDeviceGetCount(self, count: Any) -> None:
        count._obj.value = len(self.gpus)

    def _nvmlDeviceGetHandleByIndex(self, index: Any, handle: Any) -> int:
        _point(handle, (index.value + 1) << 8)
        return self.gpus[index.value].errors.get("handle", 0)

    def _nvmlDeviceGetUUID(self, handle: Any, text: Any, length: Any) -> None:
        text.value = self.uuid((_address(handle) >> 8) - 1, self._instance(handle)).encode()

    def _nvmlDeviceGetName(self, handle: Any, text: Any, length: Any) -> None:
        text.value = b"Fake GPU"

    def _nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, millijoules: Any) -> None:
        millijoules._obj.value = round(self._gpu(handle).energy_j(self.time_s) * 1000)

    def _nvmlDeviceGetPowerUsage(self, handle: Any, milliwatts: Any) -> None:
        milliwatts._obj.value = round(self._gpu(handle).power_w(self.time_s) * 1000)

    def _nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> None:
        rates._obj.gpu = self._gpu(handle).utilization_percent

    def _nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> None:
        share = 8 if self._instance(handle) >= 0 else 1
        memory._obj.total, memory._obj.used = 80 * GIB // share, 20 * GIB // share

    def _nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, celsius: Any) -> None:
        celsius._obj.value = 55

    def _nvmlDeviceGetClockInfo(self, handle: Any, kind: Any, mhz: Any) -> None:
        mhz._obj.value = 1980 if kind.value == pynvml.NVML_CLOCK_SM else 2619

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle: Any, reasons: Any) -> None:
        reasons._obj.value = self._gpu(handle).reasons

    def _nvmlDeviceGetPcieThroughput(self, handle: Any, counter: Any, kib_per_s: Any) -> None:
        kib_per_s._obj.value = 2048 if counter.value == pynvml.NVML_PCIE_UTIL_TX_BYTES else 4096

    def _nvmlDeviceGetFieldValues(self, handle: Any, count: Any, values: Any) -> None:
        for value in values._obj:
            out = value.fieldId == pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX
            rate = self._gpu(handle).nvlink_mib_per_s * (1 if out else 2)
            value.timestamp = int(self.time_s * 1e6)
            value.value.ullVal = int(rate * 1024 * self.time_s)

    def _nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> None:
        current._obj.value = pending._obj.value = int(self._gpu(handle).instances > 0)

    def _nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, count: Any) -> None:
        count._obj.value = 7

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: Any, instance: Any) -> int:
        if index.value >= self._gpu(handle).instances:
            return NOT_FOUND
        _point(instance, _address(handle) + index.value + 1)
        return 0

    def _nvmlGpmQueryDeviceSupport(self, handle: Any, support: Any) -> None:
        support._obj.isSupportedDevice = int(self._gpu(handle).sm_active_percent is not None)

    def _nvmlGpmSampleAlloc(self, sample: Any) -> None:
        self.samples[len(self.samples) + 1] = 0.0
        _point(sample, len(self.samples))

    def _nvmlGpmSampleFree(self, sample: Any) -> None:
        del self.samples[_address(sample)]

    def _nvmlGpmSampleGet(self, handle: Any, sample: Any) -> None:
        self.samples[_address(sample)] = self.time_s

    def _nvmlGpmMetricsGet(self, request: Any) -> int:
        metrics = request._obj
        if self.samples[_address(metrics.sample2)] <= self.samples[_address(metrics.sample1)]:
            return 2
        for slot in range(metrics.numMetrics):
            metric = metrics.metrics[slot]
            metric.nvmlReturn = 0
            is_activity = metric.metricId == pynvml.NVML_GPM_METRIC_SM_UTIL
            metric.value = self.gpus[0].sm_active_percent if is_activity else float(metric.metricId)
        return 0


def _address(pointer: Any) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _point(reference: Any, address: int) -> None:
    """Let the pointer behind a ``byref`` point at ``address``."""
    ctypes.cast(ctypes.addressof(reference._obj), ctypes.POINTER(ctypes.c_void_p))[0] = address
