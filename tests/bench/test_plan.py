import dataclasses
from pathlib import Path

import pytest

from lightning_itwin.bench.plan import (
    Plan,
    PlanError,
    Workload,
    check_resumable,
    limit_train_batches,
    read_config,
    write_workload,
)


def test_every_round_has_every_cell_once(plan: Plan) -> None:
    rounds = list(plan.rounds())
    wanted = {(s, w) for s in ("ddp", "deepspeed_stage_1") for w in (1, 2)}
    assert len(rounds) == 3
    for repeat, cells in enumerate(rounds):
        assert {(cell.strategy, cell.workers) for cell in cells} == wanted
        assert {cell.repeat for cell in cells} == {repeat}


def test_the_order_is_the_same_at_every_start(plan: Plan) -> None:
    assert plan.cells() == plan.cells()


def test_names_of_cells_are_unique(plan: Plan) -> None:
    names = [cell.name for cell in plan.cells()]
    assert len(set(names)) == len(names) == 12


def test_a_sweep_of_the_same_workload_is_gone_on_with(tmp_path: Path, workload: Workload) -> None:
    write_workload(tmp_path, workload)
    check_resumable(tmp_path, workload)
    check_resumable(tmp_path / "empty", workload)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 4}, {"scaling": "weak"}, {"overrides": ("--model.x=1",)}, {"config_sha256": "0"}],
)
def test_a_sweep_of_another_workload_is_refused(tmp_path: Path, workload: Workload, change: dict) -> None:
    write_workload(tmp_path, workload)
    with pytest.raises(PlanError, match=next(iter(change))):
        check_resumable(tmp_path, dataclasses.replace(workload, **change))


def test_a_moved_config_is_the_same_workload(tmp_path: Path, workload: Workload) -> None:
    write_workload(tmp_path, workload)
    check_resumable(tmp_path, dataclasses.replace(workload, config="/elsewhere/boring.yaml"))


def test_strong_scaling_shares_a_fixed_number_of_batches() -> None:
    shared = [limit_train_batches(12, scaling="strong", workers=n, most_workers=4) for n in (1, 2, 4)]
    assert shared == [12, 6, 3]


def test_strong_scaling_leaves_the_whole_data_set() -> None:
    assert limit_train_batches(None, scaling="strong", workers=4, most_workers=4) is None
    assert limit_train_batches(0.5, scaling="strong", workers=4, most_workers=4) == 0.5


def test_weak_scaling_gives_each_worker_the_steps_of_the_largest_world() -> None:
    fractions = [limit_train_batches(None, scaling="weak", workers=n, most_workers=4) for n in (1, 2, 4)]
    assert fractions == [0.25, 0.5, 1.0]
    assert limit_train_batches(0.5, scaling="weak", workers=2, most_workers=4) == 0.25


def test_fewer_batches_than_workers_is_refused() -> None:
    with pytest.raises(PlanError, match="fewer than the 4 workers"):
        limit_train_batches(3, scaling="strong", workers=4, most_workers=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not YAML"), ("just text", "not a LightningCLI config"), ("trainer: {}", "names no model")],
)
def test_what_is_no_config_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(PlanError, match=message):
        read_config(path)


def test_a_config_below_its_subcommand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fit.yaml"
    path.write_text("fit:\n  model: {class_path: a.B}\n  trainer: {max_epochs: 7}\n")
    config = read_config(path)
    assert config.below_fit
    assert config.get("trainer.max_epochs") == 7
    assert config.get("trainer.nothing.below") is None
