"""The figure of two objectives: value and energy, and the front between them."""

from __future__ import annotations

from typing import Any

from lightning_itwin.hpo.report.drawing import (
    Drawing,
    ValueAxis,
    chart,
    colour,
    data,
    rounded,
    tooltip,
    value_axis,
)
from lightning_itwin.hpo.report.parameters import number
from lightning_itwin.hpo.report.pareto import Candidate, Front

_MOST = 3000


def energy_text(energy_kwh: float) -> str:
    """Say an energy.

    >>> energy_text(0.0000042), energy_text(0.0042), energy_text(42.0)
    ('0.0042 Wh', '4.2 Wh', '42 kWh')
    """
    return f"{number(energy_kwh)} kWh" if energy_kwh >= 1 else f"{number(1000 * energy_kwh)} Wh"


def pareto_figure(found: Front, axis: ValueAxis, baseline: int | None) -> Drawing:
    """Draw every candidate by its energy and value, and the front.

    Args:
        found: the front.
        axis: of the values.
        baseline: number of the user's own configuration, where it has a value.
    """
    unit, factor = ("kWh", 1.0) if found.members[-1].energy_kwh >= 1 else ("Wh", 1000.0)
    energies = [one.energy_kwh * factor for one in found.candidates]
    across = value_axis(f"energy until then ({unit})", energies, energies, 1.0)

    def point(one: Candidate) -> dict[str, Any]:
        return {
            "x": rounded(one.energy_kwh * factor),
            "value": rounded(one.value),
            "name": f"{one.configuration} after epoch {one.epoch}",
            "text": number(one.value),
            "energy": energy_text(one.energy_kwh),
        }

    step = max(1, len(found.candidates) // _MOST)
    x, y = across.encoding("x"), axis.encoding()
    told = tooltip(("name", "configuration"), ("text", axis.title), ("energy", "energy"))
    line = [point(one) for one in found.members]
    layers: list[dict[str, Any]] = [
        {
            "data": data([point(one) for one in found.candidates[::step]]),
            "mark": {"type": "point", "filled": True, "size": 18, "opacity": 0.45, "color": colour("quiet")},
            "encoding": {"x": x, "y": y, "tooltip": told},
        },
        _run(found, baseline, point, x, y),
        {
            "data": data([*line, {"x": rounded(across.high), "value": line[-1]["value"]}]),
            "mark": {
                "type": "line",
                "interpolate": "step-after",
                "strokeWidth": 2.5,
                "color": colour("accent"),
            },
            "encoding": {"x": x, "y": y},
        },
        {
            "data": data(line),
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": colour("accent")},
            "encoding": {"x": x, "y": y, "tooltip": told},
        },
    ]
    if found.knee is not None:
        knee = data([point(found.knee)])
        layers += [
            {
                "data": knee,
                "mark": {
                    "type": "point",
                    "size": 230,
                    "strokeWidth": 2.5,
                    "opacity": 1,
                    "color": colour("ink"),
                },
                "encoding": {"x": x, "y": y, "tooltip": told},
            },
            {
                "data": knee,
                "mark": {
                    "type": "text",
                    "text": "knee",
                    "align": "right",
                    "dx": -14,
                    "dy": 12,
                    "fontSize": 13,
                    "fontWeight": 600,
                    "color": colour("ink"),
                },
                "encoding": {"x": x, "y": y},
            },
        ]
    words = "; ".join(f"{number(one.value)} for {energy_text(one.energy_kwh)}" for one in found.members[:12])
    return Drawing(
        name="pareto",
        title=f"{axis.title} and energy",
        caption=(
            "A dot is a configuration after one of its epochs: a training that ends there costs what it had "
            "cost until then. The line joins those that none beats in both; dashes are the baseline."
        ),
        description=(
            f"Pareto front of {axis.title} and energy with {len(found.members)} members: {words}."
            + (
                ""
                if found.knee is None
                else f" Knee: {number(found.knee.value)} for {energy_text(found.knee.energy_kwh)}."
            )
        ),
        chart=chart(*layers),
        height=380,
        group="energy",
        wide=True,
    )


def _run(found: Front, baseline: int | None, point: Any, x: Any, y: Any) -> dict[str, Any]:
    course = [one for one in found.candidates if one.configuration == baseline]
    if not course:
        return {}
    return {
        "data": data([point(one) for one in course]),
        "mark": {"type": "line", "strokeDash": [5, 4], "strokeWidth": 1.8, "color": colour("ink")},
        "encoding": {"x": x, "y": y, "order": {"field": "x"}},
    }
