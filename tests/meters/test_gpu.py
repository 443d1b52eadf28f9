from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest
import torch

from lightning_itwin.meters import gpu as gpu_module
from lightning_itwin.meters.gpu import GPUMeter, open_sensors
from lightning_itwin.meters.gpu_sensors import (
    GPUDevice,
    GPULostError,
    GPUReading,
    GPUUnavailableError,
    NoSensors,
)
from lightning_itwin.optional import MissingExtraError
from lightning_itwin.records import GPURecord

A = GPUDevice(index=0, uuid="GPU-a", name="Fake")
B = GPUDevice(index=1, uuid="GPU-b", name="Fake")


class Sensors:
    """Sensors of GPUs that draw 300 W, on a clock that the test moves."""

    def __init__(self, *devices: GPUDevice) -> None:
        self.devices = devices
        self.faults: tuple[str, ...] = ()
        self.time_s = 1000.0
        self.answer: Callable[[GPUDevice], GPUReading] = lambda _: GPUReading(
            energy_j=300 * self.time_s, power_w=300.0, utilization_percent=50.0
        )
        self.closed = 0
        self.reads = 0

    def read(self, device: GPUDevice) -> GPUReading:
        self.reads += 1
        return self.answer(device)

    def close(self) -> None:
        self.closed += 1


def meter_of(sensors: Sensors, rows: list[GPURecord], **options: float) -> GPUMeter:
    return GPUMeter(
        sensors,
        sensors.devices,
        rows.append,
        rank=3,
        node="n",
        clock=lambda: sensors.time_s,
        wall_clock=lambda: 1e9 + sensors.time_s,
        **options,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 10 s in vain")


def test_rows_bear_time_place_and_energy_since_the_first() -> None:
    sensors, rows = Sensors(A, B), []
    meter = meter_of(sensors, rows)
    meter.read()
    sensors.time_s += 60
    meter.read()
    assert [row.energy_wh for row in rows] == [0.0, 0.0, 5.0, 5.0]
    last = rows[-1]
    assert (last.time_unix_s, last.rank, last.node, last.index, last.uuid) == (1e9 + 1060, 3, "n", 1, "GPU-b")
    assert (last.energy_source, last.power_w, last.utilization_percent) == ("counter", 300.0, 50.0)
    assert meter.total_energy_wh == 10.0


def test_means_cover_the_time_since_they_were_taken() -> None:
    sensors, rows = Sensors(A), []
    meter = meter_of(sensors, rows)
    assert meter.take_means() == ()
    for power_w in (100.0, 200.0):
        sensors.answer = lambda _, power_w=power_w: GPUReading(power_w=power_w, temperature_c=40.0)
        meter.read()
    (means,) = meter.take_means()
    assert (means.device, means.power_w, means.temperature_c) == (A, 150.0, 40.0)
    assert means.utilization_percent is None
    assert meter.take_means() == ()


def test_a_lost_gpu_leaves_the_others_and_keeps_its_energy() -> None:
    sensors, rows = Sensors(A, B), []
    meter = meter_of(sensors, rows)
    meter.read()
    sensors.time_s += 60
    meter.read()
    answer = sensors.answer

    def lost(device: GPUDevice) -> GPUReading:
        if device is A:
            raise GPULostError("GPU 0 is lost: it has fallen off the bus")
        return answer(device)

    sensors.answer = lost
    sensors.time_s += 60
    meter.read()
    meter.read()
    assert meter.devices == (B,)
    assert meter.take_faults() == ("GPU 0 is lost: it has fallen off the bus",)
    assert meter.take_faults() == ()
    assert meter.total_energy_wh == 5.0 + 10.0


def test_a_gpu_that_tells_nothing_is_dropped() -> None:
    sensors, rows = Sensors(A), []
    sensors.answer = lambda _: GPUReading()
    meter = meter_of(sensors, rows)
    meter.read()
    assert (meter.devices, rows, meter.total_energy_wh) == ((), [], None)
    assert "tells nothing" in meter.take_faults()[0]


def test_a_gpu_that_falls_silent_is_dropped_after_three_readings() -> None:
    sensors, rows = Sensors(A), []
    meter = meter_of(sensors, rows)
    meter.read()
    sensors.answer = lambda _: GPUReading()
    for expected in ((A,), (A,), ()):
        meter.read()
        assert meter.devices == expected
    assert len(rows) == 1


def test_energy_that_cannot_be_read_is_warned_of_once() -> None:
    sensors, rows = Sensors(A), []
    sensors.answer = lambda _: GPUReading(utilization_percent=50.0)
    meter = meter_of(sensors, rows)
    meter.read()
    meter.read()
    assert len(meter.take_faults()) == 1
    assert (rows[-1].energy_wh, rows[-1].energy_source, meter.total_energy_wh) == (None, None, None)


def test_a_full_disk_ends_the_reading_and_nothing_else() -> None:
    def full(_: GPURecord) -> None:
        raise OSError(28, "No space left on device")

    meter = GPUMeter(Sensors(A), [A], full)
    meter.start()
    assert meter.devices == ()
    assert "No space left" in meter.take_faults()[0]
    meter.stop()


def test_the_thread_reads_at_its_interval_and_stop_reads_last() -> None:
    sensors, rows = Sensors(A), []
    meter = GPUMeter(sensors, [A], rows.append, interval_s=0.1)
    meter.start()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "lightning_itwin-gpu"]
    assert thread.daemon
    wait_for(lambda: len(rows) >= 4)
    sensors.time_s += 3600
    meter.stop()
    assert not thread.is_alive()
    assert rows[-1].energy_wh == pytest.approx(300)
    count = len(rows)
    meter.stop()
    assert (len(rows), sensors.closed) == (count, 1)


def test_the_thread_ends_with_the_last_gpu() -> None:
    sensors, rows = Sensors(A), []
    meter = GPUMeter(sensors, [A], rows.append, interval_s=0.1)
    meter.start()

    def lost(_: GPUDevice) -> GPUReading:
        raise GPULostError("gone")

    sensors.answer = lost
    wait_for(lambda: not any(thread.name == "lightning_itwin-gpu" for thread in threading.enumerate()))
    meter.stop()
    assert sensors.closed == 1


def test_a_driver_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_module, "_JOIN_S", 0.1)
    sensors, release = Sensors(A), threading.Event()
    meter = GPUMeter(sensors, [A], lambda _: None, interval_s=0.1)
    meter.start()
    answer = sensors.answer
    sensors.answer = lambda device: answer(device) if release.wait(10) else GPUReading()
    wait_for(lambda: sensors.reads == 2)
    meter.stop()
    assert "has not answered" in meter.take_faults()[0]
    assert sensors.closed == 0
    release.set()


def test_without_devices_there_is_no_thread() -> None:
    before = threading.active_count()
    meter = GPUMeter(NoSensors(), (), lambda _: None)
    meter.start()
    assert threading.active_count() == before
    assert (meter.take_means(), meter.take_faults(), meter.total_energy_wh) == ((), (), None)
    meter.stop()
    meter.stop()


def test_reading_draws_no_random_numbers() -> None:
    torch.manual_seed(1)
    random.seed(1)
    before = torch.random.get_rng_state(), random.getstate()
    meter = meter_of(Sensors(A), [])
    meter.start()
    meter.stop()
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_memory_does_not_grow_with_the_readings() -> None:
    sensors = Sensors(A)
    meter = GPUMeter(sensors, [A], lambda _: None, clock=lambda: sensors.time_s)
    for _ in range(1000):
        sensors.time_s += 1
        meter.read()
    assert len(vars(meter._sums[A])["_sums"]) <= 5


def test_a_missing_package_is_a_missing_gpu_that_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: bool) -> None:
        raise MissingExtraError("pip install 'lightning-itwin[gpu]'")

    monkeypatch.setattr(gpu_module, "NVMLSensors", missing)
    with pytest.raises(GPUUnavailableError, match=r"lightning-itwin\[gpu\]"):
        open_sensors()


def test_a_torch_for_rocm_opens_amd_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(gpu_module, "ROCmSensors", lambda: NoSensors())
    assert isinstance(open_sensors(), NoSensors)
