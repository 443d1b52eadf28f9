"""The results as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_itwin.reports.cells import ResultRow
from lightning_itwin.reports.statistics import Interval

_HEAD = (
    "strategy",
    "workers",
    "repeats",
    "epoch time (95 %)",
    "speedup",
    "efficiency",
    "samples/s",
    "GPU use",
    "GPU energy",
    "comm. overhead",
    "energy",
    "CO2eq",
    "status",
)
_TEXT = {0, len(_HEAD) - 1}
NOT_MEASURED = "n/a"


def table(rows: Sequence[ResultRow], missing_gpu: str | None = None) -> str:
    """Give the results as a text table.

    Args:
        rows: rows of the results.
        missing_gpu: what to show for a GPU's metric that was not measured (default: ``"n/a (no GPU)"``, or
            ``"n/a"`` where another row has one).

    >>> print(table([ResultRow(strategy="ddp", workers=1, repeats=1, epoch_time_s=12.0, status="ok")]))
    strategy  workers  repeats  epoch time (95 %)  speedup  ...  energy  CO2eq  status
    --------  -------  -------  -----------------  -------  ...  ------  -----  ------
    ddp             1        1             12.0 s      n/a  ...     n/a    n/a  ok
    """
    if missing_gpu is None:
        seen = any(
            value is not None for row in rows for value in (row.gpu_utilization_percent, row.gpu_energy_wh)
        )
        missing_gpu = NOT_MEASURED if seen else "n/a (no GPU)"
    lines = [_HEAD, *(_line(row, missing_gpu) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in _TEXT else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def _line(row: ResultRow, missing_gpu: str) -> tuple[str, ...]:
    time = Interval(value=row.epoch_time_s or 0.0, low=row.epoch_time_low_s, high=row.epoch_time_high_s)
    return (
        row.strategy,
        str(row.workers),
        str(row.repeats),
        NOT_MEASURED if row.epoch_time_s is None else with_interval(time, " s"),
        measured(row.speedup, " x"),
        measured(None if row.efficiency is None else 100 * row.efficiency, " %"),
        measured(row.samples_per_s),
        measured(row.gpu_utilization_percent, " %", missing_gpu),
        measured(row.gpu_energy_wh, " Wh", missing_gpu),
        measured(row.communication_overhead_percent, " %"),
        measured(None if row.energy_kwh is None else 1000 * row.energy_kwh, " Wh"),
        measured(None if row.emissions_kg is None else 1000 * row.emissions_kg, " g"),
        row.status,
    )


def measured(value: float | None, unit: str = "", missing: str = NOT_MEASURED) -> str:
    """Give a number with its unit, or say that it was not measured.

    >>> measured(12.345, " s"), measured(None, " Wh", "n/a (no GPU)")
    ('12.3 s', 'n/a (no GPU)')
    """
    return missing if value is None else number(value) + unit


def with_interval(interval: Interval, unit: str = "") -> str:
    """Give a value and its bounds.

    >>> with_interval(Interval(value=12.1, low=11.83, high=12.47), " s")
    '12.1 s (11.8–12.5)'
    """
    if interval.low is None or interval.high is None:
        return number(interval.value) + unit
    return f"{number(interval.value)}{unit} ({number(interval.low)}–{number(interval.high)})"


def number(value: float | None) -> str:
    """Give a number with three digits that count, without an exponent where a reader can do without.

    >>> number(12.345), number(1234567.0), number(0.0), number(0.000123), number(99.96), number(None)
    ('12.3', '1234567', '0', '0.000123', '100', 'n/a')
    """
    if value is None:
        return NOT_MEASURED
    if value == 0:
        return "0"
    if abs(value) < 1e-6:
        return f"{value:.2e}"
    digits = 2 - math.floor(math.log10(abs(float(f"{value:.3g}"))))
    return f"{value:.{max(digits, 0)}f}"
