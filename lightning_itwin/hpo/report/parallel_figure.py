"""The figure of all configurations across their hyperparameters: parallel coordinates."""

from __future__ import annotations

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
    tooltip,
)
from lightning_itwin.hpo.report.parameters import Parameter, number

_SHADES = 8
_NO_AXIS = {"labels": False, "ticks": False, "domain": False, "grid": False, "title": None}


def parallel_figure(order: Sequence[Configuration], axes: Sequence[Parameter], axis: ValueAxis) -> Drawing:
    """Draw every configuration as a line across its hyperparameters.

    Args:
        order: the configurations that have a value, the best first.
        axes: the hyperparameters, the most important first.
        axis: of the values.
    """
    shown = [one for one in order if all(one_axis.key in one.params for one_axis in axes)]
    common: dict[str, Any] = {
        "name": "parallel_coordinates",
        "title": "Where the good ones lie",
        "caption": (
            "A line is a configuration, from one hyperparameter to the next, the most important at the top; "
            "the stronger its colour, the better; the thick one is the best. "
            "Point at a crossing to follow a line."
        ),
        "group": "space",
    }
    if not shown:
        return Drawing(description="No configuration has a value.", chart=None, **common)
    rows = list(range(len(axes)))
    points = [
        {
            "c": one.number,
            "rank": rank,
            "x": rounded(one_axis.position(one.params[one_axis.key])),
            "row": row,
            "text": number(one.value),
        }
        for rank, one in enumerate(shown, start=1)
        for row, one_axis in zip(rows, axes)
    ]
    rules = [{"row": row, "name": one_axis.label} for row, one_axis in zip(rows, axes)]
    ticks = [
        {"row": row, "x": rounded(position), "text": text}
        for row, one_axis in zip(rows, axes)
        for position, text in _spaced(one_axis.ticks(5))
    ]
    y = {
        "field": "row",
        "type": "quantitative",
        "scale": {"domain": [len(axes) - 0.45, -0.45], "nice": False, "zero": False},
        "axis": _NO_AXIS,
    }
    x = {
        "field": "x",
        "type": "quantitative",
        "scale": {"domain": [-0.03, 1.03], "nice": False},
        "axis": _NO_AXIS,
    }
    hover = {
        "name": "pointed",
        "select": {"type": "point", "fields": ["c"], "on": "pointerover", "clear": "pointerout"},
    }
    bold = {"type": "line", "strokeWidth": 3.5, "strokeJoin": "round"}
    along = {"x": x, "y": y, "order": {"field": "row"}}
    layers: list[dict[str, Any]] = [
        {
            "data": data(rules),
            "mark": {"type": "rule", "color": colour("faint"), "strokeWidth": 2},
            "encoding": {"y": y, "x": {"datum": 0, "type": "quantitative"}, "x2": {"datum": 1}},
        },
        {
            "data": data(_shaded(points, len(axes), len(shown))),
            "mark": {"type": "line", "strokeWidth": 1.4, "opacity": 0.9 if len(shown) <= 30 else 0.5},
            "encoding": {
                "x": x,
                "y": y,
                "order": {"value": None},
                "color": {
                    "field": "shade",
                    "type": "quantitative",
                    "scale": {"domain": [0, _SHADES - 1]},
                    "legend": None,
                },
            },
        },
        {
            "data": data(points[: len(axes)]),
            "mark": {**bold, "color": colour("accent")},
            "encoding": along,
        },
        {
            "data": {"name": "points"},
            "transform": [{"filter": {"param": "pointed", "empty": False}}],
            "mark": {**bold, "color": colour("ink")},
            "encoding": along,
        },
        *_legible(
            {"align": "left", "dy": -12, "fontSize": 13, "fontWeight": 600, "color": colour("ink")},
            data(rules),
            {"y": y, "x": {"datum": 0, "type": "quantitative"}, "text": {"field": "name"}},
        ),
        {
            "data": data(ticks),
            "mark": {
                "type": "tick",
                "thickness": 2,
                "height": 9,
                "orient": "vertical",
                "color": colour("quiet"),
            },
            "encoding": {"x": x, "y": y},
        },
        *_legible(
            {"dy": 14, "fontSize": 11, "limit": 90},
            data(ticks),
            {"x": x, "y": y, "text": {"field": "text"}},
        ),
        {
            "data": {"name": "points"},
            "params": [hover],
            "mark": {"type": "point", "filled": True, "opacity": 0, "size": 110},
            "encoding": {
                "x": x,
                "y": y,
                "tooltip": tooltip(("c", "configuration"), ("rank", "rank"), ("text", axis.title)),
            },
        },
    ]
    best = shown[0]
    words = ", ".join(f"{one_axis.label} {one_axis.text(best.params[one_axis.key])}" for one_axis in axes)
    return Drawing(
        description=f"{len(shown)} configurations over {len(axes)} hyperparameters. The best: {words}.",
        chart=chart(*layers, datasets={"points": points}),
        height=66 * len(axes),
        **common,
    )


def _legible(
    text: Mapping[str, Any], values: Mapping[str, Any], encoding: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Give text that stands on lines: with a rim of the paper's colour below it."""
    rim = {"color": colour("paper"), "stroke": colour("paper"), "strokeWidth": 4, "strokeJoin": "round"}
    return [
        {"data": values, "mark": {"type": "text", **text, **more}, "encoding": encoding} for more in (rim, {})
    ]


def _shaded(points: Sequence[Mapping[str, Any]], rows: int, count: int) -> list[dict[str, Any]]:
    """Join the lines of one shade to one broken line: a mark for each takes a browser's time and a figure's.

    Args:
        points: row by row, configuration by configuration, the best first.
        rows: points of a configuration.
        count: configurations.
    """
    found: list[dict[str, Any]] = []
    for rank in reversed(range(count)):  # the best on top
        shade = rank * _SHADES // count
        line = points[rank * rows : (rank + 1) * rows]
        found += [{"shade": shade, "x": point["x"], "row": point["row"]} for point in line]
        found.append({"shade": shade, "x": None, "row": None})
    return found


def _spaced(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Leave out ticks whose labels would stand in each other's way on a phone."""
    found: list[tuple[float, str]] = []
    for position, text in ticks:
        room = 0.026 * (len(text) + len(found[-1][1])) / 2 + 0.02 if found else 0.0
        if not found or position - found[-1][0] >= room:
            found.append((position, text))
    return found
