from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from torch.profiler import profile
from torch.utils.data import DataLoader, IterableDataset

from lightning_itwin.callbacks import CommunicationProfiler, communication_profiler
from lightning_itwin.meters.communication import CommunicationReading
from lightning_itwin.meters.communication_meter import CommunicationMeter
from lightning_itwin.meters.trace_session import profiler_is_running
from lightning_itwin.optional import available
from lightning_itwin.records import CommunicationRecord, find_runs
from tests.callbacks.modules import GAN, images

pytestmark = pytest.mark.filterwarnings("ignore:.*(num_workers|workers|deprecated|LeafSpec|logger).*")
DDP_HOOK = torch.nn.parallel.DistributedDataParallel.register_comm_hook


class ScriptedMeter(CommunicationMeter):
    """Notes what it is asked; each step takes a second, a quarter of it exposed communication."""

    def __init__(self, device: torch.device, calls: Any = None) -> None:
        super().__init__(device, calls)
        log.append("start")

    @property
    def measuring(self) -> bool:
        return self._under_way == "stretch"

    @property
    def slicing(self) -> bool:
        return self._under_way == "slice"

    def reset(self) -> None:
        self._under_way: str | None = None
        self._reading = CommunicationReading()
        self._operator_share = None
        self.steps, self.cost_s, self.lost = 0, 0.0, ""

    def begin_operators(self, optimizers: Any = ()) -> None:
        log.append("slice")
        self._under_way = "slice"

    def end_operators(self) -> None:
        log.append("sliced")
        self._under_way = None

    def begin(self, optimizers: Any = ()) -> None:
        log.append("begin")
        self._under_way = "stretch"

    def end(self, steps: int) -> None:
        log.append(f"end {steps}")
        self._under_way = None
        self.steps += steps
        self.cost_s += 0.125
        self._reading += CommunicationReading(
            wall_s=float(steps), total_s=steps / 2, exposed_s=steps / 4, data_wait_s=steps / 8
        )

    def abort(self) -> None:
        self._under_way = None


log: list[str] = []


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log.clear()
    monkeypatch.setattr(communication_profiler, "CommunicationMeter", ScriptedMeter)
    return log


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    backward = torch.autograd.backward
    yield
    assert torch.autograd.backward is backward
    assert DDP_HOOK is torch.nn.parallel.DistributedDataParallel.register_comm_hook
    assert not profiler_is_running()


class Steps(Callback):
    """Notes the steps and validations between the meter's doings; it stands behind the profiler."""

    def on_before_optimizer_step(self, *_: Any) -> None:
        log.append("optimizer")

    def on_train_batch_end(self, *_: Any) -> None:
        log.append("step")

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            log.append("validation")


def fit(folder: Path, callback: CommunicationProfiler, model: Any = None, **options: Any) -> Trainer:
    data = {name: options.pop(name) for name in ("train_dataloaders", "val_dataloaders") if name in options}
    trainer = Trainer(
        **{
            "max_epochs": 1,
            "limit_val_batches": 0,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "accelerator": "cpu",
            "devices": 1,
            "default_root_dir": folder,
            "callbacks": [callback, Steps()],
            **options,
        }
    )
    trainer.fit(model or BoringModel(), **data)
    return trainer


def rows(folder: Path) -> list[CommunicationRecord]:
    return [row for run in find_runs(folder) for row in run.of(CommunicationRecord)]


def compact(events: list[str]) -> str:
    return " ".join(event for event in events if event not in ("start", "optimizer"))


# ---------------------------------------------------------------- when it measures
def test_warm_up_slice_window(tmp_path: Path, scripted: list[str]) -> None:
    fit(tmp_path, CommunicationProfiler(window_steps=2, warmup_steps=2), limit_train_batches=6)
    assert " ".join(scripted) == (
        "start optimizer step slice sliced optimizer begin step optimizer step optimizer end 2 step "
        "optimizer step optimizer step"
    )
    [row] = rows(tmp_path)
    assert (row.epoch, row.first_step, row.steps, row.rank, row.source) == (0, 2, 2, 0, "cpu-trace")
    assert (row.wall_s, row.total_s, row.exposed_s, row.hidden_s) == (2.0, 1.0, 0.5, 0.5)
    assert (row.data_wait_s, row.overhead_percent, row.wait_s) == (0.25, 25.0, 0.0)


@pytest.mark.parametrize(
    ("batches", "epochs", "wanted", "steps"),
    [
        pytest.param(1, 1, "begin end 1 step", 1, id="one step"),
        pytest.param(2, 1, "slice sliced begin step end 1 step", 1, id="two steps"),
        pytest.param(4, 1, "step slice sliced begin step step end 2 step", 2, id="four steps"),
        pytest.param(
            2,
            4,
            "step step slice sliced begin step step end 1 begin step step end 2 begin step end 2 step",
            5,
            id="epochs shorter than the window",
        ),
        pytest.param(
            1,
            5,
            "step slice sliced step begin step end 1 begin step end 1 begin end 1 step",
            3,
            id="epochs of one step",
        ),
    ],
)
def test_short_trainings_get_what_there_is(
    tmp_path: Path, scripted: list[str], batches: int, epochs: int, wanted: str, steps: int
) -> None:
    profiler = CommunicationProfiler(window_steps=10, warmup_steps=3)
    fit(tmp_path, profiler, limit_train_batches=batches, max_epochs=epochs)
    assert compact(scripted) == wanted
    [row] = rows(tmp_path)
    assert (row.steps, row.wall_s) == (steps, float(steps))


def test_a_validation_within_is_left_out(tmp_path: Path, scripted: list[str]) -> None:
    profiler = CommunicationProfiler(window_steps=4, warmup_steps=1)
    fit(tmp_path, profiler, limit_train_batches=6, val_check_interval=2, limit_val_batches=1)
    assert compact(scripted) == (
        "slice sliced begin step step end 1 validation begin step step end 2 validation begin end 1 step "
        "step validation"
    )
    [row] = rows(tmp_path)
    assert (row.steps, row.wall_s) == (4, 4.0)


@pytest.mark.parametrize("options", [{"max_steps": 5, "max_epochs": -1}, {"max_steps": 5}])
def test_a_training_that_max_steps_ends(tmp_path: Path, scripted: list[str], options: Any) -> None:
    fit(tmp_path, CommunicationProfiler(), **options)
    assert [row.steps for row in rows(tmp_path)] == [3]


class Stream(IterableDataset[torch.Tensor]):
    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter([torch.ones(32)] * 7)


def test_data_without_a_length_may_end_within_the_window(tmp_path: Path, scripted: list[str]) -> None:
    fit(tmp_path, CommunicationProfiler(), train_dataloaders=DataLoader(Stream(), batch_size=1))
    assert [(row.first_step, row.steps) for row in rows(tmp_path)] == [(3, 4)]


def test_a_step_that_ends_the_epoch_itself(tmp_path: Path, scripted: list[str]) -> None:
    class Ends(BoringModel):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 3 else None

    profiler = CommunicationProfiler(window_steps=3, warmup_steps=2)
    fit(tmp_path, profiler, Ends(), limit_train_batches=9, max_epochs=2)
    assert compact(scripted) == "step slice sliced begin step step end 1 begin step end 2 step step"
    assert [row.steps for row in rows(tmp_path)] == [3]


def test_an_early_end_during_the_warm_up_leaves_no_row(tmp_path: Path, scripted: list[str]) -> None:
    class Ends(BoringModel):
        def on_train_batch_end(self, *_: Any) -> None:
            self.trainer.should_stop = True

    fit(tmp_path, CommunicationProfiler(), Ends())
    assert compact(scripted) == "step"
    assert rows(tmp_path) == []


def test_gradients_accumulated_and_optimizers_by_hand(tmp_path: Path, scripted: list[str]) -> None:
    fit(
        tmp_path / "accumulated",
        CommunicationProfiler(window_steps=2, warmup_steps=1),
        limit_train_batches=4,
        accumulate_grad_batches=2,
    )
    assert " ".join(scripted) == "start slice sliced begin step optimizer step end 2 step optimizer step"
    scripted.clear()
    fit(
        tmp_path / "by hand",
        CommunicationProfiler(window_steps=2, warmup_steps=1),
        GAN(),
        limit_train_batches=4,
        train_dataloaders=images(),
    )
    assert compact(scripted) == "slice sliced begin step step end 2 step step"
    assert [row.steps for folder in ("accumulated", "by hand") for row in rows(tmp_path / folder)] == [2, 2]


# ---------------------------------------------------------------- what further windows may cost
def test_another_window_every_n_epochs_if_the_time_pays_for_it(
    tmp_path: Path, scripted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An epoch takes 2 s and a window 0.125 s: a twentieth of the time pays for two of them after 5 s.
    monkeypatch.setattr(
        CommunicationProfiler, "_elapsed_s", lambda self: 2.0 * self.run._trainer().current_epoch
    )
    profiler = CommunicationProfiler(window_steps=1, warmup_steps=0, every_n_epochs=2, max_overhead=0.05)
    fit(tmp_path, profiler, limit_train_batches=2, max_epochs=8)
    assert [row.epoch for row in rows(tmp_path)] == [0, 4, 6]
    generous = CommunicationProfiler(window_steps=1, warmup_steps=0, every_n_epochs=2, max_overhead=1.0)
    fit(tmp_path / "paid", generous, limit_train_batches=2, max_epochs=8)
    assert [row.epoch for row in rows(tmp_path / "paid")] == [0, 2, 4, 6]


def test_without_every_n_epochs_there_is_one_window(tmp_path: Path, scripted: list[str]) -> None:
    fit(tmp_path, CommunicationProfiler(window_steps=1), limit_train_batches=9, max_epochs=4)
    assert [row.epoch for row in rows(tmp_path)] == [0]


def test_the_cost_is_told_as_a_share_of_the_whole_training(
    tmp_path: Path, scripted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CommunicationProfiler, "_elapsed_s", lambda self: 5.0)
    profiler = CommunicationProfiler(window_steps=2, warmup_steps=1)
    fit(tmp_path, profiler, limit_train_batches=10, max_epochs=2)
    [row] = rows(tmp_path)
    assert row.cost_s == 0.125
    assert row.cost_percent == 100 * 0.125 / (5.0 + 17 * 1.0)  # 17 of 20 steps of 1 s are still to come


def test_what_is_logged(tmp_path: Path, scripted: list[str]) -> None:
    fit(tmp_path, CommunicationProfiler(), limit_train_batches=20, logger=CSVLogger(tmp_path))
    [table] = tmp_path.rglob("metrics.csv")
    with open(table, encoding="utf-8", newline="") as lines:
        told = [
            {name: float(value) for name, value in line.items() if value} for line in csv.DictReader(lines)
        ]
    [window] = [line for line in told if "comm/overhead_percent" in line]
    assert window.pop("profiler/cost_percent") > 0
    assert window == {
        "comm/overhead_percent": 25.0,
        "comm/exposed_s": 2.5,
        "comm/total_s": 5.0,
        "comm/hidden_s": 2.5,
        "comm/wait_s": 0.0,
        "data/wait_percent": 12.5,
        "step": 13.0,
    }
    [*_, end] = [line for line in told if "profiler/cost_percent" in line]
    assert end["step"] == 20.0
    assert end["profiler/cost_percent"] > 0


# ---------------------------------------------------------------- beside others, and however it ends
def test_beside_lightnings_pytorch_profiler_it_steps_back_with_one_warning(tmp_path: Path) -> None:
    profiler = CommunicationProfiler(every_n_epochs=1, max_overhead=1.0)
    with pytest.warns(RuntimeWarning, match="one profiler at a time") as caught:
        fit(tmp_path, profiler, limit_train_batches=6, max_epochs=2, profiler="pytorch")
    assert len([w for w in caught if "one profiler at a time" in str(w.message)]) == 1
    assert rows(tmp_path) == []


def test_a_profiler_of_the_users_own_keeps_its_events(tmp_path: Path) -> None:
    with profile() as own, pytest.warns(RuntimeWarning, match="running already"):
        fit(tmp_path, CommunicationProfiler(), limit_train_batches=6)
    assert len(own.events())
    assert rows(tmp_path) == []


def test_a_profiler_that_the_module_starts_within_the_window(tmp_path: Path) -> None:
    class Profiles(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 4:
                with profile():
                    return super().training_step(batch, batch_idx)
            return super().training_step(batch, batch_idx)

    with pytest.warns(RuntimeWarning, match="taken its events"):
        trainer = fit(tmp_path, CommunicationProfiler(), Profiles(), limit_train_batches=8)
    assert trainer.global_step == 8
    assert rows(tmp_path) == []


@pytest.mark.parametrize("step", [1, 4], ids=["within the slice", "within the window"])
def test_an_exception_undoes_everything(tmp_path: Path, step: int) -> None:
    class Fails(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == step:
                raise RuntimeError("boom")
            return super().training_step(batch, batch_idx)

    profiler = CommunicationProfiler(warmup_steps=2)
    with pytest.raises(RuntimeError, match="boom"):
        fit(tmp_path, profiler, Fails(), limit_train_batches=20)
    assert not profiler_is_running()
    fit(tmp_path / "again", profiler, limit_train_batches=6)
    assert len(rows(tmp_path / "again")) == 1


def test_a_training_that_never_starts_undoes_its_hook(tmp_path: Path) -> None:
    class NoOptimizer(BoringModel):
        def configure_optimizers(self) -> Any:
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fit(tmp_path, CommunicationProfiler(), NoOptimizer())


@pytest.mark.parametrize(
    "argument",
    [
        {"window_steps": 0},
        {"window_steps": 2.5},
        {"warmup_steps": -1},
        {"every_n_epochs": 0},
        {"max_overhead": 0.0},
        {"max_overhead": 1.5},
        {"max_overhead": math.nan},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_named(argument: dict[str, Any]) -> None:
    [(name, value)] = argument.items()
    with pytest.raises(ValueError, match=f"{name} is .*given: {value!r}"):
        CommunicationProfiler(**argument)


def test_one_process_measures_no_communication(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit(tmp_path, CommunicationProfiler(), limit_train_batches=8)
    [row] = rows(tmp_path)
    assert (row.total_s, row.exposed_s, row.wait_s, row.collectives) == (0.0, 0.0, 0.0, 0)
    assert (row.steps, row.overhead_percent) == (5, 0.0)
    assert 0 < row.computation_s < row.wall_s
    parts = row.exposed_s + row.computation_s + row.data_wait_s + row.idle_s
    assert parts == pytest.approx(row.wall_s)
    assert row.cost_s > 0


# ---------------------------------------------------------------- worlds of two processes
HERE = Path(__file__).parents[2]
STRATEGIES = ["ddp", "ddp late", "deepspeed", "horovod"]


@pytest.mark.world
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_known_delay_is_exposed_on_two_real_processes(tmp_path: Path, strategy: str) -> None:
    """Half of 40 steps sleep in their communication; sleeps in layers are no communication."""
    name = strategy.split()[0]
    if name != "ddp" and not available({"horovod": "horovod.torch"}.get(name, name)):
        pytest.skip(f"{name} is not installed")
    script = f"""
import json, sys
sys.path[:0] = [{str(HERE / "benchmarks")!r}, {str(HERE)!r}]
from communication_truth import run_world
outcome = run_world({name!r}, [0.05], late={strategy == "ddp late"})
print("WINDOWS", json.dumps([vars(row) for row in outcome.windows]))
"""
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert told.returncode == 0, told.stderr[-4000:]
    [line] = [line for line in told.stdout.splitlines() if line.startswith("WINDOWS")]
    windows = json.loads(line.removeprefix("WINDOWS"))
    assert sorted(row["rank"] for row in windows) == [0, 1]
    slept_s, computed_s = 20 * 0.05, 40 * 6 * (0.002 + 0.004)
    for row in windows:
        assert row["steps"] == 40
        assert row["total_s"] >= slept_s
        # A future that is late while backward still runs is hidden for that long, and exposed afterwards.
        least_s = slept_s - 20 * 6 * 0.004 if strategy == "ddp late" else slept_s
        assert least_s <= row["exposed_s"] <= row["wall_s"] - computed_s
        assert row["idle_s"] + row["computation_s"] >= computed_s
        assert row["collectives"] >= 20
    assert min(row["wait_s"] for row in windows) == 0.0
