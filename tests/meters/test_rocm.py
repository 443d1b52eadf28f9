from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from lightning_itwin.meters import rocm
from lightning_itwin.meters.gpu_sensors import GPUUnavailableError
from lightning_itwin.meters.rocm import ROCmSensors


class AmdSmiError(Exception):
    pass


@pytest.fixture
def amdsmi(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stand in for ``amdsmi`` with the answers that its reference documents."""
    module = ModuleType("amdsmi")
    module.AmdSmiException = AmdSmiError
    module.AmdSmiTemperatureType = SimpleNamespace(HOTSPOT=1)
    module.AmdSmiTemperatureMetric = SimpleNamespace(CURRENT=0)
    module.amdsmi_init = lambda: None
    module.amdsmi_shut_down = lambda: None
    module.amdsmi_get_processor_handles = lambda: ["first", "second"]
    module.amdsmi_get_gpu_device_uuid = lambda handle: f"uuid-of-{handle}"
    module.amdsmi_get_gpu_asic_info = lambda _: {"market_name": "AMD Instinct MI300X"}
    module.amdsmi_get_energy_count = lambda _: {"energy_accumulator": 2_000_000, "counter_resolution": 15.3}
    module.amdsmi_get_power_info = lambda _: {"current_socket_power": 512, "average_socket_power": "N/A"}
    module.amdsmi_get_gpu_vram_usage = lambda _: {"vram_total": 196608, "vram_used": 2048}
    module.amdsmi_get_gpu_activity = lambda _: {"gfx_activity": 93, "umc_activity": 12, "mm_activity": "N/A"}
    module.amdsmi_get_temp_metric = lambda *_: 61
    monkeypatch.setitem(sys.modules, "amdsmi", module)
    monkeypatch.setattr(rocm, "available", lambda _: True)
    return module


def test_every_sensor_in_its_unit(amdsmi: ModuleType) -> None:
    sensors = ROCmSensors()
    assert [(gpu.index, gpu.uuid) for gpu in sensors.devices] == [(0, "uuid-of-first"), (1, "uuid-of-second")]
    assert sensors.devices[0].name == "AMD Instinct MI300X"
    reading = sensors.read(sensors.devices[0])
    assert reading.energy_j == pytest.approx(30.6)
    assert (reading.power_w, reading.utilization_percent, reading.temperature_c) == (512.0, 93.0, 61.0)
    assert (reading.memory_gib, reading.memory_total_gib) == (2.0, 192.0)
    sensors.close()


def test_what_cannot_be_told_is_unknown(amdsmi: ModuleType) -> None:
    def refuse(*_: object) -> None:
        raise AmdSmiError

    sensors = ROCmSensors()
    amdsmi.amdsmi_get_energy_count = refuse
    amdsmi.amdsmi_get_temp_metric = refuse
    amdsmi.amdsmi_get_power_info = lambda _: {"current_socket_power": "N/A", "average_socket_power": 480}
    reading = sensors.read(sensors.devices[1])
    assert (reading.energy_j, reading.temperature_c, reading.power_w) == (None, None, 480.0)


def test_no_library_no_driver_no_gpu(amdsmi: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    amdsmi.amdsmi_get_processor_handles = list
    with pytest.raises(GPUUnavailableError, match="finds no GPU"):
        ROCmSensors()

    def refuse() -> None:
        raise AmdSmiError("driver not loaded")

    amdsmi.amdsmi_init = refuse
    with pytest.raises(GPUUnavailableError, match="driver not loaded"):
        ROCmSensors()
    monkeypatch.setattr(rocm, "available", lambda _: False)
    with pytest.raises(GPUUnavailableError, match="comes with ROCm"):
        ROCmSensors()
