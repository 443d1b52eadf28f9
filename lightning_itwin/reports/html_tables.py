"""The tables of the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from lightning_itwin.reports.cells import Cell
from lightning_itwin.reports.recommendation import Recommendation
from lightning_itwin.reports.run_values import RunValues
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import NOT_MEASURED, number

_STATUS = {"ok": "good", "partial": "warn", "failed": "bad"}


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of numbers.

    Args:
        title, unit: its head.
        cell: its value.
        factor: from the value's unit to the shown one.
        goal: of the recommendation that looks at this column; the recommended cell gets a star.
        bounds: 95 % interval, in the value's unit.
        gpu: whether it takes a GPU.
    """

    title: str
    unit: str
    cell: Callable[[Cell], float | None]
    factor: float = 1.0
    goal: str = ""
    bounds: Callable[[Cell], tuple[float | None, float | None]] | None = None
    gpu: bool = False


_RESULTS = (
    _Column(
        title="Time per epoch",
        unit="s",
        cell=lambda cell: cell.row.epoch_time_s,
        goal="shortest time",
        bounds=lambda cell: (cell.row.epoch_time_low_s, cell.row.epoch_time_high_s),
    ),
    _Column(
        title="Speedup",
        unit="×",
        cell=lambda cell: cell.row.speedup,
        bounds=lambda cell: (
            (cell.speedup_interval.low, cell.speedup_interval.high) if cell.speedup_interval else (None, None)
        ),
    ),
    _Column(
        title="Efficiency",
        unit="%",
        cell=lambda cell: cell.row.efficiency,
        factor=100,
        goal="best efficiency",
    ),
    _Column(title="Throughput", unit="samples/s", cell=lambda cell: cell.row.samples_per_s),
    _Column(
        title="Communication overhead", unit="%", cell=lambda cell: cell.row.communication_overhead_percent
    ),
    _Column(title="GPU utilisation", unit="%", cell=lambda cell: cell.row.gpu_utilization_percent, gpu=True),
    _Column(title="GPU energy", unit="Wh", cell=lambda cell: cell.row.gpu_energy_wh, gpu=True),
    _Column(
        title="Energy", unit="Wh", cell=lambda cell: cell.row.energy_kwh, factor=1000, goal="least energy"
    ),
    _Column(title="Carbon", unit="g CO2eq", cell=lambda cell: cell.row.emissions_kg, factor=1000),
)

_MORE = (
    _Column(title="Serial fraction", unit="Karp–Flatt", cell=lambda cell: cell.serial_fraction),
    _Column(title="Communication, exposed or hidden", unit="%", cell=lambda cell: cell.communication_percent),
    _Column(title="Waiting for stragglers", unit="%", cell=lambda cell: cell.communication_wait_percent),
    _Column(title="Waiting for data", unit="%", cell=lambda cell: cell.data_wait_percent),
    _Column(title="Profiler cost", unit="%", cell=lambda cell: cell.profiler_cost_percent),
    _Column(title="Energy an epoch", unit="Wh", cell=lambda cell: cell.epoch_energy_kwh, factor=1000),
    _Column(
        title="Energy per 1000 samples",
        unit="Wh",
        cell=lambda cell: cell.energy_kwh_per_1000_samples,
        factor=1000,
    ),
    _Column(title="Carbon an epoch", unit="g CO2eq", cell=lambda cell: cell.epoch_emissions_kg, factor=1000),
    _Column(
        title="Carbon per 1000 samples",
        unit="g CO2eq",
        cell=lambda cell: cell.emissions_kg_per_1000_samples,
        factor=1000,
    ),
    _Column(title="Energy from a sensor", unit="%", cell=lambda cell: cell.measured_percent),
)


def results_table(study: Scalability, recommendations: Iterable[Recommendation]) -> str:
    """Give the results, one row a strategy and number of workers; a star marks what is recommended."""
    chosen = {found.goal: (found.strategy, found.workers) for found in recommendations}
    return _table(study, _RESULTS, chosen, with_status=True)


def more_table(study: Scalability) -> str:
    """Give the numbers that have no column in the results."""
    return _table(study, _MORE, {}, with_status=False)


def runs_table(study: Scalability) -> str:
    """Give every run."""
    heads = (
        ("Run", "text"),
        ("Began", ""),
        ("Epochs<small>with warm-up</small>", ""),
        ("Time per epoch<small>s</small>", ""),
        ("Throughput<small>samples/s</small>", ""),
        ("Communication overhead<small>%</small>", ""),
        ("GPU energy<small>Wh</small>", ""),
        ("Energy<small>Wh</small>", ""),
        ("Carbon<small>g CO2eq</small>", ""),
        ("Status", ""),
    )
    labels = [head.partition("<")[0] for head, _ in heads]
    return (
        '<table class="stack"><thead><tr>'
        + "".join(f'<th scope="col" class="{kind}">{head}</th>' for head, kind in heads)
        + "</tr></thead><tbody>"
        + "".join(_run_row(run, labels, study) for run in study.runs)
        + "</tbody></table>"
    )


def _run_row(run: RunValues, labels: Sequence[str], study: Scalability) -> str:
    began = (
        time.strftime("%m-%d %H:%M:%S", time.localtime(run.manifest.started_unix_s))
        if run.manifest
        else "n/a"
    )
    values = [
        began,
        str(run.epochs) if run.epochs else NOT_MEASURED,
        number(run.epoch_time_s),
        number(run.samples_per_s),
        number(run.communication_overhead_percent),
        study.missing(gpu=True) if run.gpu_energy_wh is None else number(run.gpu_energy_wh),
        number(None if run.energy_kwh is None else 1000 * run.energy_kwh),
        number(None if run.emissions_kg is None else 1000 * run.emissions_kg),
    ]
    cells = "".join(
        f'<td data-label="{label}"{_quiet(value)}>{escape(value)}</td>'
        for label, value in zip(labels[1:], values)
    )
    return (
        f'<tr><th scope="row">{escape(run.name.removeprefix("records/"))}</th>{cells}'
        f'<td data-label="Status">{_chip(run.status)}</td></tr>'
    )


def _table(
    study: Scalability,
    columns: Sequence[_Column],
    chosen: Mapping[str, tuple[str | None, int | None]],
    *,
    with_status: bool,
) -> str:
    head = '<th scope="col" class="text">Strategy</th><th scope="col">Workers</th>'
    head += '<th scope="col">Repeats</th>' if with_status else ""
    head += "".join(
        f'<th scope="col">{escape(column.title)}<small>{escape(column.unit)}</small></th>'
        for column in columns
    )
    head += '<th scope="col">Status</th>' if with_status else ""
    rows, before = [], None
    for cell in study.cells:
        row = cell.row
        first = ' class="first"' if row.strategy != before else ""
        before = row.strategy
        workers = cell.name.removeprefix(row.strategy)
        told = f'<th scope="row">{escape(row.strategy)}<span class="narrow">{workers}</span></th>'
        told += f'<td class="wide">{row.workers}</td>'
        told += f'<td data-label="Repeats">{row.repeats}</td>' if with_status else ""
        told += "".join(
            _td(column, cell, chosen.get(column.goal) == (row.strategy, row.workers), study)
            for column in columns
        )
        told += f'<td data-label="Status">{_chip(row.status)}</td>' if with_status else ""
        rows.append(f"<tr{first}>{told}</tr>")
    return f'<table class="stack"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _td(column: _Column, cell: Cell, chosen: bool, study: Scalability) -> str:
    value = column.cell(cell)
    label = escape(f"{column.title} ({column.unit})")
    if value is None:
        missing = study.missing(gpu=column.gpu)
        return f'<td data-label="{label}" class="none">{missing}</td>'
    low, high = column.bounds(cell) if column.bounds else (None, None)
    bounds = "" if low is None or high is None else f"<small>{number(low)}–{number(high)}</small>"
    kind = ' class="best"' if chosen else ""
    return f'<td data-label="{label}"{kind}><span>{number(value * column.factor)}{bounds}</span></td>'


def _chip(status: str) -> str:
    return f'<span class="chip {_STATUS.get(status, "")}">{escape(status)}</span>'


def _quiet(value: str) -> str:
    return ' class="none"' if value.startswith(NOT_MEASURED) else ""
