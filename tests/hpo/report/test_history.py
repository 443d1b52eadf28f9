from __future__ import annotations

import json
from pathlib import Path

from lightning_itwin.hpo.report.history import history, read_epoch_times
from tests.hpo.report.synthetic import row, study


def test_epochs_of_trainings_at_once_take_turns() -> None:
    found = history(
        study(
            row(0, {1: 0.9, 2: 0.7}, ended_unix_s=104.0),  # epochs end at 102 and 104
            row(1, {1: 0.8, 2: 0.6, 3: 0.65}, ended_unix_s=103.0),  # at 101, 102 and 103
        )
    )
    assert [(step.epochs, step.wall_s, step.value, step.configuration) for step in found.steps] == [
        (1, 1.0, 0.8, 1),
        (3, 2.0, 0.6, 1),
    ]
    assert found.ends == {0: (5, 4.0), 1: (4, 3.0)}
    assert (found.epochs, found.wall_s, found.started_unix_s) == (5, 4.0, 100.0)


def test_known_times_count_and_copied_epochs_do_not() -> None:
    found = history(
        study(
            row(0, {1: 0.9, 2: 0.7}),
            row(1, {1: 0.9, 2: 0.7, 3: 0.1}, from_epoch=2, started_unix_s=200.0, ended_unix_s=300.0),
        ),
        times={1: {3: 250.0}},
    )
    assert [(step.epochs, step.wall_s) for step in found.steps] == [(1, 1.0), (2, 2.0), (3, 150.0)]


def test_higher_values_may_be_better() -> None:
    found = history(study(row(0, {1: 0.2, 2: 0.9, 3: 0.5}), direction="maximize"))
    assert [step.value for step in found.steps] == [0.2, 0.9]


def test_rows_without_times_follow_each_other() -> None:
    found = history(
        study(*(row(number, {1: 1.0 - number}, started_unix_s=None, ended_unix_s=None) for number in (0, 1)))
    )
    assert [(step.epochs, step.wall_s) for step in found.steps] == [(1, None), (2, None)]
    assert found.wall_s is None


def test_times_are_read_from_the_folders_of_trials(tmp_path: Path) -> None:
    folder = tmp_path / "trials" / "0003"
    folder.mkdir(parents=True)
    (tmp_path / "trials" / "notes").mkdir()
    line = json.dumps({"epoch": 1, "value": 0.5, "time_unix_s": 12.5})
    (folder / "reports.jsonl").write_text(line + "\n" + line[:9])
    (tmp_path / "trials" / "notes" / "reports.jsonl").write_text(line)
    assert read_epoch_times(tmp_path) == {3: {1: 12.5}}
