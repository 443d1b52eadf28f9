from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lightning_itwin.meters import processor_energy
from lightning_itwin.meters.grid import Grid
from lightning_itwin.meters.processor_energy import ProcessorEnergy

pytest.importorskip("codecarbon")
GERMANY = Grid(country_iso_code="DEU", source="user")
J_PER_KWH = 3.6e6


class FakeTracker:
    """codecarbon's tracker with a known power of 90 W for the processor and 10 W for memory."""

    def __init__(self, output: Any, *, mode: str = "intel_rapl", clock: Any = time.perf_counter) -> None:
        self._hardware = [SimpleNamespace(), SimpleNamespace(_mode=mode)]
        self.output, self.clock = output, clock
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")
        self.start_s = self.clock()

    def flush(self) -> None:
        self.calls.append("flush")
        duration = self.clock() - self.start_s
        cpu, ram = 90 * duration / J_PER_KWH, 10 * duration / J_PER_KWH
        self.output.out(
            SimpleNamespace(
                duration=duration,
                cpu_energy=cpu,
                ram_energy=ram,
                energy_consumed=cpu + ram,
                emissions=(cpu + ram) * 0.25,
            ),
            None,
        )

    def stop(self) -> None:
        self.flush()
        self.calls.append("stop")


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a meter on a fake tracker and a clock of its own, prepared."""

    def make(grid: Grid = GERMANY, mode: str = "intel_rapl", ready: threading.Event | None = None) -> Any:
        clock, made = Clock(), []

        def build(grid: Grid, output: Any, name: str, pue: float) -> FakeTracker:
            if ready is not None:
                assert ready.wait(30)
            made.append(FakeTracker(output, mode=mode, clock=clock))
            return made[0]

        monkeypatch.setattr(processor_energy, "build_tracker", build)
        monkeypatch.setattr(processor_energy, "_YOUNG_S", 0.0)
        meter = ProcessorEnergy(grid, clock=clock)
        meter.prepare()
        if ready is None:
            meter._thread.join(30)  # type: ignore[union-attr]
        return SimpleNamespace(meter=meter, clock=clock, made=made)

    return make


def test_energy_is_power_times_time_and_rapl_is_measured(fake: Any) -> None:
    it = fake()
    it.meter.start()
    it.clock.now_s += 36.0
    reading = it.meter.read()
    assert reading.cpu_kwh == pytest.approx(90 * 36 / J_PER_KWH)
    assert reading.ram_kwh == pytest.approx(10 * 36 / J_PER_KWH)
    assert reading.measured_kwh == reading.cpu_kwh
    assert reading.cpu_source == "rapl"
    assert reading.intensity_g_per_kwh == pytest.approx(250.0)
    it.clock.now_s += 36.0
    last = it.meter.stop()
    assert last.cpu_kwh == pytest.approx(90 * 72 / J_PER_KWH)
    assert it.made[0].calls == ["start", "flush", "flush", "stop"]
    assert it.meter.read() is last
    assert it.meter.stop() is last


def test_what_a_load_model_says_is_not_measured(fake: Any) -> None:
    it = fake(mode="cpu_load")
    it.meter.start()
    it.clock.now_s += 1.0
    reading = it.meter.read()
    assert (reading.cpu_source, reading.measured_kwh) == ("load", 0.0)


def test_a_way_that_is_not_known_is_not_measured(fake: Any) -> None:
    it = fake(mode="cold_fusion")
    it.meter.start()
    it.clock.now_s += 1.0
    reading = it.meter.read()
    assert (reading.cpu_source, reading.measured_kwh) == (None, 0.0)


def test_without_a_grid_there_is_no_intensity(fake: Any) -> None:
    it = fake(grid=Grid())
    it.meter.start()
    it.clock.now_s += 1.0
    assert it.meter.read().intensity_g_per_kwh is None


def test_the_time_until_codecarbon_is_ready_is_filled_in_and_not_measured(fake: Any) -> None:
    ready = threading.Event()
    it = fake(ready=ready)
    it.meter.start()
    it.clock.now_s += 2.0
    assert it.meter.read() is None
    ready.set()
    it.meter._thread.join(30)
    it.clock.now_s += 8.0
    reading = it.meter.read()
    assert reading.cpu_kwh == pytest.approx(90 * 10 / J_PER_KWH)
    assert reading.ram_kwh == pytest.approx(10 * 10 / J_PER_KWH)
    assert reading.measured_kwh == pytest.approx(90 * 8 / J_PER_KWH)
    it.clock.now_s += 10.0
    assert it.meter.stop().cpu_kwh == pytest.approx(90 * 20 / J_PER_KWH)


def test_reading_waits_for_codecarbon_as_long_as_asked(fake: Any) -> None:
    ready = threading.Event()
    it = fake(ready=ready)
    it.meter.start()
    threading.Timer(0.2, ready.set).start()
    assert it.meter.read(wait_s=0.0) is None
    assert it.meter.read(wait_s=30.0) is not None


def test_reading_waits_only_once_for_what_does_not_answer(fake: Any) -> None:
    """As where ``nvidia-smi`` hangs, which codecarbon runs."""
    never = threading.Event()
    it = fake(ready=never)
    it.meter.start()
    begun_s = time.perf_counter()
    assert it.meter.read(wait_s=0.3) is None
    for _ in range(20):
        assert it.meter.read(wait_s=0.3) is None
    assert it.meter.stop(wait_s=0.3) is None
    assert time.perf_counter() - begun_s < 5.0
    assert "not ready" in it.meter.failure
    never.set()


def test_codecarbons_memory_does_not_grow_without_end(fake: Any) -> None:
    it = fake()
    it.meter.start()
    tracker = it.made[0]
    tracker._cpu_utilization_history = [50.0] * 3600
    tracker._clear_utilization_history = lambda: tracker._cpu_utilization_history.clear()
    it.clock.now_s += 1.0
    it.meter.read()
    assert len(tracker._cpu_utilization_history) == 3600
    tracker._cpu_utilization_history.append(50.0)
    it.meter.read()
    assert tracker._cpu_utilization_history == []


def test_a_fork_waits_for_the_imports_of_the_background(fake: Any) -> None:
    ready = threading.Event()
    it = fake(ready=ready)
    threading.Timer(0.3, ready.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if it.made else 1)  # the copy of a memory in which codecarbon was ready
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    "error", [OSError("no /proc"), AttributeError("_conf"), ImportError("pandas is broken")]
)
def test_a_failure_of_codecarbon_is_told_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def build(*_: Any) -> None:
        raise error

    monkeypatch.setattr(processor_energy, "build_tracker", build)
    meter = ProcessorEnergy(GERMANY)
    meter.prepare()
    meter.start()
    assert meter.read(wait_s=30.0) is None
    assert meter.failure == f"{type(error).__name__}: {error}"
    assert meter.stop(wait_s=30.0) is None


def test_a_measurement_that_codecarbon_only_logs_is_told(fake: Any) -> None:
    it = fake()
    it.meter.start()
    it.made[0].flush = lambda: None
    assert it.meter.read() is None
    assert "could not measure" in it.meter.failure


def test_codecarbon_itself() -> None:
    """Memory is a constant power in codecarbon, so its energy shows that all of the time is counted."""
    torch.manual_seed(3)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = set(os.listdir())
    meter = ProcessorEnergy(GERMANY, project_name="test")
    meter.prepare()
    began_s = time.perf_counter()
    meter.start()
    first = meter.read(wait_s=60.0)
    time.sleep(0.3)
    last = meter.stop()
    duration_s = time.perf_counter() - began_s
    assert meter.failure == ""
    assert first is not None
    assert last is not None
    assert last.row.ram_power > 0
    assert last.ram_kwh * J_PER_KWH == pytest.approx(last.row.ram_power * duration_s, rel=0.25)
    assert 0 < first.cpu_kwh < last.cpu_kwh
    assert last.intensity_g_per_kwh == pytest.approx(380.95, rel=1e-6)  # codecarbon 3.3, Germany, 2023
    assert last.cpu_source in ("rapl", "load", "constant")
    assert (last.measured_kwh > 0) == (last.cpu_source == "rapl")
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert set(os.listdir()) == before
    assert not [
        t for t in threading.enumerate() if isinstance(t, threading.Timer) and not t.finished.is_set()
    ]


@pytest.mark.parametrize(
    ("grid", "intensity"),
    [
        (Grid(intensity_g_per_kwh=123.0), 123.0),
        (Grid(), None),
        (Grid(country_iso_code="USA", region="california", intensity_g_per_kwh=50.0), 50.0),
    ],
)
def test_the_intensity_of_a_grid(grid: Grid, intensity: float | None) -> None:
    meter = ProcessorEnergy(grid)
    meter.prepare()
    meter.start()
    reading = meter.stop(wait_s=60.0)
    assert reading is not None
    assert reading.intensity_g_per_kwh == (None if intensity is None else pytest.approx(intensity, rel=1e-6))


def test_the_intensity_of_a_region_is_that_of_codecarbons_table() -> None:
    from codecarbon.input import DataSource

    meter = ProcessorEnergy(Grid(country_iso_code="SWE", region="se1"))
    meter.prepare()
    meter.start()
    reading = meter.stop(wait_s=60.0)
    assert reading is not None
    table = DataSource().get_nordic_country_energy_mix_data()["data"]
    assert reading.intensity_g_per_kwh == pytest.approx(table["SE1"]["emission_factor"], rel=1e-6)


HOSTILE = {
    "CODECARBON_OUTPUT_METHODS": "csv,api,prometheus",
    "CODECARBON_SAVE_TO_API": "true",
    "CODECARBON_EMISSIONS_ENDPOINT": "http://127.0.0.1:9/",
    "CODECARBON_API_CALL_INTERVAL": "1",
    "CODECARBON_MEASURE_POWER_SECS": "0.05",
    "CODECARBON_ELECTRICITYMAPS_API_TOKEN": "token",
    "CODECARBON_CO2_SIGNAL_API_TOKEN": "token",
    "CODECARBON_CLOUD_PROVIDER": "gcp",
    "CODECARBON_CLOUD_REGION": "nowhere",
    "CODECARBON_ALLOW_MULTIPLE_RUNS": "false",
    "CODECARBON_OUTPUT_DIR": "/no/such/folder",
    "CODECARBON_TRACKING_MODE": "process",
}
SCRIPT = """
import signal, socket, sys, time

calls = []
def refuse(*args, **kwargs):
    calls.append(args)
    raise OSError("no network here")
for name in ("connect", "connect_ex", "sendto", "sendmsg"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = refuse

from lightning_itwin.meters.grid import Grid
from lightning_itwin.meters.processor_energy import ProcessorEnergy
meter = ProcessorEnergy(Grid(country_iso_code="DEU"))
meter.prepare()
meter.start()
meter.read(wait_s=60)
time.sleep(0.3)
reading = meter.stop()
assert not calls, calls
assert not meter.failure, meter.failure
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
print(reading.intensity_g_per_kwh, reading.row.tracking_mode, "torch" in sys.modules)
"""


@pytest.mark.parametrize("more", [{}, HOSTILE, {"SLURM_JOB_ID": "7"}], ids=["plain", "hostile", "slurm"])
def test_no_network_no_file_no_word_whatever_the_configuration_says(
    tmp_path: Path, more: dict[str, str]
) -> None:
    environment = {
        **os.environ,
        **more,
        "HOME": str(tmp_path),
        "PYTHONPATH": os.getcwd(),
        "OMP_NUM_THREADS": "1",
    }
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    intensity, mode, torch_loaded = told.stdout.split()
    assert (float(intensity), mode, torch_loaded) == (pytest.approx(380.95, rel=1e-6), "machine", "False")
    # Where SLURM is installed but has no configuration, its own program complains of that.
    assert [line for line in told.stderr.splitlines() if not line.startswith("scontrol: ")] == []
    assert list(tmp_path.iterdir()) == []
