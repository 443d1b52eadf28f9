import dataclasses
import json
from pathlib import Path

import pytest

from lightning_itwin import strategy_names
from lightning_itwin.bench.plan import Cell, Plan, PlanError, read_config
from lightning_itwin.bench.run import Sweep, unavailable
from lightning_itwin.launch import World, WorldEnd
from lightning_itwin.records import Run


class RememberedWorld:
    def __init__(self, end: WorldEnd | BaseException) -> None:
        self.end = end
        self.stopped = False

    def wait(self) -> WorldEnd:
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end

    def stop(self) -> None:
        self.stopped = True


class RememberingLauncher:
    """Starts nothing: gives each world the next of the ends that it was made with."""

    def __init__(self, *ends: WorldEnd | BaseException) -> None:
        self.ends = list(ends)
        self.worlds: list[World] = []
        self.running: list[RememberedWorld] = []

    def start(self, world: World) -> RememberedWorld:
        self.worlds.append(world)
        self.running.append(
            RememberedWorld(self.ends.pop(0) if self.ends else WorldEnd(status="ok", wall_s=1.0))
        )
        return self.running[-1]

    def describe(self, world: World) -> str:
        return f"{world.starter} {world.workers} {' '.join(world.command)}"


@pytest.fixture
def launcher() -> RememberingLauncher:
    return RememberingLauncher()


@pytest.fixture
def sweep(tmp_path: Path, plan: Plan, launcher: RememberingLauncher) -> Sweep:
    return make_sweep(tmp_path, plan, launcher)


def make_sweep(folder: Path, plan: Plan, launcher: RememberingLauncher) -> Sweep:
    return Sweep(plan, read_config(Path(plan.workload.config)), folder / "sweep", launcher, timeout_s=9.0)


def arguments_of(world: World) -> list[str]:
    return json.loads(Path(world.command[-1]).read_text())["arguments"]


def test_one_training_a_cell_and_none_twice(sweep: Sweep, launcher: RememberingLauncher) -> None:
    names: list[str] = []
    outcomes = list(sweep.run(sweep.missing(), names.append))
    assert len(outcomes) == len(launcher.worlds) == 12
    assert names[0] == sweep.plan.cells()[0].name
    assert sweep.missing() == []
    assert {world.timeout_s for world in launcher.worlds} == {9.0}
    assert {world.environment["OMP_NUM_THREADS"] for world in launcher.worlds} == {"1"}


def test_a_failed_cell_is_written_down_and_the_sweep_goes_on(tmp_path: Path, plan: Plan) -> None:
    failed = WorldEnd(status="failed", wall_s=2.0, reason="ValueError: x", log_tail="ValueError: x")
    sweep = make_sweep(tmp_path, plan, RememberingLauncher(failed))
    outcomes = list(sweep.run(sweep.missing(), str))
    assert [outcome.status for outcome in outcomes] == ["failed"] + ["ok"] * 11
    first = plan.cells()[0]
    assert sweep.missing() == [first]
    outcome = Run.read(sweep.folder / "records" / first.name).outcome
    assert outcome is not None
    assert (outcome.reason, outcome.log) == ("ValueError: x", f"logs/{first.name}.log")


def test_an_interrupted_sweep_keeps_what_is_finished(tmp_path: Path, plan: Plan) -> None:
    launcher = RememberingLauncher(WorldEnd(status="ok", wall_s=1.0), KeyboardInterrupt())
    sweep = make_sweep(tmp_path, plan, launcher)
    with pytest.raises(KeyboardInterrupt):
        list(sweep.run(sweep.missing(), str))
    assert launcher.running[1].stopped
    assert sweep.missing() == plan.cells()[1:]


def test_what_an_interrupted_training_left_is_removed(tmp_path: Path, sweep: Sweep) -> None:
    cell = sweep.missing()[0]
    leftover = sweep.folder / "records" / cell.name / "rank-0000.jsonl"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("{")
    list(sweep.run([cell], str))
    assert not leftover.exists()


def test_a_broken_outcome_is_run_again(sweep: Sweep) -> None:
    list(sweep.run(sweep.missing(), str))
    cell = sweep.plan.cells()[3]
    (sweep.folder / "records" / cell.name / "outcome.json").write_text("{")
    assert sweep.missing() == [cell]


def test_the_arguments_of_a_training(sweep: Sweep, launcher: RememberingLauncher) -> None:
    list(sweep.run([Cell(strategy="ddp", workers=2, repeat=0)], str))
    arguments = arguments_of(launcher.worlds[0])
    assert arguments[:2] == ["fit", "--config"]
    for expected in (
        "--trainer.strategy=ddp",
        "--trainer.devices=2",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=3",
        "--trainer.limit_train_batches=6",
        "--trainer.enable_checkpointing=false",
    ):
        assert expected in arguments


def test_the_users_overrides_come_before_the_sweeps_own(
    tmp_path: Path, plan: Plan, launcher: RememberingLauncher
) -> None:
    workload = dataclasses.replace(
        plan.workload,
        overrides=("--trainer.limit_train_batches=40",),
        batch_size_key="data.init_args.batch_size",
    )
    sweep = make_sweep(tmp_path, dataclasses.replace(plan, workload=workload), launcher)
    list(sweep.run([Cell(strategy="ddp", workers=2, repeat=0)], str))
    arguments = arguments_of(launcher.worlds[0])
    assert arguments.index("--trainer.limit_train_batches=40") < arguments.index(
        "--trainer.limit_train_batches=20"
    )
    assert "--data.init_args.batch_size=32" in arguments


def test_a_batch_that_cannot_be_shared_is_refused(
    tmp_path: Path, plan: Plan, launcher: RememberingLauncher
) -> None:
    workload = dataclasses.replace(plan.workload, batch_size_key="data.init_args.nothing")
    sweep = make_sweep(tmp_path, dataclasses.replace(plan, workload=workload), launcher)
    with pytest.raises(PlanError, match="share evenly"):
        list(sweep.run([Cell(strategy="ddp", workers=2, repeat=0)], str))


def test_a_checkpoint_callback_of_the_users_stays(
    tmp_path: Path, plan: Plan, config_file: Path, launcher: RememberingLauncher
) -> None:
    callback = "  callbacks:\n    - class_path: lightning.pytorch.callbacks.ModelCheckpoint\n"
    config_file.write_text(config_file.read_text() + callback)
    sweep = make_sweep(tmp_path, plan, launcher)
    list(sweep.run([Cell(strategy="ddp", workers=1, repeat=0)], str))
    assert "--trainer.enable_checkpointing=false" not in arguments_of(launcher.worlds[0])


def test_a_strategy_that_is_not_installed_fails_without_a_start(
    sweep: Sweep, launcher: RememberingLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategy_names, "available", lambda module: False)
    outcome = next(sweep.run([Cell(strategy="horovod", workers=2, repeat=0)], str))
    assert outcome.status == "failed"
    assert "lightning_itwin.strategies.horovod_build --install" in outcome.reason
    assert launcher.worlds == []
    assert "lightning-itwin[deepspeed]" in unavailable("deepspeed")
    assert unavailable("ddp") == ""
