from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.records import Run
from lightning_itwin.records.run_folder import MANIFEST, RunOutcome
from lightning_itwin.reports.goodput import GoodputLedger, goodput_ledger
from tests.reports.synthetic import MANIFEST_OF_DDP, START_S, wall_time, window, write_records


def run_of(folder: Path, *records: Any, outcome: RunOutcome | None = None) -> Run:
    MANIFEST_OF_DDP.write(folder / MANIFEST)
    write_records(folder, list(records))
    if outcome is not None:
        outcome.write(folder)
    return Run.read(folder)


def outcome(wall_s: float, status: str = "ok", **more: Any) -> RunOutcome:
    return RunOutcome(strategy="ddp", workers=1, repeat=0, status=status, wall_s=wall_s, **more)


def test_a_run_whose_communication_was_not_profiled(tmp_path: Path) -> None:
    ledger = goodput_ledger(run_of(tmp_path, wall_time()))
    assert ledger == GoodputLedger(
        computation_s=50.0,
        exposed_communication_s=0.0,
        straggler_wait_s=0.0,
        data_wait_s=10.0,
        validation_and_checkpoint_s=20.0,
        start_up_s=10.0,
        idle_s=10.0,
    )
    assert ledger.wall_s == 100.0
    assert ledger.goodput_percent == 50.0


def test_the_windows_share_out_the_steps(tmp_path: Path) -> None:
    # of 0.9 s without data wait: 0.08 communication, 0.02 straggler, 0.1 idle, and 0.7 computation
    ledger = goodput_ledger(run_of(tmp_path, wall_time(), window(0)))
    assert ledger is not None
    assert ledger.exposed_communication_s == pytest.approx(50 * 0.08 / 0.9)
    assert ledger.straggler_wait_s == pytest.approx(50 * 0.02 / 0.9)
    assert ledger.computation_s == pytest.approx(50 * 0.7 / 0.9)
    assert ledger.idle_s == pytest.approx(10 + 50 * 0.1 / 0.9)
    assert ledger.wall_s == pytest.approx(100.0)


def test_the_last_row_of_each_rank_counts_and_ranks_are_averaged(tmp_path: Path) -> None:
    early = wall_time(second=100.0, training_s=20.0, epochs_s=10.0, data_wait_s=1.0, validation_s=0.0)
    other = wall_time(rank=1, epochs_s=40.0, data_wait_s=0.0)
    ledger = goodput_ledger(run_of(tmp_path, early, wall_time(), other))
    assert ledger is not None
    assert (ledger.computation_s, ledger.data_wait_s, ledger.idle_s) == (45.0, 5.0, 20.0)


def test_what_the_launcher_saw_beyond_the_processes_is_idle(tmp_path: Path) -> None:
    ledger = goodput_ledger(run_of(tmp_path, wall_time(), outcome=outcome(104.0)))
    assert ledger is not None
    assert (ledger.wall_s, ledger.idle_s) == (104.0, 14.0)


def test_what_the_launcher_saw_before_the_process_is_start_up(tmp_path: Path) -> None:
    # the last row is at 200 s, the process began 100 s before it, and was launched at 97 s
    seen = outcome(105.0, started_unix_s=START_S + 97)
    ledger = goodput_ledger(run_of(tmp_path, wall_time(), outcome=seen))
    assert ledger is not None
    assert (ledger.wall_s, ledger.start_up_s, ledger.idle_s) == (105.0, 13.0, 12.0)


def test_a_run_that_hung_is_told_up_to_its_last_row(tmp_path: Path) -> None:
    ledger = goodput_ledger(run_of(tmp_path, wall_time(), outcome=outcome(1000.0, "timeout")))
    assert ledger is not None
    assert ledger.wall_s == 100.0


def test_without_a_row_there_is_no_ledger(tmp_path: Path) -> None:
    assert goodput_ledger(run_of(tmp_path, window(0))) is None


@pytest.mark.parametrize("wait_s", [None, 0.0, 0.1])
def test_any_window_sums_to_the_whole(tmp_path: Path, wait_s: float | None) -> None:
    run = run_of(tmp_path, wall_time(), window(0, wait_s=wait_s), window(0, first_step=9, idle_s=0.4))
    ledger = goodput_ledger(run)
    assert ledger is not None
    assert sum(ledger.percent().values()) == pytest.approx(100.0)
    assert min(ledger.percent().values()) >= 0.0
