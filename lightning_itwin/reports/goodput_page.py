"""Where the wall time of runs went, drawn: a bar and a row of numbers each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from lightning_itwin.pages import Term, card, glossary, notes, page, section
from lightning_itwin.records import find_runs
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.goodput import GoodputLedger, goodput_ledger, mean_ledger
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import number

PARTS = (
    Term(title="computation", definition="Training steps, but for what follows: the goodput."),
    Term(
        title="exposed communication",
        definition="Communication that no computation of the same rank covers. 0 where the "
        "CommunicationProfiler was not among the callbacks.",
    ),
    Term(
        title="straggler wait", definition="Exposed communication beyond that of the rank that exposes least."
    ),
    Term(title="data wait", definition="Waiting for the next batch."),
    Term(title="validation and checkpoint", definition="Validation, and saving checkpoints."),
    Term(
        title="start-up",
        definition="From the launch to the first training epoch: imports, data, model, strategy.",
    ),
    Term(
        title="idle",
        definition="The rest: hooks, logging, gaps within steps and between epochs, leaving the world.",
    ),
)
TERM = Term(
    title="Where the time went",
    definition="The wall time of a run, each second in one place; the mean over its ranks.",
    source="after Google's ml-goodput-measurement",
    url="https://github.com/AI-Hypercomputer/ml-goodput-measurement",
)


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """One line of the picture.

    Args:
        name: of a run, or of a row of the report.
        detail: what else is to be said of it, in a few words.
        ledger: where its wall time went.
    """

    name: str
    detail: str
    ledger: GoodputLedger


def goodput_page(folder: Path) -> str:
    """Give the page of every run at or below a folder, the newest first.

    Args:
        folder: what a sweep left, or any folder with logs of trainings.

    Raises:
        ReportError: there is no run, or none that told where its time went.
    """
    found, silent = [], []
    for run in find_runs(folder):
        ledger = goodput_ledger(run)
        name = run.folder.relative_to(folder).as_posix() if run.folder != folder else run.folder.name
        if ledger is None or run.manifest is None:
            silent.append(name)
            continue
        workers = run.manifest.world_size
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.manifest.started_unix_s))
        detail = f"{run.manifest.strategy} on {workers} worker{'' if workers == 1 else 's'} · {began}"
        found.append((run.manifest.started_unix_s, LedgerRow(name=name, detail=detail, ledger=ledger)))
    if not found:
        raise ReportError(
            f"no training below {folder} told where its time went. Put EpochTimer() (or GPUMonitor(), "
            "CommunicationProfiler(), CarbonTracker(), which bring it) among the Trainer's callbacks; it "
            "writes a row at the end of every epoch."
        )
    rows = [row for _, row in sorted(found, key=lambda pair: -pair[0])]
    told = notes([f"{name} has no row of its wall time" for name in silent], "on runs left out")
    return page(
        "Where the time went",
        "lightning_itwin goodput",
        [f"{len(rows)} run{'' if len(rows) == 1 else 's'}", str(folder)],
        (
            section("ledger", "Runs, the newest first", ledger_table("ledger", rows) + told),
            section("terms", "What the words mean", glossary(PARTS)),
        ),
        made_from="the records of the runs alone",
        style=ledger_style(),
    )


def ledger_section(study: Scalability) -> str:
    """Give the section of the scalability report: a row a strategy and number of workers, over its repeats.

    Args:
        study: what was measured.

    Returns:
        HTML; empty where no run told of its wall time.
    """
    rows = []
    for cell in study.cells:
        ledgers = [run.ledger for run in cell.counted if run.ledger is not None]
        if ledgers:
            repeats = f"mean of {len(ledgers)} run{'' if len(ledgers) == 1 else 's'}"
            rows.append(LedgerRow(name=cell.name, detail=repeats, ledger=mean_ledger(ledgers)))
    if not rows:
        return ""
    told = f'<p class="quiet">{escape(TERM.definition)}</p>'
    return section("ledger", TERM.title, told + ledger_table("ledger", rows))


def ledger_table(section_name: str, rows: Sequence[LedgerRow]) -> str:
    """Give a legend and a table: a bar of the shares, then the numbers, one row each.

    Args:
        section_name: id of the section that it stands in.
        rows: at least one.
    """
    legend = "".join(
        f'<li><span class="swatch part-{index}"></span>{escape(part.title)}</li>'
        for index, part in enumerate(PARTS)
    )
    heads = "".join(f'<th scope="col">{escape(part.title)}<small>%</small></th>' for part in PARTS)
    body = "".join(_row(row) for row in rows)
    table = (
        f'<table class="stack ledger"><thead><tr><th scope="col" class="text">Run</th>'
        f'<th scope="col">Wall time<small>s</small></th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )
    return f'<ul class="legend">{legend}</ul>{card(section_name, table)}'


def ledger_style() -> str:
    """Give the rules of CSS that :func:`ledger_table` needs."""
    return resources.files("lightning_itwin.reports").joinpath("goodput.css").read_text(encoding="utf-8")


def _row(row: LedgerRow) -> str:
    shares = list(row.ledger.percent().values())
    told = ", ".join(f"{part.title} {share:.1f} %" for part, share in zip(PARTS, shares))
    bar = "".join(
        f'<span class="part-{index}" style="width:{share:.3f}%" '
        f'title="{escape(part.title)} {share:.1f} %"></span>'
        for index, (part, share) in enumerate(zip(PARTS, shares))
    )
    cells = "".join(
        f'<td data-label="{escape(part.title)} (%)">{share:.1f}</td>' for part, share in zip(PARTS, shares)
    )
    return (
        f'<tr><th scope="row">{escape(row.name)}<small>{escape(row.detail)}</small>'
        f'<div class="bar" role="img" aria-label="{escape(told)}">{bar}</div></th>'
        f'<td data-label="Wall time (s)">{number(row.ledger.wall_s)}</td>{cells}</tr>'
    )
