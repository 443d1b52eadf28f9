"""What the figures share: a drawing, axes of values, colours of states."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_itwin.hpo.report.configurations import STATES
from lightning_itwin.hpo.report.parameters import Parameter, number

_LOG_FROM = 4.0  # times: below it, a logarithm shows nothing that a plain axis does not
_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of a study.

    Args:
        name: of its files.
        title: in a word or two.
        caption: how it is to be read.
        description: what is to be seen, for who cannot see it.
        chart: Vega-Lite without size and colours; None where there is nothing to draw, which the description
            says.
        height: of the plot in pixels.
        group: section of the page.
        wide: whether it takes the page's width.
    """

    name: str
    title: str
    caption: str
    description: str
    chart: Mapping[str, Any] | None
    height: int = 300
    group: str = "course"
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class ValueAxis:
    """The axis of the objective.

    Args:
        title: name of the metric.
        log: whether it is logarithmic.
        low, high: its ends; what lies beyond is drawn at the end.
    """

    title: str
    log: bool
    low: float
    high: float

    def encoding(self, field: str = "value", title: str | None = None, **axis: Any) -> dict[str, Any]:
        """Give Vega-Lite's encoding of a field on this axis."""
        scale = {
            "type": "log" if self.log else "linear",
            "domain": [self.low, self.high],
            "clamp": True,
            "nice": False,
            **({} if self.log else {"zero": False}),
        }
        ticks = {"values": self.ticks(), "format": "~g"} if self.log else {"tickCount": 6}
        return {
            "field": field,
            "type": "quantitative",
            "title": self.title if title is None else title,
            "scale": scale,
            "axis": {**ticks, "labelOverlap": "greedy", **axis},
        }

    def ticks(self) -> list[float]:
        """Give round values of a logarithmic axis, few enough for their labels."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [float(f"{factor}e{power}") for power in range(first, last + 1) for factor in factors]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= 8:
                break
        return found


def value_axis(title: str, values: Iterable[float], keep: Iterable[float], sign: float) -> ValueAxis:
    """Choose an axis that shows the best value, all but the worst twentieth, and what has to be seen.

    Args:
        title: name of the metric.
        values: all that are drawn; those that are not finite are passed over.
        keep: values that have to lie within, such as the baseline's.
        sign: 1 where lower values are better, else -1.
    """
    told = sorted(sign * value for value in values if math.isfinite(value))
    kept = [sign * value for value in keep]
    if not told and not kept:
        return ValueAxis(title=title, log=False, low=0.0, high=1.0)
    best = min(told + kept)
    worst = max(kept + ([told[math.ceil(0.95 * (len(told) - 1))]] if told else []))
    low, high = sorted((sign * best, sign * worst))
    if low > 0 and high / low >= _LOG_FROM:
        room = (high / low) ** 0.04
        return ValueAxis(title=title, log=True, low=rounded(low / room), high=rounded(high * room))
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return ValueAxis(title=title, log=False, low=rounded(low - room), high=rounded(high + room))


def parameter_axis(parameter: Parameter, field: str, **axis: Any) -> dict[str, Any]:
    """Give Vega-Lite's encoding of a field of positions, 0 to 1, labelled with the values."""
    ticks = parameter.ticks()
    positions = [rounded(position) for position, _ in ticks]
    names = [label for _, label in ticks]
    return {
        "field": field,
        "type": "quantitative",
        "title": parameter.label,
        "scale": {"domain": [-0.02, 1.02], "nice": False, "zero": False},
        "axis": {
            "values": positions,
            "labelExpr": f"{names!r}[indexof({positions!r}, datum.value)]",
            "labelOverlap": "greedy",
            "labelLimit": 110,
            **axis,
        },
    }


def state_colour(present: Iterable[Any], legend: bool = True) -> dict[str, Any]:
    """Give Vega-Lite's encoding of the state by colour; each has the same one in all figures."""
    states = set(present)
    shown = [state for state in STATES[:7] if state in states]
    return {
        "field": "state",
        "type": "nominal",
        "scale": {"domain": list(STATES[:7])},
        "legend": _legend(shown) if legend and shown else None,
        "title": None,
    }


def _legend(shown: Sequence[str]) -> dict[str, Any]:
    return {"values": list(shown), "symbolType": "circle", "columns": {"expr": "width < 420 ? 3 : 7"}}


def tooltip(*fields: tuple[str, str]) -> list[dict[str, str]]:
    """Give Vega-Lite's tooltip of texts by their titles."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in fields]


def data(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give Vega-Lite's inline data."""
    return {"values": list(values)}


def rounded(value: float) -> float:
    """Give a number with as many digits as a picture can show.

    >>> rounded(0.123456789), rounded(123456.0)
    (0.12346, 123460.0)
    """
    return float(f"{value:.{_DIGITS}g}")


def chart(*layers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Give a chart of layers, the first of them below."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "layer": [layer for layer in layers if layer],
        **more,
    }


def colour(name: str) -> dict[str, str]:
    """Give a colour of the page's look, light or dark, for a mark."""
    return {"expr": name}


def told(values: Mapping[str, float | None]) -> str:
    """Say numbers by name, for a description.

    >>> told({"baseline": 1.0, "best": 0.25})
    'baseline 1, best 0.25'
    """
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


def time_unit(seconds: float) -> tuple[str, float]:
    """Choose the unit of a time axis: its name and its seconds.

    >>> time_unit(7200 * 10), time_unit(90)
    (('h', 3600.0), ('s', 1.0))
    """
    return ("h", 3600.0) if seconds >= 5400 else ("min", 60.0) if seconds >= 120 else ("s", 1.0)


def duration(seconds: float) -> str:
    """Say a time.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    unit, divisor = time_unit(seconds)
    return f"{seconds / divisor:.3g} {unit}"
