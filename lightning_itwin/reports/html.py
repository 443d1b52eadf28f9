"""The page: one file that opens offline, light or dark, on a phone, a wide screen or paper."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from lightning_itwin.pages import (
    card,
    downloads,
    first_sentence,
    notes,
    section,
    sentence,
)
from lightning_itwin.pages import page as whole_page
from lightning_itwin.reports.comparability import batch_rule
from lightning_itwin.reports.figures import Figure
from lightning_itwin.reports.forecast_figure import ShownForecast
from lightning_itwin.reports.goodput_page import ledger_section, ledger_style
from lightning_itwin.reports.html_facts import how_it_was_measured, what_the_words_mean
from lightning_itwin.reports.html_forecast import CHART as FORECAST
from lightning_itwin.reports.html_forecast import forecast_section
from lightning_itwin.reports.html_tables import more_table, results_table, runs_table
from lightning_itwin.reports.recommendation import Recommendation
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import with_interval
from lightning_itwin.reports.vega import NOSCRIPT, chart, chart_scripts, chart_style

_VERDICTS = {
    "decided": ("decided", "good"),
    "tie": ("tie", "warn"),
    "undecided": ("not decided", "warn"),
    "one repeat": ("not decided", "warn"),
    "alone": ("only one", ""),
    "n/a": ("n/a", ""),
}


def page(
    study: Scalability,
    recommendations: Sequence[Recommendation],
    figures: Sequence[Figure],
    files: Mapping[str, str],
    environment: Mapping[str, Sequence[Any]],
    sweep: Mapping[str, Any],
    title: str | None = None,
    forecast: ShownForecast | None = None,
) -> str:
    """Give the page.

    Args:
        study: what was measured.
        recommendations: what was recommended.
        figures: one a metric.
        files: text by file name, offered for download.
        environment: values by name of a fact about machine and software.
        sweep: what the sweep says that it ran; empty outside sweeps.
        title: heading (default: the workload's name).
        forecast: what unmeasured numbers of workers will give, with its figure.
    """
    workload = " and ".join(str(value) for value in environment.get("workload", ["a sweep"]))
    heading = title or f"Scalability of {workload}"
    return whole_page(
        heading,
        "lightning_itwin scalability report",
        _about(study, environment),
        (
            _choices(recommendations),
            _results(study, recommendations, files),
            _figures(figures),
            forecast_section(forecast, files.get("forecast.json", "")) if forecast is not None else "",
            ledger_section(study),
            how_it_was_measured(study, environment, sweep),
            _runs(study),
            what_the_words_mean(),
        ),
        made_from="the records of the runs alone",
        scripts=chart_scripts(
            {
                figure.metric.name: figure.specification
                for figure in figures
                if figure.specification is not None
            }
            | ({FORECAST: forecast.pictures.specification} if forecast and forecast.pictures else {})
        ),
        style=chart_style() + ledger_style(),
        head=NOSCRIPT,
    )


def _about(study: Scalability, environment: Mapping[str, Sequence[Any]]) -> list[str]:
    counted, failed = len(study.counted), len(study.runs) - len(study.counted)
    about = [
        ", ".join(str(value) for value in environment.get("device_name", [])),
        f"{study.scaling} scaling",
        batch_rule(study.counted),
        f"{counted} run{'' if counted == 1 else 's'}" + (f" and {failed} failed" if failed else ""),
    ]
    started = [run.manifest.started_unix_s for run in study.runs if run.manifest is not None]
    if started:
        about.append(time.strftime("%Y-%m-%d", time.localtime(min(started))))
    return about


def _choices(recommendations: Iterable[Recommendation]) -> str:
    cards = []
    for found in recommendations:
        word, kind = _VERDICTS[found.verdict]
        if found.strategy is None:
            what, value = '<div class="what">n/a</div>', ""
        else:
            on = escape(found.choice.removeprefix(found.strategy))
            what = f'<div class="what">{escape(found.strategy)}<small>{on}</small></div>'
            shown = with_interval(found.value) if found.value else ""
            value = (
                f'<div class="value">{escape(shown)} <span class="quiet">{escape(found.unit)}</span></div>'
            )
        cards.append(
            f'<article class="card choice"><div class="head"><h3 class="goal">{escape(found.goal)}</h3>'
            f'<span class="chip {kind}">{word}</span></div>{what}{value}'
            f'<p class="why">{escape(sentence(found.why))}</p></article>'
        )
    return section("recommended", "What to choose", f'<div class="choices">{"".join(cards)}</div>')


def _results(study: Scalability, recommendations: Iterable[Recommendation], files: Mapping[str, str]) -> str:
    files = {name: text for name, text in files.items() if name != "forecast.json"}
    body = (
        f"{card('results', results_table(study, recommendations))}{notes(study.warnings)}"
        '<details class="more"><summary>More numbers: serial fraction, waiting, cost of measuring, energy a '
        f"sample</summary>{card('results', more_table(study))}</details>"
    )
    return section("results", "Results", body, beside=downloads(files))


def _figures(figures: Iterable[Figure]) -> str:
    shown = []
    for figure in figures:
        metric = figure.metric
        caption = (
            f"<figcaption><h3>{escape(metric.title)}</h3><p>{escape(first_sentence(metric.term.definition))}</p>"
            "</figcaption>"
        )
        if figure.specification is None:
            shown.append(
                f'<figure class="card none-card">{caption}<p class="big">{escape(figure.description)}</p>'
                "</figure>"
            )
            continue
        drawn = chart(metric.name, figure.description, figure.svg)
        shown.append(f'<figure class="card">{caption}{drawn}</figure>')
    told = (
        '<p class="quiet">Vertical lines are 95 % intervals, small rings are single runs. '
        "Point at a mark for its numbers.</p>"
    )
    return section("figures", "Figures", f'{told}<div class="figures">{"".join(shown)}</div>')


def _runs(study: Scalability) -> str:
    failures = "".join(
        f'<div class="card failure"><strong>{escape(run.name)}</strong> failed: {escape(run.reason)}'
        + (
            f"<details><summary>last lines of {escape(run.log or 'its log')}</summary>"
            if run.log_tail
            else ""
        )
        + (f"<pre>{escape(run.log_tail)}</pre></details>" if run.log_tail else "")
        + "</div>"
        for run in study.runs
        if not run.ok
    )
    return section("runs", "Every run", failures + card("runs", runs_table(study)))
