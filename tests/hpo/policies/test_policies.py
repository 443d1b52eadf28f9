from __future__ import annotations

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from lightning_itwin.hpo.policies import POLICIES, make_policy
from tests.fakes.trainings import play

SPACE = {
    "model.lr": FloatDistribution(1e-5, 1e-1, log=True),
    "model.depth": IntDistribution(1, 9, step=2),
    "model.kind": CategoricalDistribution(["a", "b"]),
    "fixed": IntDistribution(3, 3),
}


def bowl(params, epoch):
    """Best at lr 1e-3 and depth 5 of kind a; the larger a learning rate, the faster; diverges at the top."""
    if params["model.lr"] > 5e-2:
        return math.nan
    off = (math.log10(params["model.lr"]) + 3) ** 2 + (params["model.depth"] - 5) ** 2 / 16
    return 1 + off + (params["model.kind"] == "b") + 2 / epoch


@pytest.mark.parametrize("slots", [1, 28])
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_plays_a_study_of_all_kinds_of_hyperparameters(name: str, slots: int) -> None:
    study = optuna.create_study()
    policy = make_policy(name, max_epochs=20, seed=1)
    segments = play(policy, study, SPACE, bowl, max_epochs=20, slots=slots, rows=40)
    assert len(segments) == 40
    assert all(row.state in (TrialState.COMPLETE, TrialState.PRUNED) for row in study.trials)
    for row, segment in zip(study.trials, segments):
        assert row.params == dict(segment.params)
        assert row.user_attrs["configuration"] == segment.configuration
        nans = [epoch for epoch, value in row.intermediate_values.items() if math.isnan(value)]
        assert nans in ([], [segment.from_epoch + 1])  # what diverges ends at once
        assert sorted(row.intermediate_values) == list(
            range(segment.from_epoch + 1, max(row.intermediate_values) + 1)
        )


@pytest.mark.parametrize("name", POLICIES)
def test_a_restart_changes_no_decision(name: str, tmp_path) -> None:
    """A policy made anew for every row decides as the one that lives on."""
    alike = []
    for forgetful in (False, True):
        study = optuna.create_study(study_name=f"study {forgetful}")
        policy = make_policy(name, max_epochs=9, seed=4)

        class Anew:
            def ask(self, study, space):
                return make_policy(name, max_epochs=9, seed=4).ask(study, space)

            def should_stop(self, study, trial):
                return make_policy(name, max_epochs=9, seed=4).should_stop(study, trial)

        alike.append(
            play(Anew() if forgetful else policy, study, SPACE, bowl, max_epochs=9, slots=3, rows=40)
        )
    assert alike[0] == alike[1]


@pytest.mark.parametrize("name", POLICIES)
def test_the_queue_comes_first_and_its_marks_hold(name: str) -> None:
    study = optuna.create_study()
    policy = make_policy(name, max_epochs=10, seed=0)
    baseline = {"model.lr": 1e-3, "model.depth": 7, "model.kind": "b", "fixed": 3}
    study.enqueue_trial(baseline, user_attrs={"until_epoch": 10})
    lost = {"configuration": 0, "from_epoch": 4, "until_epoch": 10, "resume_from": 0}
    study.enqueue_trial(baseline, user_attrs=lost)
    _, first = policy.ask(study, SPACE)
    _, second = policy.ask(study, SPACE)
    assert (first.params, first.configuration, first.from_epoch, first.until_epoch) == (baseline, 0, 0, 10)
    assert (second.configuration, second.from_epoch, second.until_epoch, second.resume_from) == (0, 4, 10, 0)
    assert study.trials[0].user_attrs["configuration"] == 0


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("best", {}, "freeze_thaw, promotion"),
        ("promotion", {"max_epochs": 0}, "1 epoch or more"),
        ("promotion", {"first_rung": 50}, "within 1 and max_epochs"),
        ("promotion", {"eta": 1}, "at least 2"),
        ("promotion", {"random_share": 1.5}, "within 0 and 1"),
        ("promotion", {"colour": 1}, "colour"),
    ],
)
def test_a_wrong_setting_is_an_error_that_helps(name, settings, words) -> None:
    with pytest.raises(ValueError, match=words):
        make_policy(name, **{"max_epochs": 40, **settings})
