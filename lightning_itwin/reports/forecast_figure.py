"""The figure of a forecast: measured times, the curve through them, and where it may go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_itwin.optional import require
from lightning_itwin.reports.forecast_rows import Forecast
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import number
from lightning_itwin.reports.vega import Pictures, render

TITLE = "Time per epoch, measured and forecast"


@dataclass(frozen=True, kw_only=True)
class ShownForecast:
    """A forecast and its figure.

    Args:
        found: the forecast.
        pictures: its figure; None where nothing could be forecast.
    """

    found: Forecast
    pictures: Pictures | None = None


def draw_forecast(study: Scalability, found: Forecast) -> Pictures | None:
    """Draw a forecast; None where there is none.

    Raises:
        MissingExtraError: altair or vl-convert is not installed.
    """
    if not found.curve:
        return None
    altair = require("altair", extra="report")
    curve = [
        {
            "strategy": point.strategy,
            "workers": point.workers,
            "value": point.epoch_time_s.value,
            "low": point.epoch_time_s.low,
            "high": point.epoch_time_s.high,
        }
        for point in found.curve
    ]
    marks = [*_measured(study), *_forecast(found)]
    workers = sorted({mark["workers"] for mark in marks})
    strategies = sorted({mark["strategy"] for mark in marks})
    x = altair.X(
        "workers:Q",
        title="workers",
        scale=altair.Scale(type="log", base=2, nice=False, padding=12),
        axis=altair.Axis(values=workers, format="d", labelOverlap=True),
    )
    y = altair.Y(
        "value:Q",
        title="Time per epoch (s)",
        scale=altair.Scale(type="log", nice=False, padding=8),
        axis=altair.Axis(tickCount=5, format="~r"),
    )
    legend = altair.Legend(symbolOpacity=1)  # the band's is faint
    colour = altair.Color("strategy:N", scale=altair.Scale(domain=strategies), title=None, legend=legend)
    line = altair.Chart(altair.Data(values=curve)).encode(x=x, color=colour)
    band = line.mark_area(opacity=0.16).encode(y=altair.Y("low:Q", title="Time per epoch (s)"), y2="high:Q")
    points = (
        altair.Chart(altair.Data(values=marks))
        .mark_point(size=80, opacity=1)
        .encode(
            x=x,
            y=y,
            color=colour,
            fill=altair.condition("datum.kind == 'measured'", colour, altair.value("transparent")),
            tooltip=[
                altair.Tooltip("strategy:N"),
                altair.Tooltip("workers:Q"),
                altair.Tooltip("kind:N"),
                altair.Tooltip("shown:N", title="time per epoch (s)"),
                altair.Tooltip("bounds:N", title="90 % interval"),
            ],
        )
    )
    chart = altair.layer(band, line.mark_line(strokeWidth=2).encode(y=y), points)
    return render(chart.to_dict(), TITLE)


def describe_forecast(found: Forecast) -> str:
    """Tell the figure in words, for those who do not see it."""
    told = [
        f"{row.strategy} on {row.workers} workers: {number(row.epoch_time_s)} "
        f"({number(row.low_s)} to {number(row.high_s)})"
        for row in found.rows
    ]
    return f"Time per epoch in seconds, forecast, with its 90 % interval. {'; '.join(told)}."


def _measured(study: Scalability) -> Iterable[Mapping[str, Any]]:
    for cell in study.cells:
        if cell.row.epoch_time_s is not None:
            yield {
                "strategy": cell.row.strategy,
                "workers": cell.row.workers,
                "kind": "measured",
                "value": cell.row.epoch_time_s,
                "shown": number(cell.row.epoch_time_s),
                "bounds": "n/a",
            }


def _forecast(found: Forecast) -> Iterable[Mapping[str, Any]]:
    for row in found.rows:
        yield {
            "strategy": row.strategy,
            "workers": row.workers,
            "kind": "forecast",
            "value": row.epoch_time_s,
            "shown": number(row.epoch_time_s),
            "bounds": f"{number(row.low_s)} to {number(row.high_s)}",
        }
