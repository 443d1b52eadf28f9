from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_itwin.hpo.report.configurations import configurations
from lightning_itwin.hpo.report.headline import fates, findings, headline, notes
from lightning_itwin.hpo.report.history import history
from lightning_itwin.hpo.report.parameters import parameters
from lightning_itwin.hpo.report.summary import Summary, gain, summarise
from lightning_itwin.hpo.study_reading import StudyRecord
from tests.hpo.report.synthetic import row, study

ROWS = (
    row(0, {1: 2.0, 2: 1.5, 3: 1.2, 4: 1.0}),
    row(1, {1: 1.0, 2: 0.8}, "paused", params={"lr": 0.2}),
    row(2, {1: 3.0}, "stopped", params={"lr": 0.3}),
    row(3, {}, "failed", reason="out of memory", epochs=0),
    row(4, {3: 0.5, 4: 0.4}, configuration=1, from_epoch=2, params={"lr": 0.2}),
)


def summary(asked: StudyRecord, repeats: tuple = ((), ())) -> Summary:
    return summarise(asked, configurations(asked), repeats)


def test_a_study_in_numbers() -> None:
    found = summary(study(*ROWS))
    assert found.best is not None
    assert (found.best.number, found.best.value) == (1, 0.4)
    assert found.gain is not None
    assert found.gain.percent == pytest.approx(60.0)
    assert found.counts == {"complete": 2, "stopped": 1, "failed": 1}
    assert (found.configurations, found.epochs, found.full_epochs) == (4, 9, 16)
    assert found.epochs_percent == 56.25
    assert not found.running


def test_a_study_in_words() -> None:
    asked = study(*ROWS)
    found = summary(asked, ((0.5, 0.52, 0.48), (1.0, 1.02, 0.98)))
    assert headline(asked, found) == (
        "The best loss is 0.4, 60.0 % below the baseline's 1. With 3 other seeds it is 50.0 % below (95 % "
        "interval 44.3 to 55.4 %). 4 configurations took 9 epochs, 56 % of what whole trainings of all of "
        "them would have taken."
    )
    best, repeated, cost, came = findings(asked, found, history(asked))
    assert (best.answer, best.verdict) == ("0.4", ("60.0 % below the baseline", "good"))
    assert (repeated.answer, repeated.unit, repeated.verdict) == (
        "50.0 %",
        "below the baseline",
        ("better", "good"),
    )
    assert (cost.answer, cost.unit) == ("9", "epochs")
    assert came.why == "2 trained to the end, 1 stopped, 1 failed"


def test_higher_may_be_better() -> None:
    asked = study(row(0, {1: 0.5}), row(1, {1: 0.6}), direction="maximize")
    assert headline(asked, summary(asked)).startswith(
        "The best loss is 0.6, 20.0 % above the baseline's 0.5."
    )


def test_the_baseline_may_be_the_best() -> None:
    asked = study(row(0, {1: 0.5}), row(1, {1: 0.6}))
    assert "the baseline's own; no other configuration beat it" in headline(asked, summary(asked))


def test_a_study_without_a_value_says_so() -> None:
    asked = study(row(0, {}, "failed", reason="boom", epochs=0))
    assert headline(asked, summary(asked)) == "No configuration gave a value of loss."
    running = study(row(0, {}, "running", epochs=0))
    assert headline(running, summary(running)) == "No value of loss yet."


def test_notes_say_what_to_beware_of() -> None:
    asked = study(
        row(0, {1: 2.0}), row(1, {1: 1.0}, "paused", params={"lr": 1.0}), row(2, {}, "running", epochs=0)
    )
    found = configurations(asked)
    told = notes(asked, summary(asked), parameters(asked, found), found)
    assert told[0].startswith("the study has not ended")
    assert told[1].startswith("the best lr, 1, lies at the upper end of its range")
    ended = study(*asked.rows[:2])
    found = configurations(ended)
    told = notes(ended, summary(ended), parameters(ended, found), found)
    assert told[1].startswith("the best configuration was paused after 1 of 4 epochs")
    assert told[2].startswith("the best was not trained again with other seeds")


def test_the_interval_of_a_gain_covers_the_truth() -> None:
    drawn = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        first, second = 0.6 + 0.05 * drawn.normal(size=3), 1.0 + 0.1 * drawn.normal(size=3)
        found = gain(list(first), list(second), 1.0)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 40.0 <= found.high
    assert 0.93 <= inside / 400 <= 1.0


def test_a_gain_of_single_values_and_of_equal_ones() -> None:
    alone, equal = gain([0.5], [1.0], 1.0), gain([0.5, 0.5], [1.0, 1.0], 1.0)
    assert alone is not None
    assert (alone.percent, alone.low, alone.decided) == (50.0, None, False)
    assert equal is not None
    assert (equal.low, equal.high, equal.decided) == (50.0, 50.0, True)
    assert gain([], [1.0], 1.0) is None
    assert gain([1.0], [0.0], 1.0) is None


def test_a_baseline_that_may_be_zero_bounds_no_gain() -> None:
    found = gain([0.5, 0.6], [1.0, -0.9], 1.0)
    assert found is not None
    assert found.low is None


def test_negative_values_gain_as_well() -> None:
    found = gain([-3.0, -3.1, -2.9], [-2.0, -2.1, -1.9], 1.0)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert math.isclose(found.percent, 50.0)
    assert found.low < 50.0 < found.high


def test_fates_leave_out_what_did_not_happen() -> None:
    assert fates({"diverged": 2, "complete": 1}) == "1 trained to the end, 2 diverged"
