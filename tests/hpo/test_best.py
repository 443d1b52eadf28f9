from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

pytest.importorskip("optuna")

from lightning_itwin.hpo import driver as driver_module
from lightning_itwin.hpo import repeats, tuning
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from lightning_itwin.hpo.study_reading import read_study
from lightning_itwin.launch import World
from tests.hpo.conftest import CHECKED, FakeLauncher, FakeWorld


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_POLL_S", 0.0)
    monkeypatch.setattr(repeats, "_POLL_S", 0.0)
    monkeypatch.setattr(tuning, "_write_report", lambda *given: None)
    monkeypatch.setattr(tuning, "check", lambda *given: CHECKED)


def test_a_study_leaves_its_best_as_files_that_agree(
    tmp_path: Path, make_plan: Callable[..., StudyPlan], launcher: FakeLauncher
) -> None:
    folder = tmp_path / "study"
    best = tuning.run(make_plan(repeats=2, trials=8, seed=1), folder, progress=False, launcher=launcher)
    record = read_study(folder)
    winner, baseline = record.winner, record.baseline
    assert winner is not None
    assert baseline is not None
    assert (best.value, best.baseline) == (winner.value, baseline.value)
    assert best.improvement_percent == pytest.approx(100 * (1 - best.value / (best.baseline or 0)))
    config = yaml.safe_load(best.config.read_text())
    assert config["model"]["init_args"]["learning_rate"] == winner.params["model.learning_rate"]
    assert config["model"]["init_args"]["width"] == 2
    assert config["trainer"]["max_epochs"] == 9
    head = best.config.read_text().splitlines()[0]
    assert head.startswith(f"# Best of study study: val_loss {winner.value:.6g} after epoch")
    assert "below the baseline's" in head
    assert best.checkpoint == folder / "best.ckpt"
    assert best.checkpoint.read_text() == "weights"
    with open(folder / "trials.csv") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["number"]) for line in lines] == [row.number for row in record.rows]
    assert lines[0]["baseline"] == "True"
    assert float(lines[winner.number]["value"]) == winner.value
    assert f"{best.improvement_percent:.1f} % below the baseline's" in str(best)
    at_the_end = dataclasses.replace(best, params={"model.learning_rate": 1.0})
    assert "learning_rate: 1.0  (upper end of its range" in str(at_the_end)


def test_winner_and_baseline_are_repeated_with_other_seeds_and_once(
    tmp_path: Path, make_plan: Callable[..., StudyPlan], launcher: FakeLauncher
) -> None:
    plan = make_plan(repeats=2, trials=8)
    best = tuning.run(plan, tmp_path / "study", progress=False, launcher=launcher)
    assert best.repeated is not None
    assert len(best.repeated.winner) == len(best.repeated.baseline) == 2
    seeds = {
        yaml.safe_load(path.read_text())["seed_everything"]
        for path in (tmp_path / "study" / "repeats").glob("*/config.yaml")
    }
    assert seeds == {2, 3}
    assert "with 2 other seeds: val_loss" in str(best)
    before = len(launcher.started)
    again = tuning.run(plan, tmp_path / "study", progress=False, launcher=launcher)
    assert len(launcher.started) == before
    assert again.repeated == best.repeated


def test_another_study_in_the_same_folder_is_refused(
    tmp_path: Path, make_plan: Callable[..., StudyPlan], launcher: FakeLauncher
) -> None:
    tuning.run(make_plan(repeats=0, trials=1), tmp_path / "study", progress=False, launcher=launcher)
    with pytest.raises(StudyError, match="cannot be gone on with: metric: 'val_loss' there, 'loss' now"):
        tuning.run(make_plan(metric="loss"), tmp_path / "study", progress=False, launcher=launcher)


class Dead(FakeWorld):
    def poll(self) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_study_leaves_what_it_has(
    tmp_path: Path, make_plan: Callable[..., StudyPlan], launcher: FakeLauncher
) -> None:
    start = launcher.start

    def third_dies(world: World) -> FakeWorld:
        made = start(world)
        return made if len(launcher.started) < 3 else Dead(world, launcher)

    launcher.start = third_dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        tuning.run(make_plan(repeats=0), tmp_path / "study", progress=False, launcher=launcher)
    assert (tmp_path / "study" / "best.yaml").exists()
    assert (tmp_path / "study" / "trials.csv").exists()


def test_five_lines_of_python(
    tmp_path: Path, launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "make_launcher", lambda *given: launcher)
    from lightning_itwin.hpo import tune

    space = {"model.learning_rate": {"low": 1e-3, "high": 1.0, "log": True}, "data.batch_size": [8, 16]}
    best = tune("virgo", space, "val_loss", output=tmp_path / "study", trials=3, repeats=0, progress=False)
    assert set(best.params) == set(space)


def test_a_baseline_that_nothing_beats_is_not_0_percent_below_itself(
    tmp_path: Path, make_plan: Callable[..., StudyPlan], launcher: FakeLauncher
) -> None:
    best = tuning.run(make_plan(repeats=0, trials=1), tmp_path / "study", progress=False, launcher=launcher)
    assert str(best).splitlines()[0].endswith(": the baseline's own; no other trial beat it")
    assert best.config.read_text().splitlines()[0].endswith("of trial 0, the baseline itself")
