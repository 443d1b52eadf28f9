"""The checks of gpu_truth.py, one a call: each prints its findings as it goes, and may fail at any point."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gpu_loads import MatrixProducts, Spin
from gpu_trainings import (
    Convolutions,
    DeepNarrow,
    FakeNCCL,
    Products,
    every_callback,
    rows_of,
    train,
)

from lightning_itwin.callbacks import CommunicationProfiler, GPUMonitor
from lightning_itwin.meters.gpu_sensors import visible_devices
from lightning_itwin.meters.nvml import NVMLSensors
from lightning_itwin.optional import available
from lightning_itwin.records import CommunicationRecord, GPURecord
from lightning_itwin.records.gpu_energy import summarize_gpus

ROOT = Path(__file__).resolve().parents[1]
LIMITS_S = {"cost": 420, "preset": 420}
MARK = "finding: "


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row: a claim, what should be, what is, and whether it holds (None: nothing is claimed)."""

    claim: str
    expected: str
    measured: str
    holds: bool | None


def devices() -> Iterator[Finding]:
    """Ask CUDA and us, in fresh processes, which GPUs an environment lets be seen."""

    sensors = NVMLSensors()
    gpus, first = sensors.devices, sensors.devices[0]
    sensors.close()
    code = (
        "import torch; print(*(torch.cuda.get_device_properties(i).uuid"
        " for i in range(torch.cuda.device_count())))"
    )
    forms = {"unset": None, "index": "0", "UUID": first.uuid, "start of a UUID": first.uuid[:12], "empty": ""}
    for form, visible in forms.items():
        environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        if visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = visible
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        theirs = done.stdout.split()
        ours = visible_devices(gpus, visible)
        same = len(ours) == len(theirs) and all(gpu.answers_to(uuid) for gpu, uuid in zip(ours, theirs))
        yield Finding(
            claim=f"CUDA_VISIBLE_DEVICES {form}: we read what CUDA sees",
            expected=" ".join(theirs) or "no GPU",
            measured=" ".join(gpu.uuid for gpu in ours) or "no GPU",
            holds=same,
        )
    if first.instances:
        yield Finding(claim="MIG", expected="", measured=f"instances: {len(first.instances)}", holds=None)


def calls() -> Iterator[Finding]:
    """Time NVML's calls one by one, then whole readings."""
    import pynvml

    sensors = NVMLSensors()
    (handle, gpu) = (pynvml.nvmlDeviceGetHandleByIndex(0), sensors.devices[0])
    single: dict[str, Callable[[], Any]] = {
        "energy counter": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle),
        "power": lambda: pynvml.nvmlDeviceGetPowerUsage(handle),
        "utilisation": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle),
        "memory": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2),
        "temperature": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "throttle reasons": lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        "PCIe traffic": lambda: pynvml.nvmlDeviceGetPcieThroughput(handle, pynvml.NVML_PCIE_UTIL_TX_BYTES),
    }
    for name, call in single.items():
        try:
            call()
        except pynvml.NVMLError as error:
            yield Finding(claim=f"NVML call: {name}", expected="", measured=str(error), holds=None)
            continue
        times_ms = _times_ms(call, 20 if name == "PCIe traffic" else 200)
        measured = f"{statistics.median(times_ms):.3f} ms, largest {max(times_ms):.3f} ms"
        yield Finding(claim=f"NVML call: {name}", expected="", measured=measured, holds=None)
    times_ms = _times_ms(lambda: sensors.read(gpu), 100)
    yield Finding(
        claim="one reading of one GPU takes at most 1 % of the second between two",
        expected="<= 10 ms",
        measured=f"{statistics.median(times_ms):.2f} ms, largest {max(times_ms):.2f} ms",
        holds=statistics.median(times_ms) <= 10,
    )


def _times_ms(call: Callable[[], Any], count: int) -> list[float]:
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1000)
    return times


def energy() -> Iterator[Finding]:
    """Compare the counter with power read every 10 ms and every second, under square waves of 50 % duty."""

    products = MatrixProducts()
    products.square_wave(1.0, 1.0, 3.0)  # warm
    full_w, _, _ = _powers(lambda: products.square_wave(1.0, 1.0, 6.0))
    idle_w, _, _ = _powers(lambda: time.sleep(4.0))
    yield Finding(
        claim="mean power by the counter",
        expected="",
        measured=f"busy {full_w:.0f} W, idle {idle_w:.0f} W",
        holds=None,
    )
    for period_ms in (50, 100, 133, 1000):
        counter_w, dense_w, second_w = _powers(
            lambda period_s=period_ms / 1000: products.square_wave(period_s, 0.5, 10.0)
        )
        yield Finding(
            claim=f"energy counter, load of {period_ms} ms period: within 5 % of power read every 10 ms",
            expected=f"{dense_w:.1f} W (halfway between busy and idle: {(full_w + idle_w) / 2:.0f} W)",
            measured=f"{counter_w:.1f} W = {100 * counter_w / dense_w:.1f} %; "
            f"power read every second: {second_w:.1f} W = {100 * second_w / counter_w:.1f} % of the counter",
            holds=abs(counter_w / dense_w - 1) <= 0.05,
        )


def _powers(load: Callable[[], None]) -> tuple[float, float, float]:
    """Give the mean power during ``load``: by the counter, by dense instant power, by power once a second."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(_nvml_index())
    dense: list[tuple[float, float]] = []
    seconds: list[tuple[float, float]] = []
    over = threading.Event()

    def sample() -> None:
        due_s = time.perf_counter()
        while not over.wait(0.01):
            dense.append((time.perf_counter(), _instant_w(pynvml, handle)))
            if time.perf_counter() >= due_s:
                seconds.append((time.perf_counter(), pynvml.nvmlDeviceGetPowerUsage(handle) / 1000))
                due_s += 1.0

    sampler = threading.Thread(target=sample, daemon=True)
    worker = threading.Thread(target=load, daemon=True)
    worker.start()
    time.sleep(1.0)  # past the power of the load before
    begin = end = _counter_edge(pynvml, handle)
    sampler.start()
    while worker.is_alive():
        edge = _counter_edge(pynvml, handle)
        if worker.is_alive():  # the last edge within the load
            end = edge
    over.set()
    sampler.join()
    within = [(moment, watts) for moment, watts in dense if begin[0] <= moment <= end[0]]
    return (end[1] - begin[1]) / (end[0] - begin[0]), _mean(within), _mean(seconds)


def _counter_edge(pynvml: Any, handle: Any) -> tuple[float, float]:
    """Wait for the counter to move; give that moment and where it stands then."""
    before = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    limit_s = time.perf_counter() + 2
    while (now := pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) == before:
        if time.perf_counter() > limit_s:
            raise SystemExit("the energy counter does not move")
        time.sleep(0.0005)
    return time.perf_counter(), now / 1000


def _instant_w(pynvml: Any, handle: Any) -> float:
    field = getattr(pynvml, "NVML_FI_DEV_POWER_INSTANT", None)
    if field is not None:
        value = pynvml.nvmlDeviceGetFieldValues(handle, [field])[0]
        if value.nvmlReturn == pynvml.NVML_SUCCESS:
            return value.value.uiVal / 1000
    return pynvml.nvmlDeviceGetPowerUsage(handle) / 1000


def _mean(points: list[tuple[float, float]]) -> float:
    """Give the mean over time of a curve."""
    pairs = itertools.pairwise(points)
    area = sum((later[0] - sooner[0]) * (later[1] + sooner[1]) / 2 for sooner, later in pairs)
    return area / (points[-1][0] - points[0][0])


def _nvml_index() -> int:
    """Give the driver's number of the GPU that torch calls cuda:0."""

    sensors = NVMLSensors()
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    index = next(gpu.index for gpu in sensors.devices if gpu.answers_to(uuid))
    sensors.close()
    return index


def activity() -> Iterator[Finding]:
    """Read SM activity under matrix products of known duty."""

    products = MatrixProducts()
    sensors = NVMLSensors()
    gpu = next(gpu for gpu in sensors.devices if gpu.index == _nvml_index())
    readings: dict[float, Any] = {}
    for duty in (1.0, 0.75, 0.5, 0.25):
        sensors.read(gpu)
        products.square_wave(0.1, duty, 4.0)
        readings[duty] = sensors.read(gpu)
    sensors.close()
    major, minor = torch.cuda.get_device_capability()
    supported = readings[1.0].sm_active_percent is not None
    yield Finding(
        claim="performance monitors (GPM) from compute capability 9.0 on",
        expected=f"{'yes' if major >= 9 else 'no'} at {major}.{minor}",
        measured=f"{'yes' if supported else 'no'}, as user {os.getuid()}",
        holds=supported == (major >= 9),
    )
    for duty, reading in readings.items():
        sm = reading.sm_active_percent
        full = readings[1.0].sm_active_percent
        yield Finding(
            claim=f"duty of {100 * duty:.0f} %: SM activity within 5 points of that share of full activity",
            expected=f"{duty * full:.1f} %" if supported else "n/a",
            measured=f"{sm} %; utilisation {reading.utilization_percent} %",
            holds=abs(sm - duty * full) <= 5 if supported else None,
        )


def monitor() -> Iterator[Finding]:
    """Train for about 15 s on the GPU with GPUMonitor; read the counter beside it."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(_nvml_index())
    with tempfile.TemporaryDirectory() as folder:
        begin, end = train(
            Products(), Path(folder), [GPUMonitor()], steps=750, around=lambda: _counter_edge(pynvml, handle)
        )
        summaries = summarize_gpus(rows_of(Path(folder), GPURecord))
    truth_wh = (end[1] - begin[1]) / 3600
    (gpu,) = summaries
    ours_wh = gpu.energy_wh or 0.0
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    yield Finding(
        claim="GPUMonitor's energy of a training within 2 % of the counter",
        expected=f"{truth_wh:.4f} Wh in {end[0] - begin[0]:.1f} s",
        measured=f"{ours_wh:.4f} Wh = {100 * ours_wh / truth_wh:.2f} %, by {gpu.energy_source}",
        holds=abs(ours_wh / truth_wh - 1) <= 0.02,
    )
    yield Finding(claim="GPUMonitor reads the GPU that torch uses", expected=uuid, measured=gpu.uuid,
                  holds=uuid.lower() in gpu.uuid.lower())  # fmt: skip
    yield Finding(
        claim="a GPU that only multiplies matrices is busy",
        expected="utilisation >= 90 %",
        measured=f"{gpu.utilization_percent} %, SM activity {gpu.sm_active_percent} %, {gpu.power_w} W, "
        f"{gpu.temperature_c} °C, {gpu.memory_gib} GiB, throttled by: {gpu.throttle_reasons or 'nothing'}",
        holds=(gpu.utilization_percent or 0) >= 90,
    )


def communication() -> Iterator[Finding]:
    """Train with a kernel that bears a name of NCCL's beside matrix products; compare the exposed share."""

    products, spin = MatrixProducts(), Spin()
    before = products.for_s(0.01)
    for case, beside_s, spin_s in (
        ("hidden whole", 0.02, 0.01),
        ("half of it exposed", 0.01, 0.02),
        ("exposed whole", 0.0, 0.01),
        ("none", 0.02, 0.0),
    ):
        module = FakeNCCL(products, spin, before=before, beside=products.for_s(beside_s), spin_s=spin_s)
        with tempfile.TemporaryDirectory() as folder:
            train(module, Path(folder), [CommunicationProfiler(window_steps=10, warmup_steps=5)], steps=40)
            (row,) = rows_of(Path(folder), CommunicationRecord)
        truth_s, slower_s = module.exposed_s(repeats=15)
        truth_percent = 100 * truth_s * row.steps / row.wall_s
        yield Finding(
            claim=f"a spinning 'NCCL' kernel, {case}: exposed share within 1 point",
            expected=f"{truth_percent:.2f} % ({1000 * truth_s:.2f} ms a step)",
            measured=f"{row.overhead_percent:.2f} % ({1000 * row.exposed_s / row.steps:.2f} ms), "
            f"total {1000 * row.total_s / row.steps:.2f} ms a step, {row.collectives} kernels, "
            f"window cost {1000 * row.cost_s:.0f} ms, source {row.source}; "
            f"the kernel slows products down by {1000 * slower_s:.2f} ms",
            holds=abs(row.overhead_percent - truth_percent) <= 1,
        )


def cost() -> Iterator[Finding]:
    """Alternate trainings with all callbacks and with none."""

    for module_type, steps, claim, limit in (
        (Convolutions, 500, "steps of about 20 ms", 1.01),
        (DeepNarrow, 800, "60 narrow layers, many small operators", 1.02),
    ):
        module_type()  # measures the GPU at hand, which draws random numbers
        ratios, weights, steps_ms = [], [], []
        for repeat in range(6):
            times_s = []
            for callbacks in ([], every_callback()):
                torch.manual_seed(7)
                module = module_type()
                with tempfile.TemporaryDirectory() as folder:
                    begin_s, end_s = train(
                        module, Path(folder), callbacks, steps=steps, around=time.perf_counter
                    )
                times_s.append(end_s - begin_s)
                weights.append(
                    torch.cat([parameter.detach().flatten().cpu() for parameter in module.parameters()])
                )
            if repeat:  # the first pair warms up
                ratios.append(times_s[1] / times_s[0])
                steps_ms.append(1000 * times_s[0] / steps)
        names = "+".join(type(callback).__name__ for callback in every_callback())
        yield Finding(
            claim=f"{claim}: {names} cost at most {100 * (limit - 1):.0f} % of the training",
            expected=f"ratio <= {limit}",
            measured=f"median {statistics.median(ratios):.4f} of {len(ratios)} pairs "
            f"({min(ratios):.4f}-{max(ratios):.4f}), step {statistics.median(steps_ms):.2f} ms",
            holds=statistics.median(ratios) <= limit,
        )
        same = all(torch.equal(weights[0], other) for other in weights)
        yield Finding(
            claim=f"{claim}: the same weights with and without callbacks, bit for bit",
            expected="equal", measured="equal" if same else "not equal", holds=same,
        )  # fmt: skip


def preset() -> Iterator[Finding]:
    """Run the bench on the preset virgo with one worker."""
    missing = [module for module in ("jsonargparse", "h5py", "scipy") if not available(module)]
    if missing:
        raise SystemExit(f"not run: {', '.join(missing)} not installed")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        arguments = "--config virgo --strategies ddp --workers 1 --repeats 1 --epochs 3"
        done = subprocess.run(
            [sys.executable, "-m", "lightning_itwin.bench", *arguments.split(), "--output", str(output)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMITS_S["preset"] - 30,
            check=False,
        )
        results = output / "results.json"
        if not results.exists():
            raise SystemExit(f"exit code {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
        row = _first_row(json.loads(results.read_text()))
    wanted = ("epoch_time_s", "samples_per_s", "gpu_utilization_percent", "gpu_energy_wh")
    yield Finding(
        claim="bench, preset virgo, DDP, 1 worker on the GPU: every GPU metric is there",
        expected=", ".join(wanted),
        measured=", ".join(f"{name} {row.get(name)}" for name in (*wanted, "communication_overhead_percent")),
        holds=done.returncode == 0 and all(row.get(name) is not None for name in wanted),
    )


def _first_row(results: Any) -> dict[str, Any]:
    rows = results if isinstance(results, list) else next(v for v in results.values() if isinstance(v, list))
    return rows[0]


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    check.__name__: check
    for check in (devices, calls, energy, activity, monitor, communication, cost, preset)
}


if __name__ == "__main__":
    for found in CHECKS[sys.argv[1]]():
        print(MARK + json.dumps(dataclasses.asdict(found)), flush=True)
