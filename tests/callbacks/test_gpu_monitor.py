from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.loggers.logger import rank_zero_experiment

from lightning_itwin.callbacks.gpu_monitor import GPUMonitor
from lightning_itwin.meters import nvml
from lightning_itwin.optional import MissingExtraError
from lightning_itwin.records import GPURecord, Run, find_runs
from lightning_itwin.records.gpu_energy import gpu_energy_wh, summarize_gpus
from tests.fakes.nvml import GPU_IS_LOST, NO_PERMISSION, FakeGPU, FakeNVML, build_library

Install = Callable[..., FakeNVML]
pytestmark = pytest.mark.filterwarnings("ignore:.*(does not have many workers|num_workers).*")


class MemoryLogger(Logger):
    """Keeps what it is given."""

    name, version = "memory", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    @property
    @rank_zero_experiment
    def experiment(self) -> MemoryLogger:
        return self

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        gpu = {tag: value for tag, value in metrics.items() if tag.startswith("gpu/")}
        if gpu:
            self.rows.append((step, gpu))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


class Tick(Callback):
    """Moves the clock of the fake GPUs with every batch; runs what a batch is to bring."""

    def __init__(self, library: FakeNVML, **at_batch: Callable[[], None]) -> None:
        self.library = library
        self.at_batch = {int(name.removeprefix("batch_")): action for name, action in at_batch.items()}

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.library.time_s += 1.0
        self.at_batch.get(trainer.global_step, lambda: None)()


def train(
    folder: Path, *callbacks: Callback, epochs: int = 2, logger: Any = False, **options: Any
) -> Trainer:
    trainer = Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        limit_train_batches=4,
        limit_val_batches=1,
        callbacks=list(callbacks),
        logger=logger,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )
    trainer.fit(BoringModel())
    return trainer


def run_of(folder: Path) -> Run:
    (run,) = find_runs(folder)
    return run


def of_monitor(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(item.message) for item in caught if "GPUMonitor" in str(item.message)]


@pytest.fixture(autouse=True)
def all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_rows_of_every_gpu_from_start_to_end(install_nvml: Install, tmp_path: Path) -> None:
    library = install_nvml(FakeGPU(), FakeGPU())
    train(tmp_path, GPUMonitor(), Tick(library))
    rows = run_of(tmp_path).of(GPURecord)
    assert {row.index for row in rows} == {0, 1}
    assert {row.node for row in rows} == {os.uname().nodename}
    # the clock of the energy is the real one, that of the fake counter stands at the batch: 8 batches x 300 J
    assert gpu_energy_wh(rows) == pytest.approx(2 * 8 * 300 / 3600)
    assert library.users == 0


def test_scalars_come_with_every_log_of_the_trainer(install_nvml: Install, tmp_path: Path) -> None:
    library, logger = install_nvml(FakeGPU(), FakeGPU(utilization_percent=100)), MemoryLogger()
    monitor = GPUMonitor()
    tick = Tick(library)
    read = lambda: monitor._meter.read()  # noqa: E731
    tick.at_batch = dict.fromkeys(range(1, 9), read)
    train(tmp_path, tick, monitor, logger=logger, log_every_n_steps=2)
    node = os.uname().nodename
    assert [step for step, _ in logger.rows] == [2, 4, 6, 8, 8]
    first = logger.rows[0][1]
    assert first["gpu/utilization_percent"] == 75.0
    assert first[f"gpu/{node}.1/utilization_percent"] == 100.0
    assert (first["gpu/power_w"], first["gpu/memory_gib"], first["gpu/temperature_c"]) == (300.0, 20.0, 55.0)
    last = logger.rows[-1][1]
    assert last["gpu/energy_wh"] == pytest.approx(8 * 300 / 3600)
    assert last["gpu/total_energy_wh"] == pytest.approx(2 * 8 * 300 / 3600)
    assert last[f"gpu/{node}.0/energy_wh"] == pytest.approx(8 * 300 / 3600)


def test_nothing_new_is_nothing_logged(install_nvml: Install, tmp_path: Path) -> None:
    library, logger = install_nvml(FakeGPU()), MemoryLogger()
    train(tmp_path, GPUMonitor(interval_s=1000.0), Tick(library), logger=logger, log_every_n_steps=1)
    # the first reading with the first log, the last one with the end; every tag is known without a wait
    assert [step for step, _ in logger.rows] == [1, 8]


def test_a_real_tensorboard_shows_the_fixed_names(install_nvml: Install, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    library = install_nvml(FakeGPU(sm_active_percent=40.0))
    logger = TensorBoardLogger(tmp_path)
    train(tmp_path, GPUMonitor(), Tick(library), logger=logger)
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    names = (
        "utilization_percent",
        "power_w",
        "memory_gib",
        "temperature_c",
        "energy_wh",
        "sm_active_percent",
    )
    assert {f"gpu/{name}" for name in names} <= set(events.Tags()["scalars"])


def test_any_logger_and_every_kind_of_optimisation(install_nvml: Install, tmp_path: Path) -> None:
    class TwoOptimizers(BoringModel):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self(batch).sum())
                optimizer.step()

        def configure_optimizers(self) -> list[torch.optim.Optimizer]:
            return [torch.optim.SGD(self.parameters(), lr=0.0) for _ in range(2)]

    install_nvml(FakeGPU())
    logger = MemoryLogger()
    trainer = Trainer(
        max_epochs=1, limit_train_batches=4, limit_val_batches=0, callbacks=[GPUMonitor()], accelerator="cpu",
        logger=[logger, CSVLogger(tmp_path)], log_every_n_steps=3, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(TwoOptimizers())
    assert trainer.global_step == 8
    assert [step for step, _ in logger.rows] == [4, 8]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, {0, 1, 2}),
        ("2", {2}),
        ("1,0", {0, 1}),
        ("GPU-b", {1}),
        ("GPU-a0000000-fa4e-4000-8000-000000000000,GPU-c", {0, 2}),
        ("MIG-c0000002-fa4e-4000-8000-000000000002", {2}),
    ],
)
def test_the_gpus_that_the_environment_lets_be_seen(
    install_nvml: Install,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    expected: set[int],
) -> None:
    install_nvml(FakeGPU(), FakeGPU(), FakeGPU(instances=2))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tmp_path, GPUMonitor(), epochs=1)
    assert {row.index for row in run_of(tmp_path).of(GPURecord)} == expected
    assert ["whole GPU" in text for text in of_monitor(caught)] == ([True] if 2 in expected else [])


def test_two_instances_of_one_gpu_count_once(
    install_nvml: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = install_nvml(FakeGPU(instances=2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{library.uuid(0, 0)},{library.uuid(0, 1)}")
    train(tmp_path, GPUMonitor(), Tick(library), epochs=1)
    assert gpu_energy_wh(run_of(tmp_path).of(GPURecord)) == pytest.approx(4 * 300 / 3600)


def test_a_training_on_cuda_reads_the_device_that_torch_names(
    install_nvml: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_itwin.callbacks import node_gpus
    from lightning_itwin.meters.gpu_sensors import GPUDevice

    class Properties:
        uuid = "b0000001-fa4e-4000-8000-000000000000"

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties())
    gpus = tuple(GPUDevice(index=i, uuid=FakeNVML().uuid(i), name="") for i in range(3))
    device = torch.device("cuda", 0)
    assert node_gpus._in_use(device, gpus) == (gpus[1],)
    Properties.uuid = "of a torch that calls it something else"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert node_gpus._in_use(torch.device("cuda", 1), gpus) == (gpus[0],)


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_no_visible_gpu_is_one_warning(
    install_nvml: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    install_nvml(FakeGPU())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tmp_path, GPUMonitor())
    assert len(of_monitor(caught)) == 1
    assert run_of(tmp_path).of(GPURecord) == ()


@pytest.mark.parametrize("code", [NO_PERMISSION, 9, 12, 999])
def test_no_driver_is_one_warning_and_a_whole_training(
    install_nvml: Install, tmp_path: Path, code: int
) -> None:
    install_nvml(FakeGPU(), nvmlInitWithFlags=code)
    logger = MemoryLogger()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = train(tmp_path, GPUMonitor(), logger=logger)
    assert trainer.state.finished
    assert trainer.global_step == 8
    assert len(of_monitor(caught)) == 1
    assert run_of(tmp_path).of(GPURecord) == ()
    assert logger.rows == []


def test_no_package_is_one_warning_that_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str, extra: str) -> None:
        raise MissingExtraError(f"{module!r} is not installed: pip install 'lightning-itwin[{extra}]'")

    monkeypatch.setattr(nvml, "require", missing)
    with pytest.warns(UserWarning, match=r"pip install 'lightning-itwin\[gpu\]'"):
        train(tmp_path, GPUMonitor())


def test_a_gpu_lost_in_the_middle_is_one_warning_and_the_others_go_on(
    install_nvml: Install, tmp_path: Path
) -> None:
    errors: dict[str, int] = {}
    library = install_nvml(FakeGPU(), FakeGPU(errors=errors))
    monitor = GPUMonitor()
    tick = Tick(library)
    tick.at_batch = {
        2: lambda: monitor._meter.read(),
        3: lambda: (errors.update(nvmlDeviceGetPowerUsage=GPU_IS_LOST), monitor._meter.read()),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = train(tmp_path, monitor, tick)
    assert trainer.global_step == 8
    (text,) = of_monitor(caught)
    assert "GPU 1 is lost" in text
    summaries = summarize_gpus(run_of(tmp_path).of(GPURecord))
    assert [gpu.energy_wh for gpu in summaries] == pytest.approx([8 * 300 / 3600, 2 * 300 / 3600])


@pytest.mark.parametrize("error", [RuntimeError("of the user"), KeyboardInterrupt()])
def test_a_training_that_breaks_off_keeps_its_last_reading(
    install_nvml: Install, tmp_path: Path, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    library = install_nvml(FakeGPU())
    with pytest.raises((RuntimeError, KeyboardInterrupt, SystemExit)):
        train(tmp_path, GPUMonitor(), Tick(library, batch_3=fail))
    assert gpu_energy_wh(run_of(tmp_path).of(GPURecord)) == pytest.approx(3 * 300 / 3600)
    assert library.users == 0


def test_a_second_training_starts_anew(install_nvml: Install, tmp_path: Path) -> None:
    library, monitor = install_nvml(FakeGPU()), GPUMonitor()
    for name in ("one", "two"):
        train(tmp_path / name, monitor, Tick(library))
        assert gpu_energy_wh(run_of(tmp_path / name).of(GPURecord)) == pytest.approx(8 * 300 / 3600)


def test_it_travels_to_another_process(install_nvml: Install, tmp_path: Path) -> None:
    install_nvml(FakeGPU())
    train(tmp_path, pickle.loads(pickle.dumps(GPUMonitor(interval_s=0.5))))
    assert run_of(tmp_path).of(GPURecord)


def test_fast_dev_run_validate_and_test_leave_no_rows(install_nvml: Install, tmp_path: Path) -> None:
    library = install_nvml(FakeGPU())
    trainer = train(tmp_path, GPUMonitor(), fast_dev_run=True)
    trainer.validate(BoringModel(), verbose=False)
    trainer.test(BoringModel(), verbose=False)
    assert list(find_runs(tmp_path)) == []
    assert library.users == 0


def test_weights_are_the_same_with_and_without(install_nvml: Install, tmp_path: Path) -> None:
    library, weights = install_nvml(FakeGPU()), []
    for callbacks in ([], [GPUMonitor(interval_s=0.1), Tick(library)]):
        torch.manual_seed(0)
        weights.append(train(tmp_path / str(len(callbacks)), *callbacks).lightning_module.layer.weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize("interval_s", [0.0, 0.05, -1.0, float("nan"), float("inf")])
def test_an_interval_that_no_counter_keeps_up_with_is_refused(interval_s: float) -> None:
    with pytest.raises(ValueError, match=r"at least 0\.1 s"):
        GPUMonitor(interval_s=interval_s)


SCRIPT = """
import sys
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning_itwin.callbacks.gpu_monitor import GPUMonitor

if __name__ == "__main__":
    Trainer(
        default_root_dir=sys.argv[1], max_epochs=2, limit_train_batches=4, limit_val_batches=1, devices=2,
        accelerator="cpu", strategy="ddp", callbacks=[GPUMonitor(interval_s=0.1)], logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    ).fit(BoringModel())
"""


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    try:
        build_library(folder)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return folder


def run_world(folder: Path, library: Path, **environment: str) -> tuple[Run, str]:
    script, log = folder / "train.py", folder / "log.txt"
    script.write_text(SCRIPT)
    with open(log, "w") as output:
        world = subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env={**os.environ, "LD_LIBRARY_PATH": str(library), "OMP_NUM_THREADS": "1", **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = world.wait(timeout=120)
        finally:
            if world.poll() is None:
                os.killpg(world.pid, signal.SIGKILL)
    assert code == 0, log.read_text()
    return run_of(folder), log.read_text()


@pytest.mark.world
def test_two_ranks_that_share_the_gpus_read_each_once(library_folder: Path, tmp_path: Path) -> None:
    run, log = run_world(tmp_path, library_folder, FAKE_NVML_DEVICES="2", FAKE_NVML_REFRESH_MS="1")
    rows = run.of(GPURecord)
    assert {(row.rank, row.index) for row in rows} == {(0, 0), (0, 1)}
    duration_s = summarize_gpus(rows)[0].duration_s
    assert gpu_energy_wh(rows) == pytest.approx(2 * 300 * duration_s / 3600, rel=0.05)
    assert "GPUMonitor" not in log


@pytest.mark.world
def test_two_ranks_without_driver_warn_once(library_folder: Path, tmp_path: Path) -> None:
    run, log = run_world(tmp_path, library_folder, FAKE_NVML_ERRORS="init=12")
    assert run.of(GPURecord) == ()
    assert log.count("GPUMonitor on") == 1


def test_the_library_in_c_and_the_one_in_python_tell_the_same(
    library_folder: Path, install_nvml: Install
) -> None:
    code = (
        "import dataclasses, json; from lightning_itwin.meters.nvml import NVMLSensors\n"
        "sensors = NVMLSensors(link_throughput=True)\n"
        "print(json.dumps([(dataclasses.astuple(gpu), dataclasses.asdict(sensors.read(gpu)))"
        " for gpu in sensors.devices]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LD_LIBRARY_PATH": str(library_folder), "FAKE_NVML_DEVICES": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    install_nvml(FakeGPU(), FakeGPU())
    sensors = nvml.NVMLSensors(link_throughput=True)
    for gpu, (identity, values) in zip(sensors.devices, json.loads(done.stdout), strict=True):
        assert [gpu.index, gpu.uuid, gpu.name, list(gpu.instances)] == identity
        mine = vars(sensors.read(gpu))
        assert {n: v for n, v in values.items() if n != "energy_j"} == {
            n: v for n, v in mine.items() if n != "energy_j"
        }
