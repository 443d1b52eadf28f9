"""Readings of NVIDIA GPUs through NVML, the library that the driver brings.

Reference:
    NVIDIA, "NVML API reference guide"; the binding is ``nvidia-ml-py`` (``import pynvml``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning_itwin.meters.gpu_sensors import (
    GPUDevice,
    GPULostError,
    GPUReading,
    GPUUnavailableError,
)
from lightning_itwin.meters.nvml_gpm import PerformanceMonitor
from lightning_itwin.optional import require

_GIB = 2**30

# NVML's codes: what they mean for us. Every other code leaves out the one value, this once.
_GONE = {
    1: "the driver's library was shut down by other code in this process",  # UNINITIALIZED
    9: "its driver is no longer loaded",  # DRIVER_NOT_LOADED
    15: "it has fallen off the bus",  # GPU_IS_LOST
    16: "it needs a reset",  # RESET_REQUIRED
    28: "it is no longer there",  # GPU_NOT_FOUND
}
_NEVER = {3, 4, 13}  # NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND: asking again would only cost time
_NO_ACCESS = {
    4: "this user may not read the GPUs (NVML: no permission)",
    9: "the NVIDIA driver is not loaded",
    12: "no NVIDIA driver is installed (libnvidia-ml.so.1 not found)",
    18: "the NVIDIA driver and its library are of different versions: the node needs a restart",
}

# bits of nvmlDeviceGetCurrentClocksEventReasons; bit 0 says that the GPU idles, which slows nothing down
_THROTTLE_REASONS = {
    0x002: "application_clocks",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal",
    0x040: "hw_thermal",
    0x080: "hw_power_brake",
    0x100: "display_clocks",
}


class NVMLSensors:
    """The NVIDIA GPUs of this node.

    Args:
        link_throughput: also read PCIe and NVLink traffic. Where the GPU lacks performance monitors (before
            Hopper) a reading of PCIe traffic takes the driver about 20 ms in each direction.

    Raises:
        GPUUnavailableError: driver, permission or device is missing.
        MissingExtraError: ``nvidia-ml-py`` is not installed.
    """

    def __init__(self, *, link_throughput: bool = False) -> None:
        self._nvml = nvml = require("pynvml", extra="gpu")
        self._link_throughput = link_throughput
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            raise GPUUnavailableError(_NO_ACCESS.get(error.value, f"NVML: {error}")) from None
        self._handles: dict[str, Any] = {}
        self._instances: dict[str, list[Any]] = {}
        self._monitors: dict[str, PerformanceMonitor] = {}
        self._never: set[tuple[str, str, str]] = set()
        self._links: dict[tuple[str, int], tuple[int, int]] = {}
        self._closed = False
        faults: list[str] = []
        self.devices = self._find_devices(faults)
        self.faults = tuple(faults)
        if not self.devices:
            self.close()
            raise GPUUnavailableError("; ".join(faults) or "the NVIDIA driver finds no GPU on this node")

    def read(self, device: GPUDevice) -> GPUReading:
        """Read one GPU; energy and power come first, close to the moment of the call.

        Raises:
            GPULostError: the GPU has gone.
        """
        nvml, gpu, ask = self._nvml, self._handles[device.uuid], self._ask
        energy_mj = ask(device, nvml.nvmlDeviceGetTotalEnergyConsumption, gpu)
        power_mw = ask(device, nvml.nvmlDeviceGetPowerUsage, gpu)
        rates = ask(device, nvml.nvmlDeviceGetUtilizationRates, gpu)
        used, total = self._memory(device)
        reasons = ask(device, nvml.nvmlDeviceGetCurrentClocksEventReasons, gpu)
        if reasons is None:  # its name before driver 535
            reasons = ask(device, nvml.nvmlDeviceGetCurrentClocksThrottleReasons, gpu)
        temperature = ask(device, nvml.nvmlDeviceGetTemperature, gpu, nvml.NVML_TEMPERATURE_GPU)
        if temperature is None and hasattr(nvml, "nvmlDeviceGetTemperatureV"):
            temperature = ask(device, nvml.nvmlDeviceGetTemperatureV, gpu, nvml.NVML_TEMPERATURE_GPU)
        monitored = ask(device, self._monitors[device.uuid].read) if device.uuid in self._monitors else None
        return GPUReading(
            energy_j=None if energy_mj is None else energy_mj / 1000,
            power_w=None if power_mw is None else power_mw / 1000,
            utilization_percent=None if rates is None else float(rates.gpu),
            memory_gib=None if used is None else used / _GIB,
            memory_total_gib=None if total is None else total / _GIB,
            temperature_c=_number(temperature),
            sm_clock_mhz=_number(ask(device, nvml.nvmlDeviceGetClockInfo, gpu, nvml.NVML_CLOCK_SM)),
            memory_clock_mhz=_number(ask(device, nvml.nvmlDeviceGetClockInfo, gpu, nvml.NVML_CLOCK_MEM)),
            throttle_reasons=None if reasons is None else _reason_names(reasons),
            **(monitored if monitored is not None else self._link_rates(device)),
        )

    def close(self) -> None:
        """Let go of the driver, once; what other code of this process holds of it stays."""
        if self._closed:
            return
        self._closed = True
        for monitor in self._monitors.values():
            monitor.close()
        self._monitors.clear()
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return  # a driver that has gone cannot be let go of

    def _find_devices(self, faults: list[str]) -> tuple[GPUDevice, ...]:
        nvml = self._nvml
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            faults.append(f"NVML cannot count the GPUs: {error}")
            return ()
        devices = []
        for index in range(count):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = nvml.nvmlDeviceGetUUID(handle)
            except nvml.NVMLError as error:
                faults.append(f"GPU {index} does not answer: {error}")
                continue
            self._handles[uuid] = handle
            device = GPUDevice(index=index, uuid=uuid, name="")
            try:
                name = self._ask(device, nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU"
                instances = self._find_instances(device)
            except GPULostError as error:
                faults.append(str(error))
                continue
            devices.append(GPUDevice(index=index, uuid=uuid, name=name, instances=instances))
            monitor = PerformanceMonitor.of(nvml, handle, link_throughput=self._link_throughput)
            if monitor is not None:
                self._monitors[uuid] = monitor
        return tuple(devices)

    def _find_instances(self, device: GPUDevice) -> tuple[str, ...]:
        nvml, handle = self._nvml, self._handles[device.uuid]
        mode = self._ask(device, nvml.nvmlDeviceGetMigMode, handle)
        if mode is None or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return ()
        uuids = []
        self._instances[device.uuid] = []
        for slot in range(self._ask(device, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            try:
                instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot)
                uuids.append(nvml.nvmlDeviceGetUUID(instance))
            except nvml.NVMLError:
                continue  # an empty slot
            self._instances[device.uuid].append(instance)
        return tuple(uuids)

    def _ask(self, device: GPUDevice, call: Callable[..., Any], *args: Any) -> Any:
        """Call NVML; None where it cannot tell."""
        question = (device.uuid, call.__name__, repr(args[1:]))
        if question in self._never:
            return None
        try:
            return call(*args)
        except self._nvml.NVMLError as error:
            if error.value in _GONE:
                raise GPULostError(f"GPU {device.index} is lost: {_GONE[error.value]}") from None
            if error.value in _NEVER:
                self._never.add(question)
            return None

    def _memory(self, device: GPUDevice) -> tuple[int | None, int | None]:
        nvml = self._nvml
        info = self._ask(device, self._memory_info, self._handles[device.uuid])
        if info is not None:
            return info.used, info.total
        # A user of a MIG instance may not read the memory of the whole GPU, but that of the instances.
        parts = [self._ask(device, nvml.nvmlDeviceGetMemoryInfo, part) for part in self._mig(device)]
        known = [part for part in parts if part is not None]
        if not known:
            return None, None
        return sum(part.used for part in known), sum(part.total for part in known)

    def _memory_info(self, handle: Any) -> Any:
        """Ask for memory; version 2 leaves out of ``used`` what the driver keeps for itself."""
        nvml = self._nvml
        try:
            return nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        except nvml.NVMLError as error:
            if error.value not in _NEVER:
                raise
        return nvml.nvmlDeviceGetMemoryInfo(handle)

    def _mig(self, device: GPUDevice) -> list[Any]:
        return self._instances.get(device.uuid, [])

    def _link_rates(self, device: GPUDevice) -> dict[str, float | None]:
        if not self._link_throughput:
            return {}
        nvml, gpu = self._nvml, self._handles[device.uuid]
        rates: dict[str, float | None] = {}
        for name, counter in (
            ("pcie_tx_mib_per_s", nvml.NVML_PCIE_UTIL_TX_BYTES),
            ("pcie_rx_mib_per_s", nvml.NVML_PCIE_UTIL_RX_BYTES),
        ):
            kib_per_s = self._ask(device, nvml.nvmlDeviceGetPcieThroughput, gpu, counter)
            rates[name] = None if kib_per_s is None else kib_per_s / 1024
        all_links = 0xFFFFFFFF  # scope of a field that sums the links
        for name, field in (
            ("nvlink_tx_mib_per_s", nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX),
            ("nvlink_rx_mib_per_s", nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX),
        ):
            values = self._ask(device, nvml.nvmlDeviceGetFieldValues, gpu, [(field, all_links)])
            if values is not None and values[0].nvmlReturn == nvml.NVML_SUCCESS:
                rates[name] = self._rate(device, field, values[0].timestamp, values[0].value.ullVal)
        return rates

    def _rate(self, device: GPUDevice, field: int, now_us: int, now_kib: int) -> float | None:
        """Give MiB a second since the last reading of a counter in KiB."""
        before = self._links.get((device.uuid, field))
        self._links[device.uuid, field] = (now_us, now_kib)
        if before is None or now_us <= before[0] or now_kib < before[1]:
            return None
        return (now_kib - before[1]) / 1024 / ((now_us - before[0]) / 1e6)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _reason_names(bits: int) -> str:
    """Name the bits of NVML's clock event reasons.

    >>> _reason_names(0x44), _reason_names(0x1)
    ('sw_power_cap+hw_thermal', '')
    """
    return "+".join(name for bit, name in _THROTTLE_REASONS.items() if bits & bit)
