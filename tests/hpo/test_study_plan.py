from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.hpo.__main__ import main
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan, read_study

STUDY = """\
config: virgo
objective: {metric: val/loss, direction: maximize}
space:
  model.learning_rate: {low: 1e-4, high: 0.1, log: true}
budget: {trials: 5, hours: 2}
policy: {name: promotion, eta: 4}
parallel_trials: 3
"""


def read(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return read_study(path)


def test_a_study_is_read(tmp_path: Path) -> None:
    plan = StudyPlan(**read(tmp_path, STUDY))
    assert (plan.metric, plan.direction) == ("val/loss", "maximize")
    assert (plan.trials, plan.epochs, plan.hours) == (5, None, 2)
    assert (plan.policy, plan.policy_settings) == ("promotion", {"eta": 4})
    assert plan.parallel_trials == 3


def test_a_config_beside_the_study_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: {}")
    assert read(tmp_path, STUDY.replace("virgo", "mine.yaml"))["config"] == str(tmp_path / "mine.yaml")
    assert read(tmp_path, STUDY)["config"] == "virgo"


@pytest.mark.parametrize(
    ("said", "policy", "settings"),
    [
        ("sampler: random", "random", {}),
        ("sampler: tpe\npruner: none", "tpe", {}),
        ("sampler: tpe\npruner: hyperband", "hyperband", {"sampler": "tpe"}),
        ("pruner: asha", "asha", {}),
    ],
)
def test_sampler_and_pruner_name_a_policy(
    tmp_path: Path, said: str, policy: str, settings: dict[str, str]
) -> None:
    text = "config: virgo\nobjective: loss\nspace: {a: [1, 2]}\nbudget: {trials: 2}\n" + said
    plan = StudyPlan(**read(tmp_path, text))
    assert (plan.policy, plan.policy_settings) == (policy, settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {class_path: A}", r"is not a study: it lacks `space`.*\n  config: .*study\.yaml"),
        ("space: [", "is not YAML"),
        (STUDY + "worker: 2", "worker is not known; a study has config, objective"),
        (STUDY.replace("hours", "minutes"), "budget does not know minutes; it has trials, epochs, hours"),
        (STUDY.replace("config: virgo\n", ""), "config is missing"),
        (STUDY + "sampler: tpe", "the policy promotion brings its own sampler"),
    ],
)
def test_a_file_that_is_no_study_is_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": None}, "budget: say how many trials, epochs"),
        ({"trials": 0}, "trials 0: it has to be a whole number of at least 1"),
        ({"hours": -1.0}, "hours -1.0: it has to be a positive number"),
        ({"direction": "down"}, "direction 'down': it has to be one of minimize, maximize"),
        ({"policy": "grid"}, "policy 'grid': it has to be one of"),
        ({"strategy": "fsdp9"}, "strategy 'fsdp9': it has to be one of ddp"),
        ({"space": {}}, "space: name at least one key"),
        ({"metric": ""}, "objective: name a metric"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    make_plan: Callable[..., StudyPlan], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        make_plan(**change)


def test_the_budget_may_change_and_the_search_may_not(make_plan: Callable[..., StudyPlan]) -> None:
    before = make_plan()
    assert dataclasses.replace(before, trials=99, parallel_trials=4, repeats=0).differences(before) == []
    assert dataclasses.replace(before, metric="loss").differences(before) == [
        "metric: 'val_loss' there, 'loss' now"
    ]


def test_what_differs_is_said_key_by_key_and_short(make_plan: Callable[..., StudyPlan]) -> None:
    config = {"model": {"init_args": {"width": 2, "depth": 1}}, "trainer": {"max_epochs": 9}}
    before = make_plan(config=config)
    other = {"model": {"init_args": {"width": 3, "text": "x" * 99}}, "trainer": {"max_epochs": 9}}
    assert make_plan(config=other).differences(before) == [
        "config.model.init_args.width: 2 there, 3 now",
        "config.model.init_args.depth: 1 there, nothing now",
        f"config.model.init_args.text: nothing there, '{'x' * 59} ... now",
    ]
    many = make_plan(config=config, policy_settings={f"setting_{number}": number for number in range(8)})
    assert many.differences(before)[4:] == ["policy_settings.setting_4: nothing there, 4 now", "and 3 more"]


def test_a_preset_is_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match="virgo is a preset of a training; to tune it, write a study"):
        read_study(Path("virgo"))


def test_the_command_line_says_what_is_wrong_before_anything_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "none.yaml")]) == 2
    assert "No such file or directory; --config takes the YAML file of a study" in capsys.readouterr().err
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("config: virgo", "config: vigro"))
    assert main(["--config", str(path), "--output", str(tmp_path / "out")]) == 2
    assert "config 'vigro' is neither a file" in capsys.readouterr().err


def test_a_machine_that_joins_needs_the_studys_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["worker", "--study", str(tmp_path / "none.log")]) == 2
    assert "holds no study" in capsys.readouterr().err


def test_a_driver_and_a_reader_need_no_torch() -> None:
    code = (
        "import sys, lightning_itwin.hpo.tuning, lightning_itwin.hpo.study_reading\n"
        "import lightning_itwin.hpo.__main__\n"
        "print(*{'torch', 'lightning', 'optuna'} & set(sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert told.stdout.split() == []
