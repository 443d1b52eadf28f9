"""What is said of scores, in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lightning_itwin.forecasts import ForecastTarget, VerificationScores
from lightning_itwin.forecasts.headline import better_until, findings, headline
from tests.forecasts.synthetic import batch, verification

TARGET = ForecastTarget()


def scores(width: float = 1.0) -> VerificationScores:
    metric = verification()
    metric.update(**batch(cells=20, origins=150, width=width).part(slice(None)))
    return metric.compute()


def told(found: VerificationScores, climatology: list[float], held: float = 0.8) -> str:
    skill = {"climatology": np.array(climatology), "damped_persistence": np.array([0.3, 0.1, *[-0.1] * 6])}
    coverage = found.coverage.copy()
    coverage[:, 1] = held
    return headline(replace(found, skill=skill, coverage=coverage), TARGET)


def test_the_headline_says_until_when_they_are_better_and_whether_they_are_calibrated() -> None:
    found = scores()
    said = told(found, [0.9, 0.8, 0.72, 0.6, 0.5, 0.4, 0.2, 0.1])
    assert said == (
        "The forecasts beat climatology up to 60 days ahead and damped persistence up to 3 days ahead. "
        "7 days ahead their CRPS is 72 % lower than climatology's. The 80 % intervals held 80 % of what "
        "came: calibrated."
    )
    assert "climatology up to 14 days" in told(found, [0.9, 0.8, 0.7, 0.6, 0.0, 0.4, 0.2, 0.1])
    assert "They do not beat climatology. 7 days ahead their CRPS is 20 % higher" in told(found, [-0.2] * 8)
    assert "held 76 % of what came: nearly calibrated." in told(found, [0.1] * 8, held=0.76)
    assert "held 60 % of what came: too narrow." in told(found, [0.1] * 8, held=0.6)
    assert "held 95 % of what came: too wide." in told(found, [0.1] * 8, held=0.95)


def test_skill_that_is_lost_at_the_first_lead_is_no_skill() -> None:
    assert better_until(np.array([1, 7]), np.array([0.0, 0.5])) is None
    assert better_until(np.array([1, 7]), np.array([np.nan, 0.5])) is None
    assert better_until(np.array([1, 7]), np.array([0.1, 0.5])) == 7


def test_findings_are_four_and_have_a_verdict() -> None:
    found = findings(scores(width=0.4), TARGET)
    assert [one.question for one in found] == [
        "beats climatology",
        "beats damped persistence",
        "80 % intervals held",
        "error of the median",
    ]
    assert found[2].verdict == ("too narrow", "bad")
    assert found[3].unit == "m³ m⁻³"


def test_a_forecast_without_references_says_its_error() -> None:
    bare = replace(scores(), skill={}, coverages=np.empty(0), coverage=np.empty((8, 0)))
    assert headline(bare, TARGET).startswith("The RMSE is 0.0")
