from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lightning_itwin.reports.tensorboard_plugin import log_folders
from lightning_itwin.reports.tensorboard_plugin.log_folders import LogFolders, roots_of
from tests.reports.synthetic import write_run


@pytest.fixture(autouse=True)
def _always_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_folders.LogFolders, "_stale", lambda self: True)


def test_the_whole_then_sweeps_and_log_folders_the_newest_first(tmp_path: Path) -> None:
    for name in ("sweep", "later"):
        write_run(tmp_path / name, "ddp", 1, 0, 2.0)
        write_run(tmp_path / name, "ddp", 2, 0, 2.0)
        (tmp_path / name / "plan.json").write_text(json.dumps({}), encoding="utf-8")
    write_run(tmp_path / "lightning_logs" / "version_0", "ddp", 1, 0, 2.0, sweep=False)
    for path in (tmp_path / "sweep").rglob("*"):
        os.utime(path, (1000, 1000))
    for path in (tmp_path / "lightning_logs").rglob("*"):
        os.utime(path, (2000, 2000))
    choices = LogFolders([("", tmp_path)]).choices()
    assert [(choice.label, choice.runs) for choice in choices] == [
        ("all runs", 5),
        ("later", 2),
        ("lightning_logs/version_0", 1),
        ("sweep", 2),
    ]
    assert len({choice.key for choice in choices}) == 4


def test_a_sweep_itself_is_one_choice(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 2.0)
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    assert [choice.label for choice in LogFolders([("mine", tmp_path)]).choices()] == ["mine: all runs"]


def test_a_run_that_comes_later_is_found(tmp_path: Path) -> None:
    folders = LogFolders([("", tmp_path / "logs")])  # a folder that is not there yet
    assert not folders.any_runs()
    write_run(tmp_path / "logs", "ddp", 1, 0, 2.0)
    assert folders.any_runs()


def test_a_new_row_changes_the_choice(tmp_path: Path) -> None:
    run = write_run(tmp_path, "ddp", 1, 0, 2.0)
    folders = LogFolders([("", tmp_path)])
    [before] = folders.choices()[:1]
    later = before.changed_unix_s + 10
    os.utime(run / "rank-0000.jsonl", (later, later))
    assert folders.choices()[0].changed_unix_s == later
    assert folders.choice(before.key) is not None
    assert folders.choice("0" * 16) is None


@pytest.mark.parametrize(
    ("logdir", "spec", "roots"),
    [
        ("logs", "", [("", Path("logs"))]),
        ("", "a:one,b:two", [("a", Path("one")), ("b", Path("two"))]),
        ("s3://bucket/logs", "", []),
        ("", "", []),
    ],
)
def test_the_options_of_tensorboard(logdir: str, spec: str, roots: list[tuple[str, Path]]) -> None:
    assert roots_of(logdir, spec) == roots
