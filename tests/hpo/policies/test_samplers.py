from __future__ import annotations

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from lightning_itwin.hpo.policies.configurations import read_configurations
from lightning_itwin.hpo.policies.samplers import RungAwareTPE, comparable_rung, random_sampler, row_seed

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def told(curves: list[list[float]]) -> optuna.Study:
    """A study of paused configurations."""
    study = optuna.create_study()
    for curve in curves:
        trial = study.ask(SPACE)
        trial.set_user_attr("until_epoch", len(curve))
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
        study.tell(trial, state=TrialState.PRUNED)
    return study


def test_rows_are_compared_at_the_highest_rung_that_enough_have_reached() -> None:
    study = told([[3.0, 1.0, 2.0], [2.0], [4.0, 5.0, 6.0], [float("nan")]])
    running = study.ask(SPACE)
    configurations = read_configurations(study, 9)
    assert [comparable_rung(configurations, (1, 3, 9), least) for least in (1, 2, 3, 99)] == [3, 3, 1, 1]
    sampler = RungAwareTPE(SPACE, (1, 3, 9), seed=0, number=5, least=2, random_share=0.0)
    rows = sampler.view(study, configurations)._get_trials(deepcopy=False)
    assert [(row.number, row.state.name, row.value) for row in rows] == [
        (0, "COMPLETE", 1.0),
        (2, "COMPLETE", 4.0),
        (3, "COMPLETE", float("inf")),
        (running.number, "RUNNING", None),
    ]


def test_a_good_start_that_was_not_followed_up_does_not_outweigh_a_good_end() -> None:
    """TPE alone puts whom survived longest first, however poor."""
    curves = [[1.0 if index % 2 else 0.1] * (3 if index % 2 else 1) for index in range(40)]
    study = told(curves)
    sampler = RungAwareTPE(SPACE, (1, 3), seed=0, number=40, least=30, random_share=0.0)
    view = sampler.view(study, read_configurations(study, 3))
    best = sorted(view._get_trials(deepcopy=False), key=lambda row: row.value)[:20]
    assert {row.number % 2 for row in best} == {0}


def test_a_share_is_drawn_at_random() -> None:
    at_random = [
        RungAwareTPE(SPACE, (1,), seed=0, number=n, random_share=0.25).at_random for n in range(1000)
    ]
    assert 210 < sum(at_random) < 290


def test_rows_draw_apart_and_again_alike() -> None:
    assert len({row_seed(seed, number) for seed in range(30) for number in range(30)}) == 900
    study = optuna.create_study()
    study.sampler = random_sampler(1, 7)
    first = study.ask(SPACE).params
    study.sampler = random_sampler(1, 7)
    assert study.ask(SPACE).params == first
