"""The figure of which hyperparameters decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_itwin.hpo.report.drawing import (
    Drawing,
    chart,
    colour,
    data,
    rounded,
    tooltip,
)
from lightning_itwin.hpo.report.importance import FEWEST, Importance


def importance_figure(found: Sequence[Importance], count: int) -> Drawing:
    """Draw which hyperparameters decide.

    Args:
        found: of :func:`~lightning_itwin.hpo.report.importance.importances`.
        count: configurations that it rests on.
    """
    common: dict[str, Any] = {
        "name": "importance",
        "title": "Which hyperparameters decide",
        "caption": (
            "Share of the importances (PED-ANOVA): how differently the best tenth lies on each axis than "
            "all do. Pale bars are no more than chance gives; 95 % of shuffled values stay below the tick."
        ),
        "group": "space",
    }
    if not found:
        few = f"{FEWEST} configurations with a value are needed to rank hyperparameters; there are {count}."
        return Drawing(description=few, chart=None, **common)
    widest = 1.12 * max(one.percent for one in found)
    bars = [
        {
            "name": one.parameter.label,
            "percent": rounded(one.percent),
            "chance": rounded(min(one.chance_percent, 100.0)),
            "verdict": "decides" if one.above_chance else "no more than chance",
            "text": f"{one.percent:.0f} %",
            "label": rounded(_label_place(one, widest)),
        }
        for one in found
    ]
    names = [bar["name"] for bar in bars]
    y = {
        "field": "name",
        "type": "nominal",
        "sort": names,
        "title": None,
        "axis": {"labelLimit": 150, "grid": False},
    }
    x = {
        "field": "percent",
        "type": "quantitative",
        "title": "share of all importances (%)",
        "scale": {"domain": [0, widest], "nice": False, "clamp": True},
        "axis": {"tickCount": 5},
    }
    told = tooltip(("name", "hyperparameter"), ("text", "share"), ("verdict", "verdict"))
    opacity = {"condition": {"test": "datum.verdict === 'decides'", "value": 1}, "value": 0.3}
    layers = [
        {
            "mark": {
                "type": "bar",
                "cornerRadiusEnd": 3,
                "color": colour("accent"),
                "height": {"band": 0.62},
            },
            "encoding": {"y": y, "x": x, "opacity": opacity, "tooltip": told},
        },
        {
            "mark": {"type": "tick", "thickness": 2, "color": colour("ink"), "height": {"band": 0.8}},
            "encoding": {"y": y, "x": {**x, "field": "chance"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 6, "fontSize": 12},
            "encoding": {"y": y, "x": {**x, "field": "label"}, "text": {"field": "text"}},
        },
    ]
    words = ", ".join(f"{bar['name']} {bar['text']} ({bar['verdict']})" for bar in bars)
    return Drawing(
        description=f"Importance of the hyperparameters over {count} configurations: {words}.",
        chart=chart(*layers, data=data(bars)),
        height=max(90, min(300, 38 * len(bars))),
        **common,
    )


def _label_place(one: Importance, widest: float) -> float:
    """Put a bar's label at its end, or behind the tick where that would cross it."""
    room = 0.13 * widest
    return one.chance_percent if one.percent < one.chance_percent < one.percent + room else one.percent
