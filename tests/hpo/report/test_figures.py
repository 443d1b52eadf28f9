from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.hpo.report.configurations import configurations
from lightning_itwin.hpo.report.curve_figure import rungs
from lightning_itwin.hpo.report.drawing import value_axis
from lightning_itwin.hpo.report.picture import StudyPicture, picture
from tests.hpo.report.synthetic import plan, row, simulate, study


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> StudyPicture:
    record = simulate(tmp_path_factory.mktemp("simulated"), plan(20))
    energy = {one.number: {epoch: 0.001 * epoch for epoch in one.curve} for one in record.rows}
    return picture(record, energy=energy, now_unix_s=0.0)


def drawing(shown: StudyPicture, name: str) -> Any:
    return next(one for one in shown.drawings if one.name == name)


def values(shown: StudyPicture, name: str, mark: str) -> list[dict[str, Any]]:
    layers = drawing(shown, name).chart["layer"]
    found = next(one for one in layers if isinstance(one.get("mark"), dict) and one["mark"]["type"] == mark)
    rows: list[dict[str, Any]] = found["data"]["values"]
    return rows


def test_every_figure_is_there_with_words_for_who_cannot_see_it(shown: StudyPicture) -> None:
    assert [one.name for one in shown.drawings] == [
        "history",
        "history_time",
        "learning_curves",
        "timeline",
        "importance",
        "parallel_coordinates",
        "contour",
        "slice_1",
        "slice_2",
        "slice_3",
        "slice_4",
        "slice_5",
        "pareto",
    ]
    for one in shown.drawings:
        assert one.chart is not None
        assert len(one.description) > 30
        assert one.title


def test_the_history_ends_with_the_best_after_all_epochs(shown: StudyPicture) -> None:
    line = values(shown, "history", "line")
    assert shown.summary.best is not None
    assert line[-1] == {"x": shown.summary.epochs, "value": float(f"{shown.summary.best.value:.5g}")}
    assert [point["value"] for point in line] == sorted((point["value"] for point in line), reverse=True)


def test_every_epoch_is_on_a_curve_once(shown: StudyPicture) -> None:
    layers = drawing(shown, "learning_curves").chart["layer"]
    lines = [one for one in layers if isinstance(one.get("mark"), dict) and one["mark"]["type"] == "line"]
    points = [point for one in lines for point in one["data"]["values"] if point["value"] is not None]
    told = [
        (epoch, float(f"{one.at(epoch):.5g}"))
        for one in shown.configurations
        for epoch in one.curve
        if one.at(epoch) is not None
    ]
    assert sorted((point["epoch"], point["value"]) for point in points) == sorted(told)


def test_curves_do_not_run_into_each_other(shown: StudyPicture) -> None:
    epochs: dict[int, int] = {}
    for point in values(shown, "learning_curves", "line"):
        last = epochs.get(point["sheet"], 0)
        assert point["epoch"] is None or point["epoch"] > last
        epochs[point["sheet"]] = point["epoch"] or 0


def test_rungs_say_how_many_went_on() -> None:
    asked = study(
        row(0, {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}),
        row(1, {1: 1.0}, "paused"),
        row(2, {1: 1.0}, "paused"),
        row(3, {2: 1.0}, "paused", configuration=1, from_epoch=1),
    )
    assert rungs(asked) == [(1, 3, 2), (2, 2, 1)]
    assert rungs(study(row(0, {1: 1.0}))) == []


def test_a_bar_of_the_time_line_is_a_segment(shown: StudyPicture) -> None:
    bars = values(shown, "timeline", "bar")
    assert len(bars) == len(shown.study.rows)
    assert {bar["slot"] for bar in bars} == {str(number) for number in range(1, 8)}


def test_lines_cross_all_hyperparameters(shown: StudyPicture) -> None:
    points = drawing(shown, "parallel_coordinates").chart["datasets"]["points"]
    assert len(points) == len(shown.order) * len(shown.axes)
    assert all(0 <= point["x"] <= 1 for point in points)
    lines = values(shown, "parallel_coordinates", "line")
    assert len(lines) == len(shown.order) * (len(shown.axes) + 1)
    assert [point["shade"] for point in lines] == sorted((point["shade"] for point in lines), reverse=True)


def test_the_front_of_loss_and_energy_is_drawn_with_its_knee(shown: StudyPicture) -> None:
    assert shown.front is not None
    assert "Knee" in drawing(shown, "pareto").description


def test_axes_clip_the_worst_and_keep_what_has_to_be_seen() -> None:
    axis = value_axis("loss", [1.0, 2.0, 1e6, *([3.0] * 40)], [30.0], 1.0)
    assert axis.log
    assert 0.8 < axis.low < 1.0
    assert 30.0 < axis.high < 40.0
    assert axis.ticks() == [1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0]
    plain = value_axis("accuracy", [0.5, 0.9], [], -1.0)
    assert (plain.log, plain.low, plain.high) == (False, 0.48, 0.92)
    assert value_axis("loss", [], [], 1.0).high == 1.0


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (row(0, {}, "waiting", started_unix_s=None, ended_unix_s=None, epochs=0),),
        (row(0, {1: float("nan")}, "diverged", value=None, best_epoch=None),),
        (row(0, {}, "failed", epochs=0), row(1, {}, "failed", epochs=0)),
        (row(0, {1: 0.0}),),
        (row(0, {1: 1.0}), row(1, {1: 2.0}, "running")),
        tuple(row(number, {1: 1.0}) for number in range(12)),
    ],
    ids=["none", "waiting", "nan", "failures", "one", "running", "equal"],
)
def test_any_study_can_be_drawn(rows: tuple, tmp_path: Path) -> None:
    asked = study(*rows)
    shown = picture(asked, now_unix_s=200.0)
    assert len(shown.configurations) == len(configurations(asked))
