from __future__ import annotations

import math

import pytest

from lightning_itwin.hpo.policies.configurations import Configuration
from lightning_itwin.hpo.policies.rungs import promotable, rung_ladder


def paused(number: int, *values: float, **more: bool) -> Configuration:
    curve = dict(enumerate(values, start=1))
    return Configuration(
        number=number, params={}, distributions={}, curve=curve, epochs=len(values), last_row=number, **more
    )


def test_a_rung_of_less_than_eta_promotes_nobody() -> None:
    assert promotable([paused(0, 1.0), paused(1, 2.0)], (1, 3, 9), 3) is None


def test_the_best_third_is_promoted_once() -> None:
    rung = [paused(number, value) for number, value in enumerate((5.0, 1.0, 4.0, 2.0, 6.0, 3.0))]
    assert promotable(rung, (1, 3, 9), 3) == (rung[1], 3)
    rung[1] = paused(1, 1.0, busy=True)  # it runs to rung 3 now
    assert promotable(rung, (1, 3, 9), 3) == (rung[3], 3)
    rung[3] = paused(3, 2.0, 1.9, 1.8)
    assert promotable(rung, (1, 3, 9), 3) is None  # 2 of 6 are on


def test_a_higher_rung_comes_first() -> None:
    low = [paused(number, 1.0 + number) for number in range(3)]
    high = [paused(number, 9.0, 9.0, 9.0 - number / 100) for number in range(3, 6)]
    assert promotable([*low, *high], (1, 3, 9), 3) == (high[2], 9)


def test_a_late_comer_may_push_a_paused_one_up() -> None:
    rung = [paused(0, 2.0), paused(1, 1.0, 1.0, 1.0), paused(2, 3.0)]
    assert promotable(rung, (1, 3, 9), 3) is None
    rung += [paused(number, 4.0) for number in (3, 4, 5)]
    assert promotable(rung, (1, 3, 9), 3) == (rung[0], 3)


def test_what_ended_or_diverged_stays() -> None:
    rung = [
        paused(0, math.nan),
        paused(1, 1.0, ended=True),
        paused(2, 2.0),
        *(paused(n, 3.0) for n in (3, 4, 5)),
    ]
    assert promotable(rung, (1, 3), 3) == (rung[2], 3)


def test_a_baseline_between_two_rungs_counts_but_is_not_promoted() -> None:
    rung = [paused(0, 1.0, 1.0), paused(1, 2.0), paused(2, 3.0)]
    assert promotable(rung, (1, 3), 3) is None


@pytest.mark.parametrize(("first", "epochs", "eta"), [(0, 10, 3), (11, 10, 3), (1, 10, 1)])
def test_rungs_that_cannot_be_are_an_error(first: int, epochs: int, eta: int) -> None:
    with pytest.raises(ValueError, match=r"it has to be within|at least 2"):
        rung_ladder(first, epochs, eta)


def test_a_training_of_one_epoch_has_one_rung() -> None:
    assert rung_ladder(1, 1, 3) == (1,)
