"""The page of a study: one file that opens offline, while it runs and afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from lightning_itwin.hpo.report.drawing import Drawing
from lightning_itwin.hpo.report.energy_figures import energy_text
from lightning_itwin.hpo.report.headline import findings, headline, notes
from lightning_itwin.hpo.report.parameters import number
from lightning_itwin.hpo.report.pareto import Front
from lightning_itwin.hpo.report.picture import StudyPicture
from lightning_itwin.hpo.report.tables import best_table, failures, front_table, space_table
from lightning_itwin.hpo.report.words import ENERGY_TERMS, TERMS
from lightning_itwin.hpo.study_reading import StudyRecord
from lightning_itwin.pages import card, downloads, facts, finding, glossary, section
from lightning_itwin.pages import notes as notes_box
from lightning_itwin.pages import page as whole_page
from lightning_itwin.reports.vega import NOSCRIPT, Pictures, chart, chart_scripts, chart_style

_LARGEST_SVG = 150_000  # characters; beyond, the picture for paper is a PNG


def page(shown: StudyPicture, pictures: Mapping[str, Pictures], files: Mapping[str, str]) -> str:
    """Give the page.

    Args:
        shown: the study and all that was found of it.
        pictures: of its figures, by name.
        files: text by file name, offered for download.
    """
    study = shown.study
    cards = map(finding, findings(study, shown.summary, shown.course))
    body = [
        section(
            "summary",
            "In short",
            f'<p class="lead">{escape(headline(study, shown.summary))}</p>'
            f'<div class="choices">{"".join(cards)}</div>'
            + notes_box(notes(study, shown.summary, shown.axes, shown.configurations), "on this study"),
            beside=downloads(files),
        ),
        section("course", "How it went", _figures(shown.drawings, pictures, "course")),
        section("space", "What decides", _space(shown, pictures)),
    ]
    if shown.front is not None:
        body.insert(2, section("energy", "Loss and energy", _energy(shown, shown.front, pictures)))
    body.append(section("best", "The best ten", _best(shown)))
    failed = failures(shown.configurations, shown.axes)
    if failed:
        body.append(section("failures", "What failed, and why", failed))
    body.append(section("searched", "How it was searched", facts(_facts(study))))
    terms = TERMS + (ENERGY_TERMS if shown.front is not None else ())
    body.append(section("terms", "What the words mean", glossary(terms)))
    return whole_page(
        f"Hyperparameters of {study.name}",
        "lightning_itwin study report" + (" · still running" if shown.summary.running else ""),
        _about(shown),
        body,
        made_from="the rows of the study alone",
        scripts=chart_scripts({name: found.specification for name, found in pictures.items()}),
        style=chart_style() + _style(),
        head=NOSCRIPT,
    )


def _about(shown: StudyPicture) -> list[str]:
    count = shown.summary.configurations
    started = shown.course.started_unix_s
    return [
        f"{shown.study.plan.direction} {shown.study.plan.metric}",
        f"{count} configuration{'' if count == 1 else 's'} of {len(shown.axes)} hyperparameters",
        f"at most {shown.study.max_epochs} epochs each",
        "" if started is None else time.strftime("%Y-%m-%d", time.localtime(started)),
    ]


def _figures(
    drawings: Sequence[Drawing], pictures: Mapping[str, Pictures], group: str, kind: str = "", more: str = ""
) -> str:
    shown = "".join(_figure(one, pictures.get(one.name)) for one in drawings if one.group == group)
    return f'<div class="figures {kind}">{shown}{more}</div>' if shown else more


def _figure(drawing: Drawing, pictures: Pictures | None) -> str:
    kind = "card wide" if drawing.wide else "card"
    caption = f"<p>{escape(drawing.caption)}</p>" if drawing.caption and pictures else ""
    head = f"<figcaption><h3>{escape(drawing.title)}</h3>{caption}</figcaption>"
    if pictures is None:
        told = f'<p class="big">{escape(drawing.description)}</p>'
        return f'<figure class="{kind} none-card">{head}{told}</figure>'
    still = pictures.svg if len(pictures.svg) <= _LARGEST_SVG else pictures.png
    return f'<figure class="{kind}">{head}{chart(drawing.name, drawing.description, still)}</figure>'


def _space(shown: StudyPicture, pictures: Mapping[str, Pictures]) -> str:
    baseline = next((one.params for one in shown.configurations if one.baseline), {})
    table = space_table(shown.axes, shown.summary.best, baseline, shown.importance)
    slices = _figures(shown.drawings, pictures, "slices", "slices")
    told = "Each alone, in the colours of the learning curves; the star is the best."
    return (
        _figures(shown.drawings, pictures, "space", more=card("space", table))
        + f'<p class="quiet after">{told}</p>{slices}'
    )


def _energy(shown: StudyPicture, front: Front, pictures: Mapping[str, Pictures]) -> str:
    told = (
        f"{len(front.members)} of {len(front.candidates)} candidates are beaten by none in both; they beat "
        f"{front.hypervolume_percent:.1f} % of the hypervolume."
    )
    if front.knee is not None:
        best, knee = front.members[-1], front.knee
        told += (
            f" The knee is configuration {knee.configuration} after epoch {knee.epoch}: {number(knee.value)} "
            f"for {energy_text(knee.energy_kwh)}, where the best, {number(best.value)}, takes "
            f"{energy_text(best.energy_kwh)}."
        )
    return (
        f'<p class="lead">{escape(told)}</p>{_figures(shown.drawings, pictures, "energy")}'
        f'<div class="after">{card("energy", front_table(front, shown.study.plan.metric))}</div>'
    )


def _best(shown: StudyPicture) -> str:
    if not shown.order:
        return '<p class="quiet">No configuration has a value.</p>'
    return card("best", best_table(shown.study, shown.order, shown.axes, shown.summary.baseline))


def _facts(study: StudyRecord) -> dict[str, str]:
    plan = study.plan
    budget = [
        f"{value:g} {name}"
        for name, value in (("configurations", plan.trials), ("epochs", plan.epochs), ("hours", plan.hours))
        if value is not None
    ]
    settings = ", ".join(f"{name} {value}" for name, value in plan.policy_settings.items())
    workers = f"{plan.workers_per_trial} worker{'' if plan.workers_per_trial == 1 else 's'} each"
    if plan.workers_per_trial > 1:
        workers += f", {plan.strategy}"
    return {
        "Study": study.name,
        "Objective": f"{plan.direction} {plan.metric}",
        "Budget": " or ".join(budget),
        "Policy": plan.policy.replace("_", " ") + (f" ({settings})" if settings else ""),
        "Trainings at once": f"{plan.parallel_trials}, {workers}",
        "Seed": str(plan.seed),
        "Storage": study.url.rpartition("@")[2].rpartition("/")[2],  # no password, no path
        "Look closer": "optuna-dashboard and optuna.load_study open the same storage",
    }


def _style() -> str:
    return resources.files("lightning_itwin.hpo.report").joinpath("page.css").read_text(encoding="utf-8")
