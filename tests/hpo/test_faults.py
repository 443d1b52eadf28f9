"""Real processes that are killed, interrupted, started twice; the trials in them are light, without torch."""

from __future__ import annotations

import collections
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from lightning_itwin.hpo.study_reading import StudyRecord, read_study

pytestmark = pytest.mark.world
ROOT = Path(__file__).parents[2]


class Drivers:
    """Starts drivers, and ends at the end of the test whatever they left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, trials: int, *more: str, largest_file: int = 0) -> subprocess.Popen[str]:
        limits = (largest_file, largest_file)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.hpo.driver_process", str(self.folder), str(trials), *more],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)) if largest_file else None,
        )
        self.processes.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> str:
        told, _ = process.communicate(timeout=100)
        return told

    def wait_for_epochs(self, count: int) -> None:
        wait(lambda: len(self.trained()) >= count)

    def trained(self) -> list[str]:
        try:
            return (self.folder / "trained").read_text().splitlines()
        except OSError:
            return []

    def record(self) -> StudyRecord:
        return read_study(self.folder)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def wait(until: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    made = Drivers(tmp_path / "study")
    yield made
    made.end()


def no_row_is_left_open(record: StudyRecord) -> bool:
    return not any(row.state in ("running", "waiting") for row in record.rows)


def test_ctrl_c_ends_all_trials_and_the_same_command_goes_on(drivers: Drivers) -> None:
    first = drivers.start(4)
    drivers.wait_for_epochs(6)
    first.send_signal(signal.SIGINT)
    drivers.finish(first)
    assert first.returncode == 130
    record = drivers.record()
    assert no_row_is_left_open(record)
    assert "interrupted" in {row.reason for row in record.rows}
    before = len(drivers.trained())
    time.sleep(0.6)
    assert len(drivers.trained()) == before
    second = drivers.start(4)
    assert "best val_loss" in drivers.finish(second)
    record = drivers.record()
    assert no_row_is_left_open(record)
    assert len({row.configuration for row in record.rows}) == 4
    assert (drivers.folder / "best.yaml").exists()


def test_worlds_outlive_a_killed_driver_and_none_is_run_twice(drivers: Drivers) -> None:
    first = drivers.start(4)
    drivers.wait_for_epochs(3)
    first.kill()
    first.wait()
    second = drivers.start(4)
    drivers.finish(second)
    assert second.returncode == 0
    record = drivers.record()
    assert no_row_is_left_open(record)
    assert {row.state for row in record.rows} <= {"complete", "paused"}
    assert len({row.configuration for row in record.rows}) == 4
    twice = [line for line, count in collections.Counter(drivers.trained()).items() if count > 1]
    assert twice == []


def test_a_second_driver_is_refused_and_told_how_to_join(drivers: Drivers) -> None:
    first = drivers.start(3)
    drivers.wait_for_epochs(1)
    second = drivers.start(3)
    told = drivers.finish(second)
    assert second.returncode == 2
    assert f"is being driven by process {first.pid}" in told
    assert "python -m lightning_itwin.hpo worker --study journal://" in told
    drivers.finish(first)
    assert first.returncode == 0


def test_a_driver_that_joins_shares_the_work(drivers: Drivers) -> None:
    first = drivers.start(14)
    drivers.wait_for_epochs(1)
    second = drivers.start(14, "join")
    drivers.finish(second)
    drivers.finish(first)
    assert (first.returncode, second.returncode) == (0, 0)
    record = drivers.record()
    assert no_row_is_left_open(record)
    assert len({row.driver for row in record.rows}) == 2
    assert len({row.configuration for row in record.rows}) == 14
    twice = [line for line, count in collections.Counter(drivers.trained()).items() if count > 1]
    assert twice == []


def test_a_full_disk_ends_the_driver_and_with_room_the_same_command_goes_on(drivers: Drivers) -> None:
    first = drivers.start(3, largest_file=6000)
    told = drivers.finish(first)
    assert first.returncode == 1, told
    assert "error: [Errno 27] File too large" in told
    complete = {row.number for row in drivers.record().rows if row.state == "complete"}
    second = drivers.start(3)
    drivers.finish(second)
    assert second.returncode == 0
    record = drivers.record()
    assert no_row_is_left_open(record)
    assert len({row.configuration for row in record.rows}) == 3
    assert complete <= {row.number for row in record.rows if row.state == "complete"}
    ends = collections.Counter(row.configuration for row in record.rows if row.state == "complete")
    assert set(ends.values()) == {1}
