from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_itwin.hpo.report.configurations import Configuration, configurations
from lightning_itwin.hpo.report.importance import importances
from lightning_itwin.hpo.report.parameters import Parameter, parameters
from lightning_itwin.hpo.report.projection import expected_ends
from lightning_itwin.hpo.report.surface import surface
from tests.hpo.report.synthetic import row, study

SPACE: dict[str, Any] = {
    "model.lr": {"low": "1e-4", "high": 0.1, "log": True},
    "data.noise": {"low": 0, "high": 1.0},
    "data.batch": [64, 16],
    "model.act": ["relu", {"class_path": "torch.nn.GELU"}],
}


def drawn(count: int, decides: str) -> tuple[Configuration, ...]:
    numbers = np.random.default_rng(3)
    rows = []
    for number in range(count):
        params = {
            "model.lr": float(10 ** numbers.uniform(-4, -1)),
            "data.noise": float(numbers.uniform()),
            "data.batch": int(numbers.choice([16, 64])),
            "model.act": "relu",
        }
        value = {"lr": abs(math.log10(params["model.lr"]) + 2.5), "none": float(numbers.uniform())}[decides]
        rows.append(row(number, {1: value}, params=params))
    return configurations(study(*rows, space=SPACE))


def axes_of(found: tuple[Configuration, ...]) -> tuple[Parameter, ...]:
    return parameters(study(space=SPACE), found)


def test_axes_know_ranges_choices_and_what_lies_beyond() -> None:
    found = configurations(
        study(
            row(
                0,
                {1: 1.0},
                params={"model.lr": 0.2, "data.noise": 0.5, "data.batch": 32, "model.act": "relu"},
            )
        )
    )
    rate, noise, batch, act = axes_of(found)
    assert (rate.label, rate.low, rate.high, rate.log) == ("lr", 1e-4, 0.2, True)
    assert noise.position(0.25) == 0.25
    assert batch.choices == (16, 32, 64)
    assert batch.position(32) == 0.5
    assert act.labels == ("relu", "GELU")
    assert rate.extent() == "0.0001 to 0.2, log"


def test_what_decides_is_found_and_what_does_not_is_chance() -> None:
    found = drawn(60, "lr")
    told = importances(found, axes_of(found), 1.0)
    assert told[0].parameter.key == "model.lr"
    assert told[0].above_chance
    assert told[0].percent > 60
    assert sum(one.percent for one in told) == pytest.approx(100.0)
    assert sum(one.above_chance for one in told) <= 2


def test_chance_is_called_chance() -> None:
    found = drawn(60, "none")
    assert sum(one.above_chance for one in importances(found, axes_of(found), 1.0)) <= 1


def test_too_few_say_nothing() -> None:
    found = drawn(9, "lr")
    assert importances(found, axes_of(found), 1.0) == ()


def test_ends_are_expected_by_those_that_went_on() -> None:
    found = configurations(
        study(
            row(0, {1: 8.0, 2: 4.0, 3: 4.0, 4: 2.0}),
            row(1, {1: 6.0, 2: 3.0}, "paused"),
            row(2, {1: 10.0}, "stopped"),
            row(3, {1: 0.1, 2: math.nan}, "diverged", value=0.1, best_epoch=1),
        )
    )
    ends = expected_ends(found, 1.0)
    assert ends == pytest.approx({0: 2.0, 1: 1.5, 2: 2.5, 3: 2.5})
    assert expected_ends((), 1.0) == {}


def test_ends_of_values_that_are_not_positive_go_on_in_steps() -> None:
    found = configurations(study(row(0, {1: 1.0, 2: -1.0}), row(1, {1: 0.5}, "paused")))
    assert expected_ends(found, 1.0) == pytest.approx({0: -1.0, 1: -1.5})


def test_the_surface_is_dark_where_values_are_good() -> None:
    grid = [(x / 9, y / 9) for x in range(10) for y in range(10)]
    values = [1.0 + x for x, _ in grid]
    found = surface([x for x, _ in grid], [y for _, y in grid], values, 1.0)
    assert found is not None
    assert list(found.edges) == sorted(found.edges)
    left = [band.level for band in found.bands if band.x0 == 0]
    right = [band.level for band in found.bands if band.x1 == 1]
    assert set(left) == {0}
    assert set(right) == {7}
    flipped = surface([x for x, _ in grid], [y for _, y in grid], values, -1.0)
    assert flipped is not None
    assert {band.level for band in flipped.bands if band.x1 == 1} == {0}


def test_nothing_is_said_where_nothing_was_tried() -> None:
    found = surface([0.1] * 8, [0.1] * 8, list(range(1, 9)), 1.0)
    assert found is not None
    assert max(band.x1 for band in found.bands) < 0.6
    assert surface([0.1], [0.1], [1.0], 1.0) is None


def test_a_space_is_read_once(tmp_path: Path) -> None:
    assert [axis.key for axis in axes_of(())] == list(SPACE)
