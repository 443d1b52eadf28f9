from __future__ import annotations

import math

from lightning_itwin.hpo.report.configurations import configurations, ranked
from tests.hpo.report.synthetic import row, study


def test_segments_are_one_configuration_with_one_curve() -> None:
    found = configurations(
        study(
            row(0, {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6}),
            row(1, {1: 0.5, 2: 0.4}, "paused"),
            row(2, {1: 0.8, 2: math.nan}, "diverged", value=0.8, best_epoch=1),
            row(3, {3: 0.45, 4: 0.3}, configuration=1, from_epoch=2, resume_from=1),
        )
    )
    assert [one.number for one in found] == [0, 1, 2]
    assert found[1].curve == {1: 0.5, 2: 0.4, 3: 0.45, 4: 0.3}
    assert (found[1].state, found[1].value, found[1].best_epoch, found[1].epochs) == ("complete", 0.3, 4, 4)
    assert [one.number for one in ranked(found, 1.0)] == [1, 0, 2]
    assert [one.number for one in ranked(found, -1.0)] == [2, 0, 1]
    assert (found[2].at(1), found[2].at(2), found[2].at(3)) == (0.8, None, None)


def test_a_lost_segment_counts_by_its_value_and_its_epochs() -> None:
    (found,) = configurations(
        study(
            row(0, {1: 0.5, 2: 0.2}, "lost"),
            row(1, {1: 0.5, 2: 0.3, 3: 0.25}, configuration=0, retry_of=0, from_epoch=1, epochs=2),
        )
    )
    assert (found.value, found.best_epoch, found.epochs, found.state) == (0.2, 2, 4, "complete")
    assert found.curve == {1: 0.5, 2: 0.3, 3: 0.25}
