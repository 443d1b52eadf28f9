"""Readings of AMD GPUs through AMD SMI, the library that ROCm brings.

Written after its reference alone: it has not run on an AMD GPU yet.

Reference:
    AMD, "AMD SMI Python API reference".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightning_itwin.meters.gpu_sensors import GPUDevice, GPUReading, GPUUnavailableError
from lightning_itwin.optional import available

_MIB_PER_GIB = 1024


class ROCmSensors:
    """The AMD GPUs of this node.

    Raises:
        GPUUnavailableError: library, driver or device is missing.
    """

    def __init__(self) -> None:
        if not available("amdsmi"):
            raise GPUUnavailableError(
                "'amdsmi' is not installed; it comes with ROCm: pip install /opt/rocm/share/amd_smi"
            )
        try:
            import amdsmi
        except (ImportError, OSError, KeyError, AttributeError) as error:  # its import loads the library
            raise GPUUnavailableError(f"'amdsmi' does not fit this ROCm: {error!r}") from None
        self._smi: Any = amdsmi
        self.faults: tuple[str, ...] = ()
        try:
            amdsmi.amdsmi_init()
            handles = list(amdsmi.amdsmi_get_processor_handles())
        except amdsmi.AmdSmiException as error:
            raise GPUUnavailableError(f"AMD SMI: {error}") from None
        if not handles:
            raise GPUUnavailableError("the AMD driver finds no GPU on this node")
        self._handles: dict[int, Any] = dict(enumerate(handles))
        self.devices = tuple(
            GPUDevice(
                index=index,
                uuid=str(self._ask(amdsmi.amdsmi_get_gpu_device_uuid, handle) or f"AMD-{index}"),
                name=str(self._fields(amdsmi.amdsmi_get_gpu_asic_info, handle).get("market_name", "AMD GPU")),
            )
            for index, handle in self._handles.items()
        )

    def read(self, device: GPUDevice) -> GPUReading:
        """Read one GPU; a GPU that has gone reads empty."""
        smi, gpu = self._smi, self._handles[device.index]
        energy = self._fields(smi.amdsmi_get_energy_count, gpu)
        power = self._fields(smi.amdsmi_get_power_info, gpu)
        memory = self._fields(smi.amdsmi_get_gpu_vram_usage, gpu)
        activity = self._fields(smi.amdsmi_get_gpu_activity, gpu)
        count = _number(energy.get("energy_accumulator", energy.get("power")))
        unit_uj = _number(energy.get("counter_resolution"))
        watts = (_number(power.get(name)) for name in ("current_socket_power", "average_socket_power"))
        used_mib, total_mib = _number(memory.get("vram_used")), _number(memory.get("vram_total"))
        temperature = self._ask(
            smi.amdsmi_get_temp_metric,
            gpu,
            smi.AmdSmiTemperatureType.HOTSPOT,
            smi.AmdSmiTemperatureMetric.CURRENT,
        )
        return GPUReading(
            # the second die of a two-die card reports neither: its card's first die counts for both
            energy_j=count * unit_uj / 1e6 if count and unit_uj else None,
            power_w=next((value for value in watts if value is not None), None),
            utilization_percent=_number(activity.get("gfx_activity")),
            memory_gib=None if used_mib is None else used_mib / _MIB_PER_GIB,
            memory_total_gib=None if total_mib is None else total_mib / _MIB_PER_GIB,
            temperature_c=_number(temperature),
        )

    def close(self) -> None:
        """Let go of the driver."""
        self._ask(self._smi.amdsmi_shut_down)

    def _ask(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except self._smi.AmdSmiException:
            return None

    def _fields(self, call: Callable[..., Any], *args: Any) -> Mapping[str, Any]:
        return self._ask(call, *args) or {}


def _number(value: Any) -> float | None:
    """Give a number; None for what AMD SMI calls ``"N/A"``."""
    return float(value) if isinstance(value, (int, float)) else None
