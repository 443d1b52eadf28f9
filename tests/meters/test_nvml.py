from __future__ import annotations

from collections.abc import Callable

import pytest

from lightning_itwin.meters import nvml
from lightning_itwin.meters.gpu_sensors import GPULostError, GPUUnavailableError
from lightning_itwin.meters.nvml import NVMLSensors
from lightning_itwin.optional import MissingExtraError
from tests.fakes.nvml import GPU_IS_LOST, NO_PERMISSION, NOT_SUPPORTED, FakeGPU, FakeNVML

Install = Callable[..., FakeNVML]


def test_every_sensor_in_its_unit(install_nvml: Install) -> None:
    install_nvml(FakeGPU(power_w=lambda _: 412.5, energy_j=lambda _: 1234.5, utilization_percent=87))
    sensors = NVMLSensors()
    (gpu,) = sensors.devices
    assert (gpu.index, gpu.name, gpu.instances) == (0, "Fake GPU", ())
    assert gpu.uuid == "GPU-a0000000-fa4e-4000-8000-000000000000"
    reading = sensors.read(gpu)
    assert (reading.energy_j, reading.power_w, reading.utilization_percent) == (1234.5, 412.5, 87.0)
    assert (reading.memory_gib, reading.memory_total_gib, reading.temperature_c) == (20.0, 80.0, 55.0)
    assert (reading.sm_clock_mhz, reading.memory_clock_mhz) == (1980.0, 2619.0)
    assert reading.throttle_reasons == "sw_power_cap"
    assert reading.sm_active_percent is None
    assert reading.pcie_tx_mib_per_s is None


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION])
@pytest.mark.parametrize(
    ("function", "field"),
    [
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_j"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
        ("nvmlDeviceGetUtilizationRates", "utilization_percent"),
        ("nvmlDeviceGetTemperature", "temperature_c"),
        ("nvmlDeviceGetClockInfo", "sm_clock_mhz"),
        ("nvmlDeviceGetCurrentClocksEventReasons", "throttle_reasons"),
    ],
)
def test_a_sensor_that_is_not_there_is_unknown_and_asked_once(
    install_nvml: Install, function: str, field: str, code: int
) -> None:
    library = install_nvml(FakeGPU(errors={function: code}))
    sensors = NVMLSensors()
    asked = []
    for _ in range(3):
        assert getattr(sensors.read(sensors.devices[0]), field) is None
        asked.append(library.calls[function])
    assert asked[0] == asked[-1]


def test_a_sensor_that_is_busy_is_asked_again(install_nvml: Install) -> None:
    errors = {"nvmlDeviceGetPowerUsage": 10}
    install_nvml(FakeGPU(errors=errors))
    sensors = NVMLSensors()
    assert sensors.read(sensors.devices[0]).power_w is None
    errors.clear()
    assert sensors.read(sensors.devices[0]).power_w == 300.0


@pytest.mark.parametrize("code", [1, 9, GPU_IS_LOST, 16, 28])
def test_a_lost_gpu_says_so(install_nvml: Install, code: int) -> None:
    errors: dict[str, int] = {}
    install_nvml(FakeGPU(), FakeGPU(errors=errors))
    sensors = NVMLSensors()
    errors["nvmlDeviceGetTotalEnergyConsumption"] = code
    with pytest.raises(GPULostError, match="GPU 1 is lost"):
        sensors.read(sensors.devices[1])
    assert sensors.read(sensors.devices[0]).power_w == 300.0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (NO_PERMISSION, "no permission"),
        (9, "driver is not loaded"),
        (12, "no NVIDIA driver is installed"),
        (18, "different versions"),
        (999, "Unknown Error"),
    ],
)
def test_a_driver_that_lets_nobody_in(install_nvml: Install, code: int, reason: str) -> None:
    install_nvml(FakeGPU(), nvmlInitWithFlags=code)
    with pytest.raises(GPUUnavailableError, match=reason):
        NVMLSensors()


def test_no_gpu_and_no_count(install_nvml: Install) -> None:
    library = install_nvml()
    with pytest.raises(GPUUnavailableError, match="finds no GPU"):
        NVMLSensors()
    assert library.users == 0
    library = install_nvml(FakeGPU(), nvmlDeviceGetCount_v2=999)
    with pytest.raises(GPUUnavailableError, match="cannot count"):
        NVMLSensors()
    assert library.users == 0


@pytest.mark.parametrize("broken", ["handle", "nvmlDeviceGetUUID", "nvmlDeviceGetName"])
def test_a_gpu_that_is_gone_from_the_start_leaves_the_others(install_nvml: Install, broken: str) -> None:
    install_nvml(FakeGPU(errors={broken: GPU_IS_LOST}), FakeGPU())
    sensors = NVMLSensors()
    assert [gpu.index for gpu in sensors.devices] == [1]
    assert "GPU 0" in sensors.faults[0]


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> None:
        raise MissingExtraError(f"pip install 'lightning-itwin[{extra}]'")

    monkeypatch.setattr(nvml, "require", missing)
    with pytest.raises(MissingExtraError, match=r"lightning-itwin\[gpu\]"):
        NVMLSensors()


def test_memory_of_an_old_driver(install_nvml: Install) -> None:
    library = install_nvml(FakeGPU(errors={"nvmlDeviceGetMemoryInfo_v2": 13}))
    sensors = NVMLSensors()
    assert sensors.read(sensors.devices[0]).memory_gib == 20.0
    assert library.calls["nvmlDeviceGetMemoryInfo"] == 1


def test_a_gpu_split_by_mig(install_nvml: Install) -> None:
    library = install_nvml(FakeGPU(instances=2, errors={"nvmlDeviceGetUtilizationRates": NOT_SUPPORTED}))
    sensors = NVMLSensors()
    (gpu,) = sensors.devices
    assert gpu.instances == (library.uuid(0, 0), library.uuid(0, 1))
    reading = sensors.read(gpu)
    assert (reading.power_w, reading.utilization_percent, reading.memory_gib) == (300.0, None, 20.0)


def test_a_user_of_mig_instances_reads_their_memory(install_nvml: Install) -> None:
    class Guarded(FakeNVML):
        def _nvmlDeviceGetMemoryInfo(self, handle: object, memory: object) -> int:
            if self._instance(handle) < 0:
                return NO_PERMISSION
            super()._nvmlDeviceGetMemoryInfo(handle, memory)
            return 0

    library = install_nvml(FakeGPU(instances=2))
    library.__class__ = Guarded
    sensors = NVMLSensors()
    reading = sensors.read(sensors.devices[0])
    assert (reading.memory_gib, reading.memory_total_gib) == (5.0, 20.0)


def test_links_of_a_gpu_without_performance_monitors(install_nvml: Install) -> None:
    library = install_nvml(FakeGPU(nvlink_mib_per_s=8.0))
    sensors = NVMLSensors(link_throughput=True)
    assert sensors.read(sensors.devices[0]).nvlink_tx_mib_per_s is None
    library.time_s = 2.0
    reading = sensors.read(sensors.devices[0])
    assert (reading.pcie_tx_mib_per_s, reading.pcie_rx_mib_per_s) == (2.0, 4.0)
    assert (reading.nvlink_tx_mib_per_s, reading.nvlink_rx_mib_per_s) == (8.0, 16.0)


def test_performance_monitors_give_means_between_readings(install_nvml: Install) -> None:
    library = install_nvml(FakeGPU(sm_active_percent=37.5))
    sensors = NVMLSensors(link_throughput=True)
    assert sensors.read(sensors.devices[0]).sm_active_percent is None
    library.time_s = 1.0
    reading = sensors.read(sensors.devices[0])
    assert reading.sm_active_percent == 37.5
    assert (reading.pcie_tx_mib_per_s, reading.nvlink_rx_mib_per_s) == (20.0, 60.0)
    assert "nvmlDeviceGetPcieThroughput" not in library.calls
    sensors.close()
    assert library.samples == {}


def test_performance_monitors_that_this_user_may_not_read(install_nvml: Install) -> None:
    library = install_nvml(FakeGPU(sm_active_percent=37.5, errors={"nvmlGpmSampleGet": NO_PERMISSION}))
    sensors = NVMLSensors()
    for _ in range(3):
        assert sensors.read(sensors.devices[0]).sm_active_percent is None
    assert library.calls["nvmlGpmSampleGet"] == 1


def test_the_driver_is_let_go_of_once(install_nvml: Install) -> None:
    library = install_nvml(FakeGPU())
    library.users = 1  # other code of the process holds it too
    sensors = NVMLSensors()
    sensors.close()
    sensors.close()
    assert library.users == 1


def test_closing_after_the_driver_has_gone(install_nvml: Install) -> None:
    errors: dict[str, int] = {}
    library = install_nvml(FakeGPU(sm_active_percent=1.0))
    library.errors = errors
    sensors = NVMLSensors()
    errors.update(nvmlShutdown=1, nvmlGpmSampleFree=1)
    sensors.close()
