"""What holds for every callback, with any module, logger, strategy and end of the training."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_itwin.callbacks import CarbonTracker, CommunicationProfiler, EpochTimer, GPUMonitor
from lightning_itwin.optional import available
from lightning_itwin.records import CarbonRecord, CommunicationRecord, EpochRecord, Run, find_runs
from tests.callbacks.modules import MODULES
from tests.callbacks.world_training import weights

HERE = Path(__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore")
CALLBACKS: dict[str, Callable[[], list[Callback]]] = {
    "EpochTimer": lambda: [EpochTimer()],
    "GPUMonitor": lambda: [GPUMonitor()],
    "CommunicationProfiler": lambda: [CommunicationProfiler(window_steps=3)],
    "CarbonTracker": lambda: [CarbonTracker(country_iso_code="DEU")],
}
CALLBACKS["all"] = lambda: [callback for name in list(CALLBACKS)[:4] for callback in CALLBACKS[name]()]
each_callback = pytest.mark.parametrize("name", CALLBACKS)


@pytest.fixture(autouse=True)
def _same_seeds_after() -> Iterator[None]:
    seed = os.environ.get("PL_GLOBAL_SEED")
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)
    if seed is not None:
        os.environ["PL_GLOBAL_SEED"] = seed


def trainer_of(folder: Path, callbacks: list[Callback], **options: Any) -> Trainer:
    return Trainer(
        **{
            "max_epochs": 2,
            "limit_train_batches": 6,
            "limit_val_batches": 2,
            "logger": False,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "accelerator": "cpu",
            "default_root_dir": folder,
            "callbacks": callbacks,
            **options,
        }
    )


def train(
    folder: Path, callbacks: list[Callback], module: str = "boring", **options: Any
) -> tuple[str, Trainer]:
    seed_everything(5, verbose=False)
    model, data = MODULES[module]()
    trainer = trainer_of(folder, callbacks, **options)
    trainer.fit(model, **data)
    return weights(model) + str(torch.rand(1).item()), trainer


def readable_runs(folder: Path) -> list[Run]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a broken row would be warned of
        return list(find_runs(folder))


@pytest.fixture(scope="module")
def plain_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("plain")
    return {module: train(folder, [], module)[0] for module in MODULES}


@each_callback
@pytest.mark.parametrize("module", MODULES)
def test_the_weights_and_the_random_numbers_are_the_same_bit_for_bit(
    tmp_path: Path, plain_weights: dict[str, str], name: str, module: str
) -> None:
    told, trainer = train(tmp_path, CALLBACKS[name](), module)
    assert told == plain_weights[module]
    assert trainer.current_epoch == 2
    for run in readable_runs(tmp_path):
        assert run.manifest is not None
        assert {record.rank for record in run.records} <= {0}


def test_all_of_them_leave_their_rows(tmp_path: Path) -> None:
    train(tmp_path, CALLBACKS["all"]())
    [run] = readable_runs(tmp_path)
    assert [(row.epoch, row.stage) for row in run.of(EpochRecord)] == [
        (0, "train"),
        (0, "validate"),
        (1, "train"),
        (1, "validate"),
    ]
    assert [row.epoch for row in run.of(CarbonRecord)] == [0, 1, None]
    assert len(run.of(CommunicationRecord)) >= 1


@pytest.mark.parametrize("logger", ["none", "default", "csv", "tensorboard", "two"])
def test_any_logger_or_none(tmp_path: Path, logger: str) -> None:
    loggers: dict[str, Any] = {
        "none": False,
        "default": True,
        "csv": CSVLogger(tmp_path),
        "tensorboard": TensorBoardLogger(tmp_path),
        "two": [CSVLogger(tmp_path), TensorBoardLogger(tmp_path)],
    }
    train(tmp_path, CALLBACKS["all"](), logger=loggers[logger])
    [run] = readable_runs(tmp_path)
    assert run.of(EpochRecord)
    for table in tmp_path.rglob("metrics.csv"):
        columns = table.read_text(encoding="utf-8").splitlines()[0].split(",")
        assert {"epoch/time_s", "epoch/samples_per_s", "carbon/energy_kwh", "comm/overhead_percent"} <= set(
            columns
        )


@each_callback
@pytest.mark.parametrize(
    "options",
    [
        {"limit_val_batches": 0},
        {"num_sanity_val_steps": 0},
        {"val_check_interval": 2},
        {"check_val_every_n_epoch": 2},
        {"max_steps": 9, "max_epochs": -1},
        {"accumulate_grad_batches": 4},
        {"limit_train_batches": 1},
        {"limit_train_batches": 0},
        {"max_epochs": 0},
    ],
    ids=lambda options: ",".join(options),
)
def test_any_shape_of_training(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    train(tmp_path, CALLBACKS[name](), **options)
    readable_runs(tmp_path)


@each_callback
def test_fast_dev_run_leaves_nothing(tmp_path: Path, name: str) -> None:
    train(tmp_path, CALLBACKS[name](), fast_dev_run=True)
    assert not list(tmp_path.iterdir())


@each_callback
def test_validating_testing_and_predicting_alone_leave_nothing(tmp_path: Path, name: str) -> None:
    trainer = trainer_of(tmp_path, CALLBACKS[name]())
    trainer.validate(BoringModel(), verbose=False)
    trainer.test(BoringModel(), verbose=False)
    trainer.predict(BoringModel())
    assert not list(tmp_path.iterdir())


@each_callback
def test_fitting_twice(tmp_path: Path, name: str) -> None:
    _, trainer = train(tmp_path, CALLBACKS[name]())
    trainer.fit_loop.max_epochs = 3
    trainer.fit(BoringModel())
    assert trainer.current_epoch == 3
    assert len({run.folder for run in readable_runs(tmp_path)}) == 2


@each_callback
def test_one_callback_may_serve_two_trainers(tmp_path: Path, name: str) -> None:
    callbacks = CALLBACKS[name]()
    for part in ("a", "b"):
        train(tmp_path / part, callbacks)
        assert len(readable_runs(tmp_path / part)) == 1


@each_callback
def test_it_can_be_sent_to_another_process_before_the_training(name: str) -> None:
    """As ``ddp_spawn`` and ``ddp_notebook`` do."""
    for callback in CALLBACKS[name]():
        assert type(pickle.loads(pickle.dumps(callback))) is type(callback)


class Ends(BoringModel):
    """Ends in the second epoch."""

    def __init__(self, how: BaseException) -> None:
        super().__init__()
        self.how = how

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.trainer.current_epoch == 1 and batch_idx == 3:
            raise self.how
        return super().training_step(batch, batch_idx)


@each_callback
@pytest.mark.parametrize("how", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_end_from_within_leaves_readable_rows_and_a_working_callback(
    tmp_path: Path, name: str, how: BaseException
) -> None:
    callbacks = CALLBACKS[name]()
    with pytest.raises((RuntimeError, KeyboardInterrupt, SystemExit)) as caught:
        trainer_of(tmp_path / "ended", callbacks, logger=CSVLogger(tmp_path / "ended")).fit(Ends(how))
    assert type(caught.value) in (type(how), SystemExit)  # Lightning turns Ctrl-C into an exit
    [run] = readable_runs(tmp_path / "ended")
    if name in ("EpochTimer", "all"):
        assert [row.epoch for row in run.of(EpochRecord) if row.stage == "train"] == [0]
    if name in ("CarbonTracker", "all"):
        assert [row.epoch for row in run.of(CarbonRecord)] == [0, None]
    train(tmp_path / "after", callbacks)
    assert len(readable_runs(tmp_path / "after")) == 1


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_end_from_outside_leaves_readable_rows(tmp_path: Path, name: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "endless_training.py"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline_s = time.monotonic() + 90
        while time.monotonic() < deadline_s and process.poll() is None:
            time.sleep(0.05)
            if any(len(run.of(CarbonRecord)) > 2 for run in find_runs(tmp_path)):
                break
        process.send_signal(name)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait(timeout=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        [run] = find_runs(tmp_path)
    assert len(caught) <= (name == signal.SIGKILL), errors.decode()
    assert run.manifest is not None
    assert len([row for row in run.of(EpochRecord) if row.stage == "train"]) >= 2
    assert len(run.of(CarbonRecord)) >= 3
    if name == signal.SIGTERM:
        assert run.of(CarbonRecord)[-1].epoch is None, errors.decode()


WORLDS = [
    pytest.param("ddp_find_unused_parameters_true", "boring,transformer,gan", [], id="ddp"),
    pytest.param("deepspeed_stage_2", "boring,transformer", [], id="deepspeed"),  # which takes one optimizer
    pytest.param("horovod", "boring,transformer,gan", ["--gloo", "-np", "2"], id="horovod"),
]


@pytest.mark.world
@pytest.mark.parametrize(("strategy", "modules", "starter"), WORLDS)
def test_two_real_processes(tmp_path: Path, strategy: str, modules: str, starter: list[str]) -> None:
    backend = strategy.split("_")[0]
    if backend != "ddp" and not available({"horovod": "horovod.torch"}.get(backend, backend)):
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, str(HERE / "world_training.py"), str(tmp_path), strategy, modules]
    if starter:
        command = [str(Path(sys.executable).with_name("horovodrun")), *starter, *command]
    told = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    for module in modules.split(","):
        ends = [
            json.loads((tmp_path / f"{module}-{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)
        ]
        assert [end["world"] for end in ends] == [2, 2]
        assert len({end[which] for end in ends for which in ("without", "with")}) == 1
        [run] = readable_runs(tmp_path / module / "with")
        trained = [row for row in run.of(EpochRecord) if row.stage == "train"]
        assert sorted((row.rank, row.epoch) for row in trained) == [(0, 0), (0, 1), (1, 0), (1, 1)]
        for row in trained:
            assert row.world_samples == 2 * (row.samples or 0)
        carbon = run.of(CarbonRecord)  # one rank for the whole machine
        assert {row.rank for row in carbon} == {0}
        assert [row.samples for row in carbon if row.epoch is not None] == [
            trained[0].world_samples,
            2 * (trained[0].world_samples or 0),
        ]
        assert sorted(row.rank for row in run.of(CommunicationRecord)) == [0, 1]
        [table] = (tmp_path / module / "with").rglob("metrics.csv")
        columns = table.read_text(encoding="utf-8").splitlines()[0].split(",")
        assert {"epoch/time_s", "carbon/energy_kwh", "comm/overhead_percent"} <= set(columns)
