"""Figures: one Vega-Lite specification a metric, and its picture as PNG and SVG, without a browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning_itwin.optional import require
from lightning_itwin.reports.cells import Cell
from lightning_itwin.reports.metrics import METRICS, Metric
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import number
from lightning_itwin.reports.vega import render

_BOUNDS_SHOWN = 1.5  # times the largest value: what lies beyond is cut off


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The figure of one metric.

    Args:
        metric: what it shows.
        specification: Vega-Lite, its width that of the container; None where nothing was measured.
        description: what it shows, in words and numbers, for those who do not see it.
        png: the picture.
        svg: the picture.
    """

    metric: Metric
    specification: Mapping[str, Any] | None
    description: str
    png: bytes = b""
    svg: str = ""


def draw(study: Scalability) -> tuple[Figure, ...]:
    """Draw the figure of every metric.

    Raises:
        MissingExtraError: altair or vl-convert is not installed.
    """
    altair = require("altair", extra="report")
    figures = []
    for metric in METRICS:
        chart = _chart(altair, metric, study)
        if chart is None:
            figures.append(
                Figure(metric=metric, specification=None, description=study.missing(gpu=metric.gpu))
            )
            continue
        pictures = render(chart.to_dict(), metric.title)
        figures.append(
            Figure(
                metric=metric,
                specification=pictures.specification,
                description=_describe(metric, study),
                png=pictures.png,
                svg=pictures.svg,
            )
        )
    return tuple(figures)


def _chart(altair: Any, metric: Metric, study: Scalability) -> Any:
    values = [_value(metric, cell) for cell in study.cells if metric.cell(cell) is not None]
    if not values:
        return None
    strategies = sorted({value["strategy"] for value in values})
    workers = sorted({cell.row.workers for cell in study.cells})
    line = metric.line and len(workers) > 1
    x = altair.X(
        "workers:O",
        title="workers",
        scale=altair.Scale(domain=workers, paddingInner=0.88 if line else 0.25, paddingOuter=0.3),
    )
    offset = altair.XOffset("strategy:N", scale=altair.Scale(domain=strategies))
    y_scale = _y_scale(altair, metric, values, line)
    y = altair.Y("value:Q", title=metric.axis, scale=y_scale, axis=_y_axis(altair, metric, workers, line))
    colour = altair.Color("strategy:N", scale=altair.Scale(domain=strategies), title=None)
    tooltip = [
        altair.Tooltip("strategy:N"),
        altair.Tooltip("workers:O"),
        altair.Tooltip("shown:N", title=metric.axis),
        altair.Tooltip("bounds:N", title="95 % interval"),
        altair.Tooltip("repeats:Q"),
    ]
    # beside each other where intervals would hide each other, but not where a line says what is ideal
    shift = {} if metric.ideal is not None and line else {"xOffset": offset}
    base = altair.Chart(altair.Data(values=values)).encode(x=x, color=colour, **shift)
    layers = []
    if metric.ideal is not None and len(workers) > 1:
        ideal = [{"workers": count, "value": metric.ideal(count)} for count in workers]
        dashed = altair.Chart(altair.Data(values=ideal)).encode(x=x, y=y)
        layers.append(dashed.mark_line(strokeDash=[5, 4], strokeWidth=1.5))
        layers.append(
            altair.Chart(altair.Data(values=ideal[-1:]))
            .mark_text(align="right", dx=-10, dy=-10, fontSize=12)
            .encode(x=x, y=y, text=altair.value("ideal"))
        )
    if line:
        layers.append(base.mark_line(strokeWidth=2.5).encode(y=y))
    else:
        layers.append(
            base.mark_bar(cornerRadiusEnd=3, opacity=0.85, minBandSize=4).encode(y=y, tooltip=tooltip)
        )
    if any(value["low"] is not None for value in values):
        layers.append(
            base.transform_filter("datum.low != null")
            .mark_rule(strokeWidth=2, clip=True)
            .encode(y=altair.Y("low:Q", title=metric.axis), y2="high:Q", tooltip=tooltip)
        )
    if line:
        shape = altair.Shape("strategy:N", scale=altair.Scale(domain=strategies), title=None)
        layers.append(
            base.mark_point(filled=True, size=85, opacity=1).encode(y=y, shape=shape, tooltip=tooltip)
        )
    if dots := _dots(metric, study):
        layers.append(
            altair.Chart(altair.Data(values=dots))
            .mark_point(filled=False, size=26, opacity=0.75, strokeWidth=1)
            .encode(
                x=x,
                y=y,
                tooltip=[
                    altair.Tooltip("run:N"),
                    altair.Tooltip("shown:N", title=metric.axis),
                ],
                **shift,
                **({"color": colour} if line else {}),
            )
        )
    return altair.layer(*layers)


def _value(metric: Metric, cell: Cell) -> dict[str, Any]:
    value = (metric.cell(cell) or 0.0) * metric.factor
    interval = metric.interval(cell) if metric.interval else None
    low = interval.low * metric.factor if interval and interval.low is not None else None
    high = interval.high * metric.factor if interval and interval.high is not None else None
    return {
        "strategy": cell.row.strategy,
        "workers": cell.row.workers,
        "value": value,
        "low": low,
        "high": high,
        "shown": number(value),
        "bounds": "n/a" if low is None or high is None else f"{number(low)} to {number(high)}",
        "repeats": cell.row.repeats,
    }


def _dots(metric: Metric, study: Scalability) -> list[dict[str, Any]]:
    if metric.run is None:
        return []
    found = []
    for run in study.counted:
        value = metric.run(run)
        if value is not None:
            value *= metric.factor
            found.append(
                {
                    "strategy": run.strategy,
                    "workers": run.workers,
                    "run": run.name.rpartition("/")[2],
                    "value": value,
                    "shown": number(value),
                }
            )
    return found


def _is_log(metric: Metric, workers: list[int]) -> bool:
    return metric.name == "speedup" and max(workers) >= 4


def _y_scale(altair: Any, metric: Metric, values: list[dict[str, Any]], line: bool) -> Any:
    if line and _is_log(metric, [value["workers"] for value in values]):
        return altair.Scale(type="log", base=2, nice=False)
    # the bounds of few, scattered repeats may lie so far out that nothing else would be seen
    largest = max(value["value"] for value in values)
    if any((value["high"] or 0.0) > _BOUNDS_SHOWN * largest for value in values):
        return altair.Scale(domain=[0, _BOUNDS_SHOWN * largest])
    return altair.Scale(zero=True)


def _y_axis(altair: Any, metric: Metric, workers: list[int], line: bool) -> Any:
    if line and _is_log(metric, workers):
        return altair.Axis(values=workers, tickCount=len(workers))
    return altair.Axis(tickCount=5)


def _describe(metric: Metric, study: Scalability) -> str:
    """Tell the figure in words.

    The text stands beside the figure for those who cannot see it.
    """
    told = [
        f"{cell.name}: {number((metric.cell(cell) or 0.0) * metric.factor)}"
        for cell in study.cells
        if metric.cell(cell) is not None
    ]
    return f"{metric.axis} by workers and strategy. {'; '.join(told)}."
