from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.records import Run, run_folders
from lightning_itwin.reports.comparability import FIELDS, batch_rule, check_comparable
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.run_values import RunValues, read_run_values
from tests.reports.synthetic import MANIFEST_OF_DDP, write_run


def runs_below(root: Path) -> list[RunValues]:
    return [read_run_values(Run.read(folder), root) for folder in run_folders(root)]


def pair(root: Path, **changes: Any) -> list[RunValues]:
    write_run(root, "ddp", 1, 0, 10.0)
    write_run(root, "horovod", 1, 0, 10.0, **changes)
    return runs_below(root)


DIFFERENT = {
    "workload": "gan",
    "accelerator": "cuda",
    "device_name": "NVIDIA H200",
    "cpu_name": "Intel Xeon",
    "precision": "bf16-mixed",
    "dataset_samples": 100,
    "scaling": "weak",
    "threads_per_worker": 9,
    "parameters": 5,
    "batch_size": 64,
}


@pytest.mark.parametrize(("field", "value"), DIFFERENT.items())
def test_runs_that_differ_are_refused_by_name_unless_allowed(tmp_path: Path, field: str, value: Any) -> None:
    runs = pair(tmp_path, **{field: value})
    with pytest.raises(ReportError) as refused:
        check_comparable(runs)
    message = str(refused.value)
    for told in (f"  {field}: ", str(value), "ddp-w1-r0", "horovod-w1-r0", f"--allow-mixed {field}"):
        assert told in message
    (warning,) = check_comparable(runs, [field])
    assert field in warning


@pytest.mark.parametrize("library", ["torch", "lightning"])
def test_versions_of_torch_and_lightning_are_compared(tmp_path: Path, library: str) -> None:
    runs = pair(tmp_path, versions={**MANIFEST_OF_DDP.versions, library: "1.0"})
    with pytest.raises(ReportError, match=f"{library}: .*1.0"):
        check_comparable(runs)
    assert check_comparable(runs, [library])


def test_every_difference_is_named_at_once(tmp_path: Path) -> None:
    runs = pair(tmp_path, precision="16-mixed", parameters=3)
    with pytest.raises(
        ReportError, match=r"precision.*\n.*parameters.*\n.*--allow-mixed precision,parameters"
    ):
        check_comparable(runs)


def test_strategy_workers_repeat_and_seed_may_differ(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0, seed=1)
    write_run(tmp_path, "horovod", 2, 1, 10.0, seed=2)
    assert check_comparable(runs_below(tmp_path)) == ()


@pytest.mark.parametrize(
    "sizes",
    [{1: 64, 2: 32, 4: 16}, {1: 64, 3: 21, 5: 12}, {2: 32, 4: 32}],
    ids=["halved", "rounded down", "kept"],
)
def test_a_batch_may_be_kept_on_each_worker_or_over_all(tmp_path: Path, sizes: dict[int, int]) -> None:
    for workers, size in sizes.items():
        for strategy in ("ddp", "deepspeed"):
            write_run(tmp_path, strategy, workers, 0, 10.0, batch_size=size)
    runs = runs_below(tmp_path)
    assert check_comparable(runs) == ()
    assert batch_rule(runs) == (
        "batches of 32 on every worker"
        if 3 not in sizes and 1 not in sizes
        else "batches of 64 over all workers"
    )


@pytest.mark.parametrize("sizes", [{1: 64, 2: 48}, {1: 32, 2: 64}], ids=["neither", "grown"])
def test_a_batch_of_no_rule_is_refused(tmp_path: Path, sizes: dict[int, int]) -> None:
    for workers, size in sizes.items():
        write_run(tmp_path, "ddp", workers, 0, 10.0, batch_size=size)
    with pytest.raises(ReportError, match="batch_size: "):
        check_comparable(runs_below(tmp_path))


def test_accumulation_is_part_of_the_batch(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0, accumulate_grad_batches=2)
    write_run(tmp_path, "ddp", 2, 0, 10.0)
    assert check_comparable(runs_below(tmp_path)) == ()
    write_run(tmp_path, "deepspeed", 1, 0, 10.0)
    with pytest.raises(ReportError, match="2 accumulated"):
        check_comparable(runs_below(tmp_path))


def test_the_data_set_may_grow_with_the_workers_in_a_weak_scaling(tmp_path: Path) -> None:
    for workers in (1, 2, 4):
        write_run(tmp_path, "ddp", workers, 0, 10.0, scaling="weak", dataset_samples=100 * workers)
    assert check_comparable(runs_below(tmp_path)) == ()


def test_a_different_commit_or_hyperparameter_is_a_warning(tmp_path: Path) -> None:
    runs = pair(tmp_path, git_commit="fedcba+", hyperparameters={"lr": "0.1"})
    commit, rate = check_comparable(runs)
    assert "fedcba+ (records/horovod-w1-r0)" in commit
    assert "lr" in rate


def test_a_field_that_does_not_exist_cannot_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no such field: colour") as refused:
        check_comparable(pair(tmp_path), ["colour"])
    assert all(field in str(refused.value) for field in FIELDS)
