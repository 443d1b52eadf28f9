"""The part of the page that tells a forecast."""

from __future__ import annotations

from html import escape

from lightning_itwin.pages import card, downloads, notes, section
from lightning_itwin.reports.forecast_figure import TITLE, ShownForecast, describe_forecast
from lightning_itwin.reports.forecast_rows import Forecast, ForecastCell
from lightning_itwin.reports.statistics import Interval
from lightning_itwin.reports.table import NOT_MEASURED, number
from lightning_itwin.reports.vega import chart

CHART = "forecast"

_TOLD = (
    "Fitted on the rows measured above; every interval holds the true value in 90 of 100 cases, as long as "
    "the machine goes on as it began. Efficiency is against the smallest number of workers measured. Energy, "
    "worker-hours and cost are those of one run of as many epochs as were measured."
)


def forecast_section(shown: ShownForecast, text: str) -> str:
    """Give the section; empty where nothing was asked for and nothing is to be said.

    Args:
        shown: the forecast and its figure.
        text: of ``forecast.json``, offered for download.
    """
    found, pictures = shown.found, shown.pictures
    if not found.cells:
        return section("forecast", "Forecast", notes(found.notes, "on the forecast")) if found.notes else ""
    knees = "".join(f"<li>{escape(knee.line)}</li>" for knee in found.knees)
    winners = "".join(
        f"<li>{workers} workers: {escape(line)}</li>" for workers, line in found.winners.items()
    )
    told = (
        '<article class="card choice"><h3 class="goal">Where the knee is</h3>'
        f'<ul class="plain">{knees}</ul><p class="why">Up to the knee, more workers bring more than they '
        "cost: efficiency over time is largest there.</p></article>"
    )
    if winners:
        told += (
            '<article class="card choice"><h3 class="goal">Which strategy will be the fastest</h3>'
            f'<ul class="plain">{winners}</ul></article>'
        )
    drawn = ""
    if pictures is not None:
        picture = chart(CHART, describe_forecast(found), pictures.svg)
        drawn = (
            f'<figure class="card"><figcaption><h3>{TITLE}</h3><p>Filled marks are measured, rings are '
            f"forecast, bands are 90 % intervals.</p></figcaption>{picture}</figure>"
        )
    body = (
        f'<p class="quiet">{_TOLD}</p><div class="figures">{drawn}<div class="choices">{told}</div></div>'
        f'<div class="below">{card("forecast", _table(found))}</div>{notes(found.notes, "on the forecast")}'
    )
    return section("forecast", "Forecast", body, beside=downloads({"forecast.json": text}))


def _table(found: Forecast) -> str:
    heads = [
        ("Workers", ""),
        ("Time per epoch", "s"),
        ("Efficiency", "%"),
        ("Energy", "Wh a run"),
        ("Worker-hours", "h a run"),
        ("Chance of being the fastest", "%"),
    ]
    if found.worker_hour_price is not None:
        heads.insert(5, ("Cost", f"a run, at {number(found.worker_hour_price)} an hour"))
    head = "".join(f'<th scope="col">{name}<small>{unit}</small></th>' for name, unit in heads)
    rows, before = [], None
    for cell in found.cells:
        row = cell.row
        first = ' class="first"' if row.strategy != before else ""
        before = row.strategy
        cells = "".join(
            f'<td data-label="{escape(name)}{f" ({unit})" if unit else ""}"{kind}>{value}</td>'
            for (name, unit), (value, kind) in zip(heads[1:], _values(found, cell))
        )
        rows.append(
            f'<tr{first}><th scope="row">{escape(row.strategy)}<span class="narrow"> on {row.workers} workers'
            f'</span></th><td class="wide">{row.workers}</td>{cells}</tr>'
        )
    return (
        f'<table class="stack"><thead><tr><th scope="col" class="text">Strategy</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _values(found: Forecast, cell: ForecastCell) -> list[tuple[str, str]]:
    row = cell.row
    time = Interval(value=row.epoch_time_s, low=row.low_s, high=row.high_s)
    shown = [_bounds(time), _bounds(cell.efficiency, 100), _bounds(cell.energy_kwh, 1000)]
    shown.append(_bounds(cell.worker_hours))
    if found.worker_hour_price is not None:
        shown.append(_bounds(found.cost(cell)))
    rivals = [other for other in found.cells if other.row.workers == row.workers]
    shown.append((number(100 * cell.fastest), "") if len(rivals) > 1 else ("only one", ' class="none"'))
    return shown


def _bounds(interval: Interval | None, factor: float = 1.0) -> tuple[str, str]:
    if interval is None or interval.low is None or interval.high is None:
        return NOT_MEASURED, ' class="none"'
    low, high = number(interval.low * factor), number(interval.high * factor)
    return f"<span>{number(interval.value * factor)}<small>{low}–{high}</small></span>", ""
