"""The figure of all learning curves: where each was paused or stopped, and the rungs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
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
    tooltip,
)
from lightning_itwin.hpo.report.parameters import Parameter, number
from lightning_itwin.hpo.study_reading import StudyRecord

_MOST_RUNGS = 8
_SHEETS = 16
_SIGNS = {"complete": "circle", "paused": "circle", "stopped": "cross", "diverged": "triangle-up"}


def learning_curves(
    study: StudyRecord,
    found: Sequence[Configuration],
    axis: ValueAxis,
    best: Configuration | None,
    baseline: Configuration | None,
    axes: Sequence[Parameter],
) -> Drawing:
    """Draw all learning curves, where each was paused or stopped, and the rungs.

    Args:
        study: the rows.
        found: its configurations.
        axis: of the values.
        best: the winner.
        baseline: the user's own configuration.
        axes: its hyperparameters, told where the mouse points.
    """
    metric = study.plan.metric
    ends = []
    for one in found:
        finite = [(epoch, value) for epoch, value in one.curve.items() if math.isfinite(value)]
        at = dict(finite)
        for row in one.rows:
            epoch = max((epoch for epoch in row.curve if epoch in at), default=None)
            if epoch is not None and row.state in _SIGNS:
                ends.append(
                    {
                        "c": one.number,
                        "epoch": epoch,
                        "value": rounded(at[epoch]),
                        "state": row.state,
                        **_words(one, axes),
                    }
                )
    highlighted = [one.number for one in (baseline, best) if one is not None]
    x = {
        "field": "epoch",
        "type": "quantitative",
        "title": "epoch",
        "scale": {"domain": [0, max(study.max_epochs, *(one.reached for one in found), 1)], "nice": False},
        "axis": {"tickMinStep": 1, "tickCount": 8, "labelOverlap": "greedy"},
    }
    y = axis.encoding()
    told = tooltip(("name", "configuration"), ("state", "state"), ("best", metric), ("params", "with"))
    marks = rungs(study)
    layers = _rung_rules(marks, x, study.sign, study.max_epochs)
    layers.append(
        {
            "data": data(_broken([one for one in found if one.number not in highlighted])),
            "mark": {"type": "line", "strokeWidth": 1, "opacity": _opacity(len(found)), "clip": True},
            "encoding": {
                "x": x,
                "y": y,
                "detail": {"field": "sheet"},
                "order": {"value": None},
                "color": {"value": colour("quiet")},
            },
        }
    )
    layers.append(
        {
            "data": data(ends),
            "mark": {"type": "point", "filled": True, "opacity": 0.8, "clip": True},
            "encoding": {
                "x": x,
                "y": y,
                "color": state_colour(end["state"] for end in ends),
                "shape": {
                    "field": "state",
                    "scale": {"domain": list(_SIGNS), "range": list(_SIGNS.values())},
                    "legend": None,
                },
                "size": {"value": 42 if len(found) <= 200 else 20},
                "tooltip": told,
            },
        }
    )
    if baseline is not None and baseline is not best:
        layers += _highlight(baseline, x, y, "baseline")
    if best is not None:
        layers += _highlight(best, x, y, "best")
    counts = Counter(end["state"] for end in ends)
    return Drawing(
        name="learning_curves",
        title="Learning curves of all configurations",
        caption=(
            "A mark is the end of a segment: paused at a rung, stopped for good, or trained to the end. "
            + ("Dotted lines are rungs, with how many of those that reached one went on. " if marks else "")
            + "Point at a mark for its hyperparameters."
        ),
        description=(
            f"{metric} by epoch of {len(found)} configurations. "
            + ", ".join(f"{count} {state}" for state, count in counts.items())
            + "".join(f". Rung at epoch {rung}: {went} of {reached} went on" for rung, reached, went in marks)
            + "."
        ),
        chart=chart(*layers),
        height=420,
        wide=True,
    )


def rungs(study: StudyRecord) -> list[tuple[int, int, int]]:
    """Give the epochs at which rows were paused or stopped, how many reached each and how many went on.

    Nothing where they are more than 8: then there are no rungs.

    Args:
        study: the rows.
    """
    marks = {
        row.until_epoch if row.state == "paused" else max(row.curve, default=0)
        for row in study.rows
        if row.state in ("paused", "stopped")
    }
    marks = {mark for mark in marks if 0 < mark < study.max_epochs}
    if not 0 < len(marks) <= _MOST_RUNGS:
        return []
    last: dict[int, int] = {}
    for row in study.rows:
        last[row.configuration] = max(last.get(row.configuration, 0), *row.curve, 0)
    reached = list(last.values())
    return [
        (rung, sum(one >= rung for one in reached), sum(one > rung for one in reached))
        for rung in sorted(marks)
    ]


def _points(one: Configuration) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "value": rounded(value)}
        for epoch, value in one.curve.items()
        if math.isfinite(value)
    ]


def _broken(found: Sequence[Configuration]) -> list[dict[str, Any]]:
    """Join curves to a few broken lines, in sheets that shine through each other.

    A mark for each curve takes 20 ms of a figure's making.
    """
    return [
        {"sheet": number_ % _SHEETS, **point}
        for number_, one in enumerate(found)
        for point in [*_points(one), {"epoch": None, "value": None}]
    ]


def _opacity(count: int) -> float:
    return max(0.15, min(0.75, 4 / max(count, 1) ** 0.5))


def _words(one: Configuration, axes: Sequence[Parameter]) -> Mapping[str, str]:
    named = (f"{axis.label} {axis.text(one.params[axis.key])}" for axis in axes if axis.key in one.params)
    return {
        "name": f"{one.number}{' (baseline)' if one.baseline else ''}",
        "best": number(one.value),
        "params": ", ".join(named),
    }


def _rung_rules(
    marks: Sequence[tuple[int, int, int]], x: Mapping[str, Any], sign: float, last: int
) -> list[dict[str, Any]]:
    """Write on each rung how many went on, away from the curves: early at the good end, late at the bad."""
    layers: list[dict[str, Any]] = []
    for rung, reached, went in marks:
        below = (rung < 0.4 * last) == (sign > 0)
        text = {"type": "text", "angle": 270, "baseline": "bottom", "dy": -3, "fontSize": 12}
        text |= {"align": "left", "dx": 6} if below else {"align": "right", "dx": -6}
        layers.append(
            {
                "data": data([{"epoch": rung, "text": f"{went} of {reached} on"}]),
                "layer": [
                    {
                        "mark": {"type": "rule", "strokeDash": [2, 4], "color": colour("quiet")},
                        "encoding": {"x": x},
                    },
                    {
                        "mark": text,
                        "encoding": {
                            "x": x,
                            "y": {"value": {"expr": "height"} if below else 0},
                            "text": {"field": "text"},
                        },
                    },
                ],
            }
        )
    return layers


def _highlight(
    one: Configuration,
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    name: str,
) -> list[dict[str, Any]]:
    curve = _points(one)
    if not curve:
        return []
    line: dict[str, Any] = {"type": "line", "strokeWidth": 3 if name == "best" else 2.2, "clip": True}
    line["color"] = colour("accent" if name == "best" else "ink")
    if name == "baseline":
        line["strokeDash"] = [6, 4]
    end = {**curve[-1], "text": name}
    return [
        {"data": data(curve), "mark": line, "encoding": {"x": x, "y": y}},
        {
            "data": data([end]),
            "mark": {
                "type": "text",
                "align": "right",
                "dy": 16 if name == "best" else -10,
                "dx": -2,
                "fontSize": 13,
                "fontWeight": 600,
                "color": line["color"],
                "stroke": colour("paper"),
                "strokeWidth": 0,
            },
            "encoding": {"x": x, "y": y, "text": {"field": "text"}},
        },
    ]
