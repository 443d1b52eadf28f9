"""Figures of what a study knew when: its best value by epochs spent and by wall time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.hpo.report.drawing import (
    Drawing,
    ValueAxis,
    chart,
    colour,
    data,
    rounded,
    state_colour,
    time_unit,
    tooltip,
)
from lightning_itwin.hpo.report.history import History
from lightning_itwin.hpo.report.parameters import number
from lightning_itwin.hpo.study_reading import StudyRecord


def history_figures(
    study: StudyRecord,
    found: Sequence[Configuration],
    course: History,
    axis: ValueAxis,
    baseline: Configuration | None,
) -> list[Drawing]:
    """Draw the best value so far over epochs spent, and over wall time where the rows tell it.

    Args:
        study: the rows.
        found: its configurations.
        course: its history.
        axis: of the values.
        baseline: the user's own configuration, where it has a value.
    """
    unit, divisor = time_unit(course.wall_s or 0.0)
    drawn = [_history(study, found, course, axis, baseline, by_time=None)]
    if course.wall_s:
        drawn.append(_history(study, found, course, axis, baseline, by_time=(unit, divisor)))
    return drawn


def _history(
    study: StudyRecord,
    found: Sequence[Configuration],
    course: History,
    axis: ValueAxis,
    baseline: Configuration | None,
    by_time: tuple[str, float] | None,
) -> Drawing:
    metric = study.plan.metric

    def place(epochs: int, wall_s: float | None) -> float:
        return epochs if by_time is None else rounded((wall_s or 0.0) / by_time[1])

    last = place(course.epochs, course.wall_s)
    title = "epochs spent on all trainings" if by_time is None else f"wall time ({by_time[0]})"
    x = {
        "field": "x",
        "type": "quantitative",
        "title": title,
        "scale": {"domain": [0, last], "nice": False},
        "axis": {"tickCount": 6, "labelOverlap": "greedy"},
    }
    steps = [{"x": place(step.epochs, step.wall_s), "value": rounded(step.value)} for step in course.steps]
    marks = [
        {
            **mark,
            "name": f"configuration {step.configuration}, epoch {step.epoch}",
            "text": number(step.value),
        }
        for mark, step, after in zip(steps, course.steps, [*course.steps[1:], None])
        if after is None or after.configuration != step.configuration
    ]
    if steps:
        steps.append({"x": last, "value": steps[-1]["value"]})
    dots = [
        {
            "x": place(*course.ends[row.number]),
            "value": rounded(row.value),
            "state": row.state,
            "name": f"configuration {one.number}, epoch {row.from_epoch + row.epochs}",
            "text": number(row.value),
        }
        for one in found
        for row in one.rows
        if row.value is not None and row.number in course.ends
    ]
    y = axis.encoding()
    told = tooltip(("name", "reached by"), ("text", metric), ("state", "state"))
    layers = [
        _level(baseline.value if baseline else None, "baseline", axis, study.sign),
        {
            "data": data(dots),
            "mark": {"type": "point", "filled": True, "size": 34, "opacity": 0.6},
            "encoding": {
                "x": x,
                "y": y,
                "color": state_colour(dot["state"] for dot in dots),
                "tooltip": told,
            },
        },
        {
            "data": data(steps),
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2.5, "color": colour("ink")},
            "encoding": {"x": x, "y": y},
        },
        {
            "data": data(marks),
            "mark": {"type": "point", "filled": True, "size": 46, "color": colour("ink"), "opacity": 1},
            "encoding": {"x": x, "y": y, "tooltip": told[:2]},
        },
    ]
    by = "epochs spent" if by_time is None else "wall time"
    words = "; ".join(
        f"{number(step.value)} after {number(place(step.epochs, step.wall_s))}" for step in course.steps[-8:]
    )
    return Drawing(
        name="history" if by_time is None else "history_time",
        title=f"Best value by {by}",
        caption=(
            "The line is the best value so far; a dot is the best value of one segment where it ended."
            if by_time is None
            else "The same against the clock, from the start of the first training."
        ),
        description=f"Best {metric} by {title}: {words or 'no value yet'}.",
        chart=chart(*layers),
    )


def _level(value: float | None, name: str, axis: ValueAxis, sign: float) -> dict[str, Any]:
    if value is None:
        return {}
    y = axis.encoding("value")
    told = {"data": data([{"value": rounded(value), "name": name}])}
    text = {"type": "text", "align": "right", "dx": -4, "dy": 10 * sign if sign < 0 else -7, "text": name}
    return {
        **told,
        "layer": [
            {
                "mark": {"type": "rule", "strokeDash": [5, 4], "strokeWidth": 1.5, "color": colour("quiet")},
                "encoding": {"y": y},
            },
            {"mark": {**text, "fontSize": 12}, "encoding": {"y": y, "x": {"value": {"expr": "width"}}}},
        ],
    }
