"""The page's tables: the best ten, what failed, the space, the members of the front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.hpo.report.energy_figures import energy_text
from lightning_itwin.hpo.report.importance import Importance
from lightning_itwin.hpo.report.parameters import Parameter, number
from lightning_itwin.hpo.report.pareto import Front
from lightning_itwin.hpo.study_reading import StudyRecord

CHIPS = {
    "complete": ("trained to the end", "good"),
    "paused": ("paused", ""),
    "stopped": ("stopped", ""),
    "running": ("running", "warn"),
    "waiting": ("waiting", ""),
    "diverged": ("diverged", "bad"),
    "failed": ("failed", "bad"),
    "lost": ("lost", "bad"),
}
BEST = 10


def best_table(
    study: StudyRecord,
    order: Sequence[Configuration],
    axes: Sequence[Parameter],
    baseline: Configuration | None,
) -> str:
    """Give the table of the best ten, and of the baseline where it is not among them.

    Args:
        study: the rows.
        order: the configurations that have a value, the best first.
        axes: the hyperparameters, the most important first.
        baseline: the user's own configuration, where it has a value.
    """
    shown = list(enumerate(order[:BEST], start=1))
    if baseline is not None and all(one is not baseline for _, one in shown):
        shown.append((order.index(baseline) + 1, baseline))
    heads = ["configuration", study.plan.metric, "against the baseline", "best epoch", "trained", "state"]
    heads += [axis.label for axis in axes]
    rows = []
    for rank, one in shown:
        gain = study.improvement_percent(one.value, baseline.value if baseline else None)
        against = "" if gain is None else "—" if one is baseline else signed(gain, study.plan.direction)
        name = f"{rank}. configuration {one.number}" + (" (baseline)" if one.baseline else "")
        cells = [
            number(one.value),
            against,
            f"{one.best_epoch}",
            f"{one.reached} of {study.max_epochs} epochs",
        ]
        values = [axis.text(one.params[axis.key]) if axis.key in one.params else "" for axis in axes]
        rows.append((name, cells, one.state, values, rank > BEST))
    body = "".join(_best_row(heads, *row) for row in rows)
    return f'<table class="stack">{_head(heads)}<tbody>{body}</tbody></table>'


def _best_row(
    heads: Sequence[str], name: str, cells: Sequence[str], state: str, values: Sequence[str], apart: bool
) -> str:
    told = "".join(_cell(head, escape(cell)) for head, cell in zip(heads[1:5], cells))
    told += _cell(heads[5], chip(state))
    told += "".join(_cell(head, escape(value)) for head, value in zip(heads[6:], values))
    first = ' class="first"' if apart else ""
    return f'<tr{first}><th scope="row">{escape(name)}</th>{told}</tr>'


def failures(found: Iterable[Configuration], axes: Sequence[Parameter]) -> str:
    """Give what failed, diverged or was lost, with reasons; nothing where there is none."""
    told = []
    for one in found:
        if one.state not in ("failed", "diverged", "lost"):
            continue
        with_ = ", ".join(
            f"{axis.label} {axis.text(one.params[axis.key])}" for axis in axes if axis.key in one.params
        )
        log = f"trials/{one.rows[-1].number:04d}/world.log"
        told.append(
            f'<div class="card failure"><strong>Configuration {one.number}</strong> {one.state}'
            f"{_after(one.reached)}: {escape(one.reason or 'no reason was told')}"
            f'<br><small class="quiet">{escape(with_)} · its output: {log}</small></div>'
        )
    more = "".join(told[BEST:])
    if more:
        more = f'<details class="more"><summary>{len(told) - BEST} more</summary>{more}</details>'
    return "".join(told[:BEST]) + more


def _after(epochs: int) -> str:
    return f" after {epochs} epoch{'' if epochs == 1 else 's'}" if epochs else ""


def space_table(
    axes: Sequence[Parameter],
    best: Configuration | None,
    baseline: Mapping[str, object],
    importance: Sequence[Importance],
) -> str:
    """Give the table of what was tuned.

    Args:
        axes: the hyperparameters.
        best: the winner.
        baseline: the user's own hyperparameters; empty where the study has none.
        importance: of each, where it is known.
    """
    shares = {one.parameter.key: one for one in importance}
    heads = ["hyperparameter", "tried", "baseline", "best", "importance"]
    rows = []
    for axis in axes:
        share = shares.get(axis.key)
        told = "" if share is None else f"{share.percent:.0f} %"
        if share is not None and not share.above_chance:
            told += "<small>no more than chance</small>"
        values = [
            axis.text(params[axis.key]) if axis.key in params else "n/a"
            for params in (baseline, best.params if best else {})
        ]
        rows.append(
            f'<tr><th scope="row">{escape(axis.key)}</th>{_cell(heads[1], escape(axis.extent()))}'
            f"{_cell(heads[2], escape(values[0]))}{_cell(heads[3], f'<b>{escape(values[1])}</b>')}"
            f"{_cell(heads[4], told)}</tr>"
        )
    return f'<table class="stack">{_head(heads)}<tbody>{"".join(rows)}</tbody></table>'


def front_table(found: Front, metric: str) -> str:
    """Give the members of the front, ten of them at most."""
    heads = ["configuration", "after epoch", metric, "energy"]
    step = max(1, -(-len(found.members) // BEST))
    members = [one for index, one in enumerate(found.members) if index % step == 0 or one is found.knee]
    if found.members[-1] not in members:
        members.append(found.members[-1])
    rows = "".join(
        f'<tr><th scope="row">configuration {one.configuration}{" (knee)" if one is found.knee else ""}</th>'
        f"{_cell(heads[1], str(one.epoch))}{_cell(heads[2], number(one.value))}"
        f"{_cell(heads[3], energy_text(one.energy_kwh))}</tr>"
        for one in members
    )
    return f'<table class="stack">{_head(heads)}<tbody>{rows}</tbody></table>'


def chip(state: str) -> str:
    """Give a state as a chip."""
    word, kind = CHIPS[state]
    return f'<span class="chip {kind}">{word}</span>'


def signed(gain: float, direction: str) -> str:
    """Say a gain as a change of the value.

    >>> signed(34.2, "minimize"), signed(-3.0, "minimize"), signed(2.0, "maximize")
    ('−34.2 %', '+3.0 %', '+2.0 %')
    """
    change = -gain if direction == "minimize" else gain
    return f"{'−' if change < 0 else '+'}{abs(change):.1f} %"


def _head(heads: Sequence[str]) -> str:
    cells = "".join(
        f'<th scope="col"{" class=text" if index == 0 else ""}>{escape(head)}</th>'
        for index, head in enumerate(heads)
    )
    return f"<thead><tr>{cells}</tr></thead>"


def _cell(label: str, html: str) -> str:
    return f'<td data-label="{escape(label, quote=True)}">{html}</td>'
