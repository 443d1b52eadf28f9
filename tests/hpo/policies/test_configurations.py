from __future__ import annotations

import math
from datetime import datetime

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from lightning_itwin.hpo.policies.configurations import join, read_configurations

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def row(number: int, state: str, values: dict[int, float], **marks: int) -> FrozenTrial:
    finished = state in ("COMPLETE", "PRUNED", "FAIL")
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState[state],
        value=min(values.values()) if state == "COMPLETE" else None,
        datetime_start=datetime(2026, 1, 1),
        datetime_complete=datetime(2026, 1, 1) if finished else None,
        params={"x": 0.5},
        distributions=SPACE,
        user_attrs=marks,
        system_attrs={},
        intermediate_values=values,
    )


def segment(configuration: int, from_epoch: int, until_epoch: int, resume_from: int) -> dict[str, int]:
    return {
        "configuration": configuration,
        "from_epoch": from_epoch,
        "until_epoch": until_epoch,
        "resume_from": resume_from,
    }


def test_segments_join_to_one_curve() -> None:
    rows = [
        row(0, "PRUNED", {1: 0.9, 2: 0.7, 3: 0.8}, until_epoch=3),
        row(1, "RUNNING", {1: 0.6}, until_epoch=3),
        row(2, "COMPLETE", {4: 0.5, 5: 0.6}, **segment(0, 3, 5, 0)),
    ]
    first, second = join(rows, max_epochs=5)
    assert first.curve == {1: 0.9, 2: 0.7, 3: 0.8, 4: 0.5, 5: 0.6}
    assert (first.epochs, first.last_row, first.busy, first.ended, first.lost) == (5, 2, False, True, False)
    assert [first.best(epoch) for epoch in (1, 2, 3, 4, 5)] == [0.9, 0.7, 0.7, 0.5, 0.5]
    assert (second.epochs, second.last_row, second.reached, second.busy) == (0, None, 1, True)
    assert (first.until_epoch, second.until_epoch) == (5, 3)


def test_a_paused_configuration_can_be_resumed_and_a_stopped_one_cannot() -> None:
    paused, stopped, whole = join(
        [
            row(0, "PRUNED", {1: 1.0, 2: 1.0}, until_epoch=2),
            row(1, "PRUNED", {1: 1.0}, until_epoch=2),
            row(2, "PRUNED", {1: 1.0, 2: 1.0}),  # no marks: it was to be a whole training
        ],
        max_epochs=5,
    )
    assert [one.ended for one in (paused, stopped, whole)] == [False, True, True]


@pytest.mark.parametrize(("state", "lost"), [(None, True), ("WAITING", False), ("PRUNED", False)])
def test_a_failed_segment_is_forgotten_and_tried_again(state: str | None, lost: bool) -> None:
    rows = [
        row(0, "PRUNED", {1: 0.9}, until_epoch=1),
        row(1, "FAIL", {2: 0.1}, **segment(0, 1, 3, 0)),
    ]
    if state is not None:
        rows.append(row(2, state, {2: 0.5, 3: 0.4} if state == "PRUNED" else {}, **segment(0, 1, 3, 0)))
    (one,) = join(rows, max_epochs=9)
    assert (one.lost, one.ended) == (lost, lost)
    assert one.busy == (state == "WAITING")
    assert one.curve == ({1: 0.9, 2: 0.5, 3: 0.4} if state == "PRUNED" else {1: 0.9})
    assert (one.epochs, one.last_row) == ((3, 2) if state == "PRUNED" else (1, 0))


@pytest.mark.parametrize("state", ["PRUNED", "FAIL"])
def test_what_diverged_is_never_resumed(state: str) -> None:
    (one,) = join([row(0, state, {1: 0.9, 2: math.nan}, until_epoch=2)], max_epochs=9)
    assert one.diverged
    assert one.ended
    assert one.best() == math.inf


def test_where_higher_is_better_the_sign_turns() -> None:
    study = optuna.create_study(direction="maximize")
    trial = study.ask(SPACE)
    trial.report(0.2, 1)
    trial.report(0.8, 2)
    (one,) = read_configurations(study, 5)
    assert one.curve == {1: -0.2, 2: -0.8}
    assert one.best() == -0.8
