from __future__ import annotations

import math
from itertools import pairwise

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from lightning_itwin.hpo.policies import make_policy
from lightning_itwin.hpo.policies.configurations import Configuration
from lightning_itwin.hpo.policies.freeze_thaw import MODEL, stored_model
from tests.fakes.trainings import play

SQUARE = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}


def bowl(params, epoch):
    return 0.1 + (params["x"] - 0.3) ** 2 + (params["y"] - 0.6) ** 2 + 1 / epoch


def slow_starters(params, epoch):
    """The better a configuration ends, the later it gets there."""
    end = abs(params["x"] - 0.3) + abs(params["y"] - 0.6)
    return 0.1 + end + math.exp(-epoch / (2 + 10 * max(0.0, 1 - end))) * (2 - end)


def lowest(study: optuna.Study) -> float:
    return min(row.value for row in study.trials if row.state == TrialState.COMPLETE)


def epochs(study: optuna.Study) -> int:
    return sum(len(row.intermediate_values) for row in study.trials)


def test_it_finds_the_best_with_the_epochs_of_a_few_trainings() -> None:
    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=27, seed=3)
    play(policy, study, SQUARE, bowl, max_epochs=27, slots=4, rows=60)
    assert lowest(study) < 0.1 + 1 / 27 + 0.01
    assert epochs(study) < 14 * 27


def test_slow_starters_are_found_though_each_rung_ranks_them_last() -> None:
    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=27, seed=3)
    play(policy, study, SQUARE, slow_starters, max_epochs=27, slots=4, rows=200)
    assert lowest(study) < 0.6  # the best ends at 0.31, the median at 0.66
    assert epochs(study) < 26 * 27


def test_it_keeps_away_from_where_trainings_diverge_or_fail() -> None:
    def curve(params, epoch):
        return math.nan if params["x"] > 0.5 else bowl(params, epoch)

    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=9, seed=0)
    segments = play(policy, study, SQUARE, curve, max_epochs=9, slots=2, rows=50)
    new = [segment.params["x"] > 0.5 for segment in segments if segment.from_epoch == 0]
    assert sum(new[:10]) >= 3
    assert sum(new[10:]) <= len(new[10:]) / 4


def test_higher_may_be_better() -> None:
    study = optuna.create_study(direction="maximize")

    def accuracy(params, epoch):
        return 1.0 - bowl(params, epoch) / 3

    policy = make_policy("freeze_thaw", max_epochs=9, seed=0)
    segments = play(policy, study, SQUARE, accuracy, max_epochs=9, slots=1, rows=40)
    ends = [bowl(segment.params, 9) for segment in segments]
    assert sum(ends[-20:]) / 20 < sum(ends[:10]) / 10 / 1.5
    assert max(row.value for row in study.trials if row.value is not None) > 1 - (0.1 + 1 / 9 + 0.02) / 3


def test_nothing_is_tried_twice_and_a_space_ends() -> None:
    space = {
        "n": IntDistribution(0, 4),
        "kind": CategoricalDistribution(["a", "b", "c"]),
        "one": IntDistribution(7, 7),
    }

    def curve(params, epoch):
        return 1.0 + params["n"] + (params["kind"] == "b") + 1 / epoch

    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=4, seed=0, at_random=3)
    play(policy, study, space, curve, max_epochs=4, slots=2, rows=400)
    asked = [row.params for row in study.trials if row.user_attrs["from_epoch"] == 0]
    after_the_start = [tuple(params.values()) for params in asked[3:]]
    assert len(after_the_start) == len(set(after_the_start))
    assert len({tuple(params.values()) for params in asked}) == 15  # all there is
    assert policy.ask(study, space) is None


def test_slots_that_ask_at_once_try_different_things() -> None:
    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=27, seed=0)
    play(policy, study, SQUARE, bowl, max_epochs=27, slots=1, rows=20)
    asked = [policy.ask(study, SQUARE)[1] for _ in range(8)]
    assert len({segment.configuration for segment in asked}) == 8


def test_at_the_end_of_a_study_only_who_may_become_the_best_goes_on() -> None:
    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=9, seed=0)

    class Ending:
        def ask(self, study, space):
            return policy.ask(study, space, may_start=len(study.trials) < 12)

        def should_stop(self, study, trial):
            return policy.should_stop(study, trial)

    segments = play(Ending(), study, SQUARE, bowl, max_epochs=9, slots=1, rows=99)
    assert 12 < len(segments) < 25
    assert all(segment.resume_from is not None for segment in segments[12:])
    assert lowest(study) == min(bowl(row.params, 9) for row in study.trials)


def test_a_share_of_the_epochs_belongs_to_whole_trainings() -> None:
    policy = make_policy("freeze_thaw", max_epochs=9, seed=0, whole_share=0.5)

    def configuration(number: int, reached: int, **marks) -> Configuration:
        curve = dict.fromkeys(range(1, reached + 1), 1.0)
        return Configuration(number=number, params={}, distributions={}, curve=curve, **marks)

    begun = [configuration(number, 3) for number in range(6)]
    assert policy.too_few_whole(begun)  # 9 of 18 epochs
    assert not policy.too_few_whole(begun[:5])
    ending = configuration(6, 1, busy=True, until_epoch=9)
    assert not policy.too_few_whole([*begun, ending])
    assert policy.too_few_whole([*begun, configuration(6, 1, until_epoch=9)])  # lost: it ends nothing
    assert not policy.too_few_whole([*begun, configuration(6, 9)])  # 9 of 27; two would be 18


def test_the_share_is_kept_as_a_study_grows() -> None:
    share = 0.75
    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=27, seed=0, finish_share=0.0, whole_share=share)
    segments = play(policy, study, SQUARE, bowl, max_epochs=27, slots=2, rows=60)
    assert any(segment.until_epoch - segment.from_epoch > 13 for segment in segments)  # more than one rung
    whole = sum(row.state == TrialState.COMPLETE for row in study.trials)
    assert whole * 27 >= share * epochs(study) - 2 * 27


def test_the_model_is_kept_in_the_study_and_fitted_anew_as_it_grows() -> None:
    study = optuna.create_study()
    play(make_policy("freeze_thaw", max_epochs=9, seed=0), study, SQUARE, bowl, max_epochs=9, rows=40)
    counts = [row.user_attrs[MODEL][0] for row in study.trials if MODEL in row.user_attrs]
    assert counts[0] == 10
    assert all(later >= 1.15 * earlier for earlier, later in pairwise(counts))
    kept = stored_model(study, 7)
    assert kept is not None
    assert kept[0] == counts[-1]
    assert stored_model(study, 8) is None  # of another space


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"at_random": 1}, "2 configurations"),
        ({"optimism": -1}, "0 or"),
        ({"finish_share": 1.5}, "finish_share 1.5"),
        ({"whole_share": -0.1}, "whole_share -0.1"),
    ],
)
def test_a_setting_that_cannot_be_is_an_error(settings, words) -> None:
    with pytest.raises(ValueError, match=words):
        make_policy("freeze_thaw", max_epochs=10, **settings)


def test_conditional_hyperparameters_may_be_absent() -> None:
    """A queue may hold rows of another space, as after the user added a hyperparameter."""
    study = optuna.create_study()
    policy = make_policy("freeze_thaw", max_epochs=9, seed=0)
    play(
        policy,
        study,
        {"x": SQUARE["x"]},
        lambda params, epoch: 1 + params["x"] / epoch,
        max_epochs=9,
        rows=15,
    )
    trial, segment = policy.ask(study, SQUARE)
    assert segment.params
    assert trial.number == 15
