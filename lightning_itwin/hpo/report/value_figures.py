"""Figures of the value over hyperparameters: two at once, and each alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.hpo.report.drawing import (
    Drawing,
    ValueAxis,
    chart,
    colour,
    data,
    parameter_axis,
    rounded,
    state_colour,
    tooltip,
)
from lightning_itwin.hpo.report.parameters import Parameter, number
from lightning_itwin.hpo.report.projection import expected_ends
from lightning_itwin.hpo.report.surface import surface

_OVERLAP = 0.003  # of rows of the surface, without which a line of light shows between them


def contour_figure(
    order: Sequence[Configuration], axes: Sequence[Parameter], axis: ValueAxis, sign: float
) -> Drawing | None:
    """Draw the value over two hyperparameters; None where there are fewer than two.

    Args:
        order: the configurations that have a value, the best first.
        axes: the hyperparameters, the most important first.
        axis: of the values.
        sign: 1 where lower values are better, else -1.
    """
    if len(axes) < 2:
        return None
    across, up = axes[:2]
    ends = expected_ends(order, sign)
    shown = [one for one in order if one.number in ends and across.key in one.params and up.key in one.params]
    common: dict[str, Any] = {
        "name": "contour",
        "title": f"{across.label} and {up.label}",
        "caption": (
            f"Smoothed {axis.title}, as expected at the last epoch, over the two most important "
            "hyperparameters: dark is good, blank is where nothing was tried. A dot is a configuration, the "
            "larger the longer it was trained; the star is the best."
        ),
        "group": "space",
    }
    if not shown:
        return Drawing(description="No configuration has a value.", chart=None, **common)
    x = [across.position(one.params[across.key]) for one in shown]
    y = [up.position(one.params[up.key]) for one in shown]
    values = [ends[one.number] for one in shown]
    smooth = surface(x, y, values, sign, (len(across.choices) or None, len(up.choices) or None))
    points = [
        {
            "x": rounded(px),
            "y": rounded(py),
            "epochs": one.reached,
            "name": str(one.number),
            "text": number(one.value),
            "end": number(ends[one.number]),
            "px": across.text(one.params[across.key]),
            "py": up.text(one.params[up.key]),
        }
        for px, py, one in zip(x, y, shown)
    ]
    x_axis, y_axis = parameter_axis(across, "x"), parameter_axis(up, "y", grid=False)
    told = tooltip(
        ("name", "configuration"),
        ("text", axis.title),
        ("end", "expected at the end"),
        ("px", across.label),
        ("py", up.label),
        ("epochs", "epochs"),
    )
    layers: list[dict[str, Any]] = []
    words = "too few for a surface"
    if smooth is not None:
        levels = [f"{edge:.3g}" for edge in smooth.edges]
        names = [f"to {levels[0]}", *(f"{a} to {b}" for a, b in pairwise(levels)), f"from {levels[-1]}"]
        bands = [
            {
                "x": rounded(one.x0),
                "x2": rounded(one.x1),
                "y": rounded(one.y0),
                "y2": rounded(min(1.0, one.y1 + _OVERLAP)),
                "level": one.level,
                "text": names[one.level],
            }
            for one in smooth.bands
        ]
        layers.append(
            {
                "data": data(bands),
                "mark": {"type": "rect", "clip": True},
                "encoding": {
                    "x": x_axis,
                    "x2": {"field": "x2"},
                    "y": y_axis,
                    "y2": {"field": "y2"},
                    "color": _levels("level", names),
                    "tooltip": tooltip(("text", f"smoothed {axis.title}")),
                },
            }
        )
        words = f"smoothed {axis.title} from {levels[0]} to {levels[-1]}"
    ring = {"type": "point", "fill": "#ffffff", "stroke": "#17202a", "strokeWidth": 1.2, "opacity": 0.9}
    layers += [
        {
            "data": data(points[1:]),
            "mark": ring,
            "encoding": {
                "x": x_axis,
                "y": y_axis,
                "tooltip": told,
                "size": {
                    "field": "epochs",
                    "type": "quantitative",
                    "scale": {"range": [14, 130]},
                    "legend": None,
                },
            },
        },
        {
            "data": data(points[:1]),
            "mark": {
                "type": "text",
                "text": "★",
                "fontSize": 24,
                "color": "#ffffff",
                "stroke": "#17202a",
                "strokeWidth": 0.8,
            },
            "encoding": {"x": x_axis, "y": y_axis, "tooltip": told},
        },
    ]
    best = shown[0]
    return Drawing(
        description=(
            f"{axis.title} over {across.label} and {up.label}: {words}. The best is at {across.label} "
            f"{across.text(best.params[across.key])}, {up.label} {up.text(best.params[up.key])}."
        ),
        chart=chart(*layers),
        height=360,
        **common,
    )


def slice_figures(
    found: Sequence[Configuration], axes: Sequence[Parameter], axis: ValueAxis, best: Configuration | None
) -> list[Drawing]:
    """Draw the value over each hyperparameter alone.

    Args:
        found: the configurations.
        axes: the hyperparameters, the most important first.
        axis: of the values.
        best: the winner.
    """
    drawn: list[Drawing] = []
    for one_axis in axes:
        shown = [one for one in found if one.value is not None and one_axis.key in one.params]
        points = [
            {
                "x": rounded(one_axis.position(one.params[one_axis.key])),
                "value": rounded(one.value or 0.0),
                "state": one.state,
                "name": str(one.number),
                "text": number(one.value),
                "px": one_axis.text(one.params[one_axis.key]),
                "best": one is best,
            }
            for one in shown
        ]
        x, y = parameter_axis(one_axis, "x", title=None), axis.encoding("value", title="")
        told = tooltip(
            ("name", "configuration"), ("text", axis.title), ("px", one_axis.label), ("state", "state")
        )
        layers = [
            {
                "data": data([point for point in points if not point["best"]]),
                "mark": {
                    "type": "point",
                    "filled": True,
                    "opacity": 0.65,
                    "size": 40 if len(points) <= 200 else 16,
                },
                "encoding": {"x": x, "y": y, "color": state_colour([], legend=False), "tooltip": told},
            },
            {
                "data": data([point for point in points if point["best"]]),
                "mark": {"type": "text", "text": "★", "fontSize": 22, "color": colour("ink")},
                "encoding": {"x": x, "y": y, "tooltip": told},
            },
        ]
        where = (
            ""
            if best is None or one_axis.key not in best.params
            else one_axis.text(best.params[one_axis.key])
        )
        drawn.append(
            Drawing(
                name=f"slice_{len(drawn) + 1}",
                title=one_axis.label,
                caption="",
                description=(
                    f"{axis.title} over {one_axis.label} of {len(points)} configurations"
                    f"{f'; the best at {where}' if where else ''}."
                ),
                chart=chart(*layers) if points else None,
                height=190,
                group="slices",
            )
        )
    return drawn


def _levels(field: str, names: Sequence[str]) -> dict[str, Any]:
    return {
        "field": field,
        "type": "ordinal",
        "scale": {"scheme": "viridis", "domain": list(range(len(names)))},
        "legend": {
            "labelExpr": f"{list(names)!r}[datum.value]",
            "columns": {"expr": "width < 420 ? 2 : 4"},
            "symbolType": "square",
            "symbolStrokeWidth": 0,
            "labelFontSize": 11,
            "columnPadding": 8,
        },
    }
