from __future__ import annotations

from collections import Counter

import optuna
import pytest
from optuna.distributions import IntDistribution

from lightning_itwin.hpo.policies import make_policy
from lightning_itwin.hpo.policies.stopping import DealtHyperband
from tests.fakes.trainings import play

SPACE = {"level": IntDistribution(0, 99)}


def brackets(pruner: DealtHyperband, name: str, count: int, **marks: int) -> list[int]:
    study = optuna.create_study(study_name=name)
    for _ in range(count):
        study.ask(SPACE)
    return [
        pruner._get_bracket_id(study, row) for row in study.trials if not pruner_is_new(pruner, study, row)
    ]


def pruner_is_new(pruner: DealtHyperband, study: optuna.Study, row: optuna.trial.FrozenTrial) -> bool:
    pruner.prune(study, row)  # makes its brackets
    return False


def test_brackets_are_dealt_in_turn_whatever_the_name() -> None:
    dealt = brackets(DealtHyperband(1, 40, 3), "a", 28)
    assert dealt == brackets(DealtHyperband(1, 40, 3), "b", 28)
    assert set(dealt[:7]) == {0, 1, 2, 3}  # none is left empty
    assert Counter(dealt) == {0: 15, 1: 7, 2: 4, 3: 2}  # Optuna's by hash: 15.2, 6.9, 3.4, 2.5 in the mean


def test_a_power_of_eta_keeps_its_bracket() -> None:
    assert set(brackets(DealtHyperband(1, 243, 3), "a", 400)) == set(range(6))  # Optuna itself: 5


def test_a_row_that_is_tried_again_stays_in_its_bracket() -> None:
    pruner = DealtHyperband(1, 40, 3)
    study = optuna.create_study()
    for number in range(10):
        study.enqueue_trial({"level": 1}, user_attrs={"configuration": number % 5})
        study.ask(SPACE)
    dealt = [
        pruner._get_bracket_id(study, row) for row in study.trials if not pruner_is_new(pruner, study, row)
    ]
    assert dealt[:5] == dealt[5:]


def level(params, epoch):
    return params["level"] + 1.0


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_the_poor_are_stopped_for_good_at_rungs(name: str) -> None:
    study = optuna.create_study()
    play(make_policy(name, max_epochs=9, first_rung=1), study, SPACE, level, max_epochs=9, slots=3, rows=40)
    ends = Counter(max(row.intermediate_values) for row in study.trials)
    assert set(ends) <= {1, 3, 9}
    assert min(ends[1], ends[9]) > 4
    assert len({row.user_attrs["configuration"] for row in study.trials}) == 40  # none was resumed


def test_asha_stops_whom_optunas_own_pruner_stops() -> None:
    policy = make_policy("asha", max_epochs=9, first_rung=1)
    study = optuna.create_study()
    plain = optuna.create_study(
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    )
    verdicts = []
    for value in (5.0, 4.0, 6.0, 3.0, 7.0, 1.0):
        trial, _ = policy.ask(study, SPACE)
        twin = plain.ask(SPACE)
        trial.report(value, 1)
        twin.report(value, 1)
        verdicts.append(policy.should_stop(study, trial))
        assert verdicts[-1] == twin.should_prune()
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        plain.tell(twin, state=optuna.trial.TrialState.PRUNED)
    assert verdicts == [False, False, True, False, True, False]
