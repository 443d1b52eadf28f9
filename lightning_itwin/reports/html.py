"""The page: one file that opens offline, light or dark, on a phone, a wide screen or paper."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from lightning_itwin import __version__
from lightning_itwin.reports.comparability import batch_rule
from lightning_itwin.reports.figures import Figure, scripts, theme
from lightning_itwin.reports.html_facts import how_it_was_measured, what_the_words_mean
from lightning_itwin.reports.html_tables import more_table, results_table, runs_table
from lightning_itwin.reports.recommendation import Recommendation
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import with_interval

# the page says itself that nothing may be loaded from elsewhere; Vega compiles its expressions
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
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
    downloads: Mapping[str, str],
    environment: Mapping[str, Sequence[Any]],
    sweep: Mapping[str, Any],
    title: str | None = None,
) -> str:
    """Give the page.

    Args:
        study: what was measured.
        recommendations: what was recommended.
        figures: one a metric.
        downloads: text by file name, offered for download.
        environment: values by name of a fact about machine and software.
        sweep: what the sweep says that it ran; empty outside sweeps.
        title: heading (default: the workload's name).
    """
    workload = " and ".join(str(value) for value in environment.get("workload", ["a sweep"]))
    heading = title or f"Scalability of {workload}"
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(heading)}</title>",
            f"<style>\n{_resource('page.css')}</style>",
            "<noscript><style>.chart{display:none}.still{display:block}</style></noscript>",
            "</head>\n<body>",
            _top(study, heading, environment),
            "<main>",
            _choices(recommendations),
            _results(study, recommendations, downloads),
            _figures(figures),
            how_it_was_measured(study, environment, sweep),
            _runs(study),
            what_the_words_mean(),
            "</main>",
            f"<footer>Made by lightning_itwin {__version__} on {time.strftime('%Y-%m-%d %H:%M %Z')} from the "
            "records of the runs alone. Nothing on this page is loaded from elsewhere.</footer>",
            _scripts(figures),
            "</body>\n</html>\n",
        )
    )


def _top(study: Scalability, heading: str, environment: Mapping[str, Sequence[Any]]) -> str:
    counted, failed = len(study.counted), len(study.runs) - len(study.counted)
    facts = [
        ", ".join(str(value) for value in environment.get("device_name", [])),
        f"{study.scaling} scaling",
        batch_rule(study.counted),
        f"{counted} run{'' if counted == 1 else 's'}" + (f" and {failed} failed" if failed else ""),
    ]
    started = [run.manifest.started_unix_s for run in study.runs if run.manifest is not None]
    if started:
        facts.append(time.strftime("%Y-%m-%d", time.localtime(min(started))))
    return (
        '<header class="top"><p class="kicker">lightning_itwin scalability report</p>'
        f'<h1>{escape(heading)}</h1><p class="facts">{escape(" · ".join(fact for fact in facts if fact))}</p>'
        "</header>"
    )


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
            f'<p class="why">{escape(_sentence(found.why))}</p></article>'
        )
    return (
        '<section aria-labelledby="recommended"><h2 id="recommended">What to choose</h2>'
        f'<div class="choices">{"".join(cards)}</div></section>'
    )


def _results(
    study: Scalability, recommendations: Iterable[Recommendation], downloads: Mapping[str, str]
) -> str:
    links = "".join(
        f'<a download="{escape(name)}" href="{_data_uri(name, text)}">{escape(name)}</a>'
        for name, text in downloads.items()
    )
    notes = ""
    if study.warnings:
        items = "".join(f"<li>{escape(_sentence(note))}</li>" for note in study.warnings)
        count = len(study.warnings)
        shown = " open" if count <= 4 else ""
        notes = (
            f'<details class="notes"{shown}><summary>{count} note{"" if count == 1 else "s"} on these numbers'
            f"</summary><ul>{items}</ul></details>"
        )
    return (
        '<section aria-labelledby="results"><div class="title"><h2 id="results">Results</h2>'
        f'<nav class="downloads" aria-label="downloads">{links}</nav></div>'
        f"{_card('results', results_table(study, recommendations))}{notes}"
        '<details class="more"><summary>More numbers: serial fraction, waiting, cost of measuring, energy a '
        f"sample</summary>{_card('results', more_table(study))}</details></section>"
    )


def _figures(figures: Iterable[Figure]) -> str:
    shown = []
    for figure in figures:
        metric = figure.metric
        caption = (
            f"<figcaption><h3>{escape(metric.title)}</h3><p>{escape(_first(metric.term.definition))}</p>"
            "</figcaption>"
        )
        if figure.specification is None:
            shown.append(
                f'<figure class="card none-card">{caption}<p class="big">{escape(figure.description)}</p>'
                "</figure>"
            )
            continue
        label = escape(figure.description, quote=True)
        picture = base64.b64encode(figure.svg.encode()).decode()
        shown.append(
            f'<figure class="card">{caption}<div class="chart" role="img" aria-label="{label}" '
            f'data-specification="spec-{metric.name}" data-name="{metric.name}"></div>'
            f'<img class="still" alt="{label}" src="data:image/svg+xml;base64,{picture}"></figure>'
        )
    return (
        '<section aria-labelledby="figures"><h2 id="figures">Figures</h2>'
        '<p class="quiet">Vertical lines are 95 % intervals, small rings are single runs. '
        "Point at a mark for its numbers.</p>"
        f'<div class="figures">{"".join(shown)}</div></section>'
    )


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
    return (
        f'<section aria-labelledby="runs"><h2 id="runs">Every run</h2>{failures}'
        f"{_card('runs', runs_table(study))}</section>"
    )


def _scripts(figures: Iterable[Figure]) -> str:
    drawn = [figure for figure in figures if figure.specification is not None]
    if not drawn:
        return ""
    parts = [_json_script(f"spec-{figure.metric.name}", figure.specification or {}) for figure in drawn]
    parts.append(_json_script("themes", {"light": theme(), "dark": theme(dark=True)}))
    parts.append(f"<script>{_inline(scripts())}</script>")
    parts.append(f"<script>{_inline(_resource('page.js'))}</script>")
    return "\n".join(parts)


def _card(section: str, table: str) -> str:
    return f'<div class="card scroll" tabindex="0" role="region" aria-labelledby="{section}">{table}</div>'


def _json_script(name: str, value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _inline(script: str) -> str:
    """Keep a script's own text from ending its element."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _data_uri(name: str, text: str) -> str:
    kind = {"csv": "text/csv", "json": "application/json"}[name.rpartition(".")[2]]
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def _resource(name: str) -> str:
    return resources.files("lightning_itwin.reports").joinpath(name).read_text(encoding="utf-8")


def _first(text: str) -> str:
    head, stop, _ = text.partition(". ")
    return head + "." if stop else text


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", ")", "!", "?")) else text + "."
