from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_itwin.meters.energy import EnergyMeter, EnergyReading
from lightning_itwin.meters.processor_energy import ProcessorReading


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


class FakeProcessors:
    """Processors at 90 W and memory at 10 W, measured; not ready before ``ready_s`` have passed."""

    def __init__(self, clock: Clock, ready_s: float = 0.0, failure: str = "") -> None:
        self.clock, self.ready_s, self.failure, self.calls = clock, ready_s, failure, 0

    def start(self) -> None:
        self.start_s = self.clock()

    def read(self, wait_s: float = 0.0) -> ProcessorReading | None:
        self.calls += 1
        seconds = self.clock() - self.start_s
        if self.failure or seconds < self.ready_s:
            return None
        cpu, ram = 90 * seconds / 3.6e6, 10 * seconds / 3.6e6
        return ProcessorReading(
            cpu_kwh=cpu,
            ram_kwh=ram,
            measured_kwh=cpu,
            intensity_g_per_kwh=250.0,
            cpu_source="rapl",
            row=SimpleNamespace(values=ROW),
        )

    stop = read


@dataclass
class FakeGPUs:
    """GPUs with 900 W together."""

    clock: Clock
    known: bool = True
    stopped: bool = False

    def start(self) -> None:
        self.start_s = self.last_s = self.clock()

    def read(self) -> None:
        self.last_s = self.clock()

    def stop(self) -> None:
        self.read()
        self.stopped = True

    @property
    def total_energy_wh(self) -> float | None:
        return 900 * (self.last_s - self.start_s) / 3600 if self.known else None


ROW = {
    **{"run_id": "7", "duration": 1.0, "emissions": 1.0, "emissions_rate": 1.0, "cpu_power": 90.0},
    **{"gpu_power": 0.0, "cpu_energy": 1.0, "gpu_energy": 0.0, "ram_energy": 1.0, "energy_consumed": 2.0},
    **{"country_name": "Germany", "gpu_count": 0, "gpu_model": "", "pue": 1.0},
}


def make(clock: Clock, **options: Any) -> EnergyMeter:
    settings: dict[str, Any] = {
        "processors": FakeProcessors(clock),
        "gpus": None,
        "take": lambda reading: None,
    }
    meter = EnergyMeter(**{**settings, **options}, clock=clock, wall_clock=lambda: 1e9 + clock())
    meter.start()
    return meter


def test_the_parts_add_up() -> None:
    clock = Clock()
    gpus = FakeGPUs(clock)
    meter = make(clock, gpus=gpus)
    clock.now_s += 36.0
    reading = meter.read()
    assert reading is not None
    assert (reading.duration_s, reading.time_unix_s) == (36.0, 1e9 + 86.0)
    assert reading.cpu_kwh == pytest.approx(0.9e-3)
    assert reading.ram_kwh == pytest.approx(0.1e-3)
    assert reading.gpu_kwh == pytest.approx(9e-3)
    assert reading.energy_kwh == pytest.approx(10e-3)
    assert reading.measured_percent == pytest.approx(99.0)
    assert reading.emissions_kg == pytest.approx(2.5e-3)
    clock.now_s += 36.0
    last = meter.stop()
    assert last is not None
    assert last.energy_kwh == pytest.approx(20e-3)
    assert gpus.stopped


def test_the_overhead_of_the_data_centre_is_put_on_gpus_too() -> None:
    clock = Clock()
    meter = make(clock, gpus=FakeGPUs(clock), pue=1.5)
    clock.now_s += 36.0
    reading = meter.stop()
    assert reading is not None
    assert reading.gpu_kwh == pytest.approx(13.5e-3)


def test_a_training_on_cpu_has_no_gpu_part() -> None:
    clock = Clock()
    meter = make(clock)
    clock.now_s += 36.0
    reading = meter.stop()
    assert reading is not None
    assert reading.gpu_kwh is None
    assert reading.energy_kwh == pytest.approx(1e-3)
    assert reading.measured_percent == pytest.approx(90.0)


def test_gpus_whose_energy_is_unknown_are_not_zero() -> None:
    clock = Clock()
    meter = make(clock, gpus=FakeGPUs(clock, known=False))
    clock.now_s += 36.0
    reading = meter.stop()
    assert reading is not None
    assert reading.gpu_kwh is None


def test_nothing_is_told_before_the_processors_are_ready() -> None:
    clock = Clock()
    meter = make(clock, processors=FakeProcessors(clock, ready_s=2.0), gpus=FakeGPUs(clock))
    clock.now_s += 1.0
    assert meter.read() is None
    clock.now_s += 1.0
    assert meter.read() is not None
    meter.stop()


def test_where_codecarbon_has_failed_the_gpus_are_still_told() -> None:
    clock = Clock()
    meter = make(clock, processors=FakeProcessors(clock, failure="ImportError"), gpus=FakeGPUs(clock))
    clock.now_s += 36.0
    reading = meter.stop()
    assert reading is not None
    assert (reading.cpu_kwh, reading.gpu_kwh) == (None, pytest.approx(9e-3))
    assert (reading.emissions_kg, reading.row) == (None, None)
    nothing = make(clock, processors=FakeProcessors(clock, failure="ImportError"))
    assert nothing.stop() is None


def test_a_fresh_reading_is_given_again() -> None:
    clock = Clock()
    processors = FakeProcessors(clock)
    meter = make(clock, processors=processors)
    clock.now_s += 1.0
    first = meter.read()
    clock.now_s += 0.05
    assert meter.read() is first
    assert processors.calls == 1
    clock.now_s += 0.06
    assert meter.read() is not first
    meter.stop()


def test_readings_are_handed_on_at_intervals_until_the_end() -> None:
    clock, taken, three = Clock(), [], threading.Event()

    def take(reading: EnergyReading) -> None:
        taken.append(reading)
        clock.now_s += 1.0
        if len(taken) == 3:
            three.set()

    meter = make(clock, interval_s=0.01, take=take)
    assert three.wait(30)
    meter.stop()
    number = len(taken)
    time.sleep(0.05)
    assert len(taken) <= number + 1
    energies = [reading.energy_kwh for reading in taken]
    assert energies == sorted(energies)
    assert not [thread for thread in threading.enumerate() if thread is meter._thread]


def test_codecarbons_row_gets_the_gpus_in_codecarbons_order() -> None:
    clock = Clock()
    meter = make(clock, gpus=FakeGPUs(clock))
    clock.now_s += 36.0
    reading = meter.stop()
    assert reading is not None
    row = reading.codecarbon_row({"H200": 2})
    assert list(row) == list(ROW)
    assert row["gpu_energy"] == pytest.approx(9e-3)
    assert row["energy_consumed"] == pytest.approx(10e-3)
    assert row["emissions"] == pytest.approx(2.5e-3)
    assert row["emissions_rate"] == pytest.approx(2.5e-3 / 36)
    assert row["gpu_power"] == pytest.approx(900.0)
    assert (row["gpu_count"], row["gpu_model"]) == (2, "2 x H200")
    assert (row["duration"], row["run_id"]) == (36.0, "7")


def test_codecarbons_columns_are_all_there() -> None:
    """The columns that are replaced exist in the installed version."""
    data = pytest.importorskip("codecarbon.output").EmissionsData
    assert set(ROW) <= set(data.__dataclass_fields__)


def test_gpus_of_other_processes_enter_once() -> None:
    clock = Clock()
    meter = make(clock)
    clock.now_s += 36.0
    reading = meter.stop()
    assert reading is not None
    assert reading.with_gpus(0.0) is reading
    both = reading.with_gpus(9e-3)
    assert both.energy_kwh == pytest.approx(10e-3)
    assert both.measured_percent == pytest.approx(99.0)
