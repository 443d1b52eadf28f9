"""One forecast of one cell, to look at."""

# D days of the past, L leads, Q levels

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_itwin.figure_style import (
    BLUE,
    EXTREME,
    INK,
    MODERATE,
    QUIET,
    SEVERE,
    dress,
    legend_above,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NEAR = (0.95, 0.8, 0.5)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DASHES = ("-", (0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)))


@dataclass(frozen=True, kw_only=True, eq=False)
class FanExample:
    """One forecast of one cell with its past and, where it is known, what came.

    Args:
        title: such as "47.2° N, 11.4° E, issued 2003-07-01".
        past: observed standardised anomalies up to the day of issue, which is the last, (D,); NaN is a gap.
        leads: days ahead, (L,).
        levels: of the quantiles, (Q,).
        quantiles: of the standardised anomaly, (L, Q).
        truth: what came on every day from 1 to the longest lead, (longest lead,), or None.
        thresholds: P20, P10 and P5 on the days of past and forecast, (D + longest lead, 3), or None.
        issued: date of issue, datetime64[D], or None: the axis then counts days from issue.
        unit: of all values.
    """

    title: str
    past: np.ndarray
    leads: np.ndarray
    levels: np.ndarray
    quantiles: np.ndarray
    truth: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    issued: np.datetime64 | None = None
    unit: str = "standardised anomaly"


def fan_figure(example: FanExample, past_days: int = 90) -> Figure:
    """Draw one forecast: past, bands of quantiles, what came, and the drought percentiles.

    Args:
        example: the forecast.
        past_days: how many days of the past are drawn.
    """
    figure = new_figure(height_in=4.3)
    axes = figure.add_subplot()
    longest = int(example.leads[-1])
    past = np.asarray(example.past, dtype=float)[-past_days:]
    before, after = np.arange(1 - len(past), 1), np.arange(1, longest + 1)
    dress(axes, "days from issue", example.unit)
    leads, quantiles = np.asarray(example.leads), np.asarray(example.quantiles, dtype=float)
    if leads[0] > 0 and len(past) and np.isfinite(past[-1]):  # the fan opens where the truth is known
        leads = np.concatenate([[0], leads])
        quantiles = np.concatenate([np.full((1, quantiles.shape[1]), past[-1]), quantiles])
    if example.thresholds is not None:
        _thresholds(axes, example, len(past), before, after)
    for number, (low, high) in enumerate(_bands(np.asarray(example.levels))):
        label = f"{100 * (example.levels[high] - example.levels[low]):.0f} %"
        look: dict[str, Any] = {"color": BLUE, "alpha": 0.16 + 0.14 * number, "lw": 0}
        axes.fill_between(leads, quantiles[:, low], quantiles[:, high], label=label, **look)
    middle = int(np.abs(np.asarray(example.levels) - 0.5).argmin())
    axes.plot(leads, quantiles[:, middle], color=BLUE, lw=2, label="median")
    axes.plot(before, past, color=INK, lw=1.8)
    if example.truth is not None:
        axes.plot(np.concatenate([[0], after]), np.concatenate([past[-1:], example.truth]), color=INK, lw=1.8)
    axes.plot([], [], color=INK, lw=1.8, label="what came" if example.truth is not None else "observed")
    axes.axvline(0, color=QUIET, lw=1, ls=(0, (2, 3)))
    axes.set_xlim(before[0] if len(before) else 0, longest)
    if example.issued is not None:
        _dates(axes, example.issued, int(before[0]) if len(before) else 0, longest)
    legend_above(axes, 5)
    return figure


def _bands(levels: np.ndarray) -> list[tuple[int, int]]:
    """Give the ends of up to three central intervals, near 95, 80 and 50 %, the widest first."""
    pairs = [(number, len(levels) - 1 - number) for number in range(len(levels) // 2)]
    widths = np.array([levels[high] - levels[low] for low, high in pairs])
    chosen = {int(np.abs(widths - near).argmin()) for near in _NEAR} if pairs else set()
    return [pairs[number] for number in sorted(chosen)]


def _thresholds(axes: Axes, example: FanExample, past: int, before: np.ndarray, after: np.ndarray) -> None:
    if example.thresholds is None:
        return
    lines = np.asarray(example.thresholds, dtype=float)[-(past + len(after)) :]
    days = np.concatenate([before, after])[-len(lines) :]
    for column, (color, name) in enumerate(((MODERATE, "P20"), (SEVERE, "P10"), (EXTREME, "P5"))):
        axes.plot(days, lines[:, column], color=color, lw=1.1, ls=_DASHES[column])
        at = len(days) - 1
        if np.isfinite(lines[at, column]):
            axes.annotate(
                name,
                (days[at], lines[at, column]),
                xytext=(4, 0),
                textcoords="offset points",
                color=color,
                fontsize=9,
                va="center",
                annotation_clip=False,
            )


def _dates(axes: Axes, issued: np.datetime64, first: int, last: int) -> None:
    """Write dates below days: the day of issue, and others at even distances from it."""
    step = next(days for days in (10, 20, 30, 60, 90, 180, 365, 10**6) if (last - first) / days <= 6)
    ticks = [day for day in range(-step * (-first // step), last + 1, step) if day >= first]
    dates = [str(issued.astype("datetime64[D]") + np.timedelta64(day, "D")) for day in ticks]
    axes.set_xticks(ticks, [f"{int(date[8:])} {_MONTHS[int(date[5:7]) - 1]}" for date in dates])
    axes.set_xlabel(f"issued {issued.astype('datetime64[D]')}", color=INK, fontsize=10.5)
