"""The page: totals, equivalents, places, charts and every run; what it can say without a script, it says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from html import escape
from importlib import resources

from lightning_itwin.pages import Term, card, glossary, json_script, notes, script, section
from lightning_itwin.pages import page as whole_page
from lightning_itwin.reports.sustainability import units
from lightning_itwin.reports.sustainability.data import page_data, place_words, projects_of
from lightning_itwin.reports.sustainability.equivalents import EQUIVALENTS
from lightning_itwin.reports.sustainability.gather import Energy
from lightning_itwin.reports.sustainability.run_energy import Place, RunEnergy
from lightning_itwin.reports.sustainability.totals import Totals, add_up
from lightning_itwin.reports.table import NOT_MEASURED, number

_TERMS = (
    Term(
        title="Net energy",
        definition="Energy of processors, memory and GPUs of all nodes of the chosen runs together. A run "
        "that was "
        "resumed counts the part that it trained itself.",
    ),
    Term(
        title="Net carbon",
        definition="Carbon dioxide equivalent: energy times the carbon intensity of the grid. Runs whose "
        "grid is "
        "not known are left out, and said to be.",
        source="codecarbon, methodology",
        url="https://mlco2.github.io/codecarbon/methodology.html",
    ),
    Term(
        title="Measured",
        definition="Share of the energy that came from a sensor: a GPU's counter, a processor's RAPL. The "
        "rest is a "
        "model of processor load and memory, off by tens of percent against a wall meter. codecarbon's own "
        "files "
        "do not tell it.",
        source="estimates deviate by up to 40 % from meters: arXiv:2509.22092",
        url="https://arxiv.org/abs/2509.22092",
    ),
    Term(
        title="Joule per sample",
        definition="Energy over samples trained on, of the runs that counted them.",
    ),
    Term(
        title="Energy over time",
        definition="Energy by when it was drawn, in UTC; between two readings it is taken as drawn evenly.",
    ),
)


def page(found: Energy, title: str | None = None) -> str:
    """Give the page.

    Args:
        found: the runs.
        title: its heading (default: "Energy and carbon").
    """
    data = page_data(found)
    return whole_page(
        title or "Energy and carbon",
        "lightning_itwin sustainability",
        _about(found),
        (
            _overview(found),
            _equivalents(add_up(found.runs)),
            _places(found.runs),
            _charts(),
            _last(found.runs),
            _projects(found),
            _runs(found),
            section("terms", "What the words mean", glossary(_TERMS)),
        ),
        made_from="the records of the runs and codecarbon's files alone",
        scripts=json_script("data", data) + "\n" + script(_resource("units.js") + _resource("page.js")),
        style=_resource("page.css"),
    )


def _about(found: Energy) -> list[str]:
    projects = len(projects_of(found))
    first = min(run.started_unix_s for run in found.runs)
    last = max(run.ended_unix_s for run in found.runs)
    days = [time.strftime("%Y-%m-%d", time.localtime(moment)) for moment in (first, last)]
    return [
        f"{len(found.runs):,} run{'' if len(found.runs) == 1 else 's'}",
        f"{projects} project{'' if projects == 1 else 's'}",
        " to ".join(dict.fromkeys(days)),
        ", ".join(str(folder) for folder in found.folders[:3]) + (" ..." if len(found.folders) > 3 else ""),
    ]


def _overview(found: Energy) -> str:
    total = add_up(found.runs)
    options = "".join(
        f'<option value="{place}">{escape(name)}</option>' for place, name in enumerate(projects_of(found))
    )
    chooser = (
        '<p class="chooser" hidden><label for="project">Project</label> <select id="project">'
        f'<option value="">all projects</option>{options}</select></p>'
    )
    carbon = NOT_MEASURED if total.emissions_kg is None else f"{number(total.emissions_kg)} kg"
    cards = (
        _card("energy", "Net energy", f"{number(total.energy_kwh)} kWh", _energy_why(total)),
        _card("carbon", "Net carbon", carbon, _carbon_why(total)),
        _card("joule", "Energy a sample", _joule(total), "of the runs that counted their samples"),
        _card("measured", "Measured", _measured(total), _measured_why(total)),
        _card("time", "Time", units.duration(total.duration_s), f"of {total.runs:,} runs together"),
    )
    body = f'{chooser}<div class="choices five">{"".join(cards)}</div>{notes(found.warnings)}'
    return section("overview", "In all", body)


def _card(name: str, title: str, value: str, why: str) -> str:
    return (
        f'<article class="card choice"><h3 class="goal">{escape(title)}</h3>'
        f'<div class="what" id="{name}">{escape(value)}</div>'
        f'<p class="why" id="{name}-why">{escape(why)}</p></article>'
    )


def _joule(total: Totals) -> str:
    joule = total.joule_per_sample
    return NOT_MEASURED if joule is None else f"{number(joule)} J"


def _energy_why(total: Totals) -> str:
    scaled = units.energy(total.energy_kwh)
    told = "of processors, memory and GPUs"
    return told if scaled.endswith(" kWh") else f"{scaled} {told}"


def _carbon_why(total: Totals) -> str:
    if total.emissions_kg is None:
        return "no grid is known; CarbonTracker(country_iso_code=...) names one"
    scaled = units.mass(total.emissions_kg)
    told = "CO2 equivalent" if scaled.endswith(" kg") else f"{scaled} of CO2 equivalent"
    if total.without_grid_kwh:
        told += f"; {units.energy(total.without_grid_kwh)} without a known grid are not in it"
    return told


def _measured(total: Totals) -> str:
    share = total.measured_percent
    return NOT_MEASURED if share is None else f"{number(share)} %"


def _measured_why(total: Totals) -> str:
    if total.untold_kwh:
        return f"by sensors, the rest by a model; of {units.energy(total.untold_kwh)} nobody told"
    return "by sensors, the rest by a model"


def _equivalents(total: Totals) -> str:
    cards = "".join(
        f'<article class="card choice"><div class="what"><span id="like-{item.name}">'
        f"{NOT_MEASURED if total.emissions_kg is None else number(item.amount(total.emissions_kg))}</span> "
        f'<small>{escape(item.unit)}</small></div><div class="value">{escape(item.title)}</div>'
        f'<p class="why">{escape(item.source)}. <a href="{escape(item.url)}" rel="noreferrer">Source</a></p>'
        "</article>"
        for item in EQUIVALENTS
    )
    return section("equivalents", "The same carbon is", f'<div class="choices">{cards}</div>')


def _places(runs: Iterable[RunEnergy]) -> str:
    by_place: dict[Place, list[RunEnergy]] = {}
    for run in runs:
        by_place.setdefault(run.place, []).append(run)
    totals = {place: add_up(found) for place, found in by_place.items()}
    rows = "".join(
        _place_row(place, total)
        for place, total in sorted(totals.items(), key=lambda item: -item[1].energy_kwh)
    )
    heads = ("Place", "Grid", "Where that comes from", "Runs", "Energy", "Carbon")
    return section("places", "Where the machines stand", card("places", _table(heads, rows, "place-rows")))


def _place_row(place: Place, total: Totals) -> str:
    words = place_words(place)
    known_kwh = total.energy_kwh - total.without_grid_kwh
    intensity = 1000 * (total.emissions_kg or 0.0) / known_kwh if known_kwh > 0 else None
    told = NOT_MEASURED if intensity is None else f"{number(intensity)} g/kWh"
    return (
        f'<tr><th scope="row">{escape(words["name"])}</th><td data-label="Grid">{told}</td>'
        f'<td class="text" data-label="Where that comes from">{escape(words["source"])}</td>'
        f'<td data-label="Runs">{total.runs:,}</td>'
        f'<td data-label="Energy">{units.energy(total.energy_kwh)}</td>'
        f'<td data-label="Carbon">{units.mass(total.emissions_kg)}</td></tr>'
    )


def _charts() -> str:
    figures = "".join(
        f'<figure class="card" id="figure-{name}"><figcaption><h3>{title}</h3><p id="told-{name}">{told}</p>'
        f'</figcaption><div class="bars" id="chart-{name}"></div></figure>'
        for name, title, told in (
            ("time", "Energy over time", ""),
            (
                "strategy",
                "Energy by strategy",
                "Net energy, and joule per sample where samples were counted.",
            ),
            ("project", "Energy by project", "Choose one above, or by its bar."),
            ("trial", "Energy by trial", ""),
        )
    )
    without = "<noscript><p>Charts and the list of runs need scripts.</p></noscript>"
    return section("charts", "Where the energy went", f'{without}<div class="figures">{figures}</div>')


def _last(runs: tuple[RunEnergy, ...]) -> str:
    last = max(reversed(runs), key=lambda run: round(run.ended_unix_s))  # as the script finds it
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.ended_unix_s))
    cards = (
        _card("last-name", "Run", last.name, f"{last.project}, ended {when}"),
        _card(
            "last-energy", "Energy", units.energy(last.energy_kwh), f"in {units.duration(last.duration_s)}"
        ),
        _card("last-carbon", "Carbon", units.mass(last.emissions_kg), place_words(last.place)["name"]),
    )
    return section("last", "The last run", f'<div class="choices">{"".join(cards)}</div>')


def _projects(found: Energy) -> str:
    rows = []
    by_project: dict[str, list[RunEnergy]] = {}
    for run in found.runs:
        by_project.setdefault(run.project, []).append(run)
    totals = sorted(
        ((name, add_up(runs)) for name, runs in by_project.items()), key=lambda item: -item[1].energy_kwh
    )
    for name, total in totals:
        cells = {
            "Runs": f"{total.runs:,}",
            "Time": units.duration(total.duration_s),
            "Energy": units.energy(total.energy_kwh),
            "Carbon": units.mass(total.emissions_kg),
            "Energy a sample": _joule(total),
            "Measured": _measured(total),
        }
        told = "".join(f'<td data-label="{label}">{value}</td>' for label, value in cells.items())
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{told}</tr>')
    heads = ("Project", "Runs", "Time", "Energy", "Carbon", "Energy a sample", "Measured")
    table = card("projects", _table(heads, "".join(rows), "project-rows"))
    return section("projects", "Projects", table)


def _runs(found: Energy) -> str:
    heads = (
        ("name", "Run"),
        ("strategy", "Strategy"),
        ("workers", "Workers"),
        ("start", "Began"),
        ("duration", "Time"),
        ("energy", "Energy"),
        ("carbon", "Carbon"),
        ("joule", "J a sample"),
        ("share", "Measured"),
    )
    head = "".join(
        f'<th scope="col"{" class=text" if key in ("name", "strategy") else ""}>'
        f'<button type="button" data-key="{key}">{label}</button></th>'
        for key, label in heads
    )
    table = f'<table class="stack" id="run-table"><thead><tr>{head}</tr></thead>'
    table += '<tbody id="run-rows"></tbody></table>'
    pager = (
        '<p class="pager" hidden><button type="button" id="earlier">Back</button> <span id="shown"></span> '
        '<button type="button" id="later">On</button></p>'
    )
    save = '<nav class="downloads"><a id="save" href="#runs" hidden>runs.csv</a></nav>'
    remarks = sorted({run.note for run in found.runs if run.note})
    counted = [f"{sum(run.note == note for run in found.runs):,} run(s): {note}" for note in remarks]
    body = card("runs", table) + pager + notes(counted, "on these runs")
    return section("runs", "All experiments", body, beside=save)


def _table(heads: Iterable[str], rows: str, name: str) -> str:
    text = ("Place", "Project", "Where that comes from")
    head = "".join(f'<th scope="col"{" class=text" if label in text else ""}>{label}</th>' for label in heads)
    return f'<table class="stack"><thead><tr>{head}</tr></thead><tbody id="{name}">{rows}</tbody></table>'


def _resource(name: str) -> str:
    folder = resources.files("lightning_itwin.reports.sustainability")
    return folder.joinpath(name).read_text(encoding="utf-8")
