"""Figures of a verification by lead and probability: one function each, matplotlib's objects, no window."""

# L leads, P drought percentiles, D deciles

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_itwin.figure_style import (
    CARD,
    INK,
    LINE,
    MARKERS,
    QUIET,
    SERIES,
    dress,
    legend,
    legend_above,
    new_figure,
    note,
)
from lightning_itwin.forecasts.lead_axis import by_lead, shown_leads
from lightning_itwin.forecasts.scores import SEASONS, EventScores, VerificationScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_IN_BIN = 20


def skill_figure(scores: VerificationScores) -> Figure:
    """Draw the CRPS skill against every reference by lead."""
    figure, axes = _by_lead(scores.leads, "CRPS skill")
    for number, (name, values) in enumerate(scores.skill.items()):
        _line(axes, scores.leads, values, number, f"against {spoken(name)}")
    _zero(axes, "no better than the reference")
    _skill_limits(axes, list(scores.skill.values()))
    legend_above(axes, 2)
    return figure


def brier_figure(scores: VerificationScores) -> Figure:
    """Draw the Brier skill of each drought percentile by lead: against climatology, others dashed."""
    events = _events(scores)
    figure, axes = _by_lead(scores.leads, "Brier skill")
    for which, (name, values) in enumerate(events.skill.items()):
        for number, percentile in enumerate(scores.percentiles):
            label = f"P{percentile}, against {spoken(name)}"
            _line(axes, scores.leads, values[:, number], number, label, dashed=which > 0)
    _zero(axes, "no better than the reference")
    _skill_limits(axes, list(events.skill.values()))
    legend_above(axes, 2)
    return figure


def season_figure(scores: VerificationScores) -> Figure:
    """Draw the CRPS skill against the first reference by lead and season."""
    name, values = next(iter(scores.season_skill.items()))
    figure, axes = _by_lead(scores.leads, f"CRPS skill against {spoken(name)}")
    for number, season in enumerate(SEASONS):
        _line(axes, scores.leads, values[number], number, season)
    _zero(axes, "no better than the reference")
    _skill_limits(axes, [values])
    legend_above(axes, 4)
    return figure


def reliability_figure(scores: VerificationScores, number: int = 0) -> Figure:
    """Draw the reliability diagram of one drought percentile, and below the number of forecasts in a bin."""
    events = _events(scores)
    figure = new_figure(height_in=5.2)
    axes, counts = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    dress(axes, "", "share of forecasts in which it came")
    dress(counts, "forecast probability", "forecasts")
    axes.plot((0, 1), (0, 1), color=QUIET, lw=1)
    base = float(np.nanmean(events.base_rate[:, number]))
    axes.axhline(base, color=QUIET, lw=1, ls=(0, (2, 3)))
    note(axes, 0.99, base + 0.015, "share of all", ha="right")
    chosen = shown_leads(scores.leads)
    for place, lead in enumerate(chosen):
        held = events.reliability_count[lead, number]
        shown = held >= _LEAST_IN_BIN
        across = events.reliability_forecast[lead, number][shown]
        label = f"{scores.leads[lead]} d"
        axes.plot(across, events.reliability_observed[lead, number][shown], label=label, **_look(place))
        shift = (place - (len(chosen) - 1) / 2) * 0.02
        middle = (np.arange(len(held)) + 0.5) / len(held)
        counts.bar(middle + shift, held, width=0.018, color=SERIES[place % 4])
    counts.set_yscale("log")
    counts.tick_params(which="minor", length=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    legend(axes, where="upper left", title="lead")
    return figure


def roc_figure(scores: VerificationScores, number: int = 0) -> Figure:
    """Draw the ROC curves of one drought percentile, with their areas."""
    events = _events(scores)
    figure = new_figure(height_in=4.6)
    axes = figure.add_subplot()
    dress(axes, "false alarms (share of non-events)", "hits (share of events)")
    axes.plot((0, 1), (0, 1), color=QUIET, lw=1)
    note(axes, 0.6, 0.55, "no discrimination", rotation=34, rotation_mode="anchor")
    for place, lead in enumerate(shown_leads(scores.leads)):
        label = f"{scores.leads[lead]} d, area {events.roc_area[lead, number]:.2f}"
        alarms, hits = events.roc_false_alarms[lead, number], events.roc_hits[lead, number]
        axes.plot(alarms, hits, color=SERIES[place % 4], lw=2, ls=_DASHES[place % 4], label=label)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    legend(axes, where="lower right", title="lead")
    return figure


def pit_figure(scores: VerificationScores) -> Figure:
    """Draw PIT histograms: 1 everywhere if calibrated."""
    if scores.pit is None:
        raise ValueError("So few quantiles have no PIT.")
    figure = new_figure()
    axes = figure.add_subplot()
    dress(axes, "probability integral transform", "density")
    bins = scores.pit.shape[-1]
    edges = np.linspace(0, 1, bins + 1)
    axes.axhline(1, color=INK, lw=1, label="calibrated")
    for place, lead in enumerate(shown_leads(scores.leads)):
        label = f"{scores.leads[lead]} d"
        density = scores.pit[lead] * bins
        axes.stairs(density, edges, color=SERIES[place % 4], lw=2, ls=_DASHES[place % 4], label=label)
    highest = float(np.nanmax(scores.pit, initial=0.0)) * bins
    axes.set(xlim=(0, 1), ylim=(0, max(1.6, 1.1 * highest)))
    legend_above(axes, 5)
    return figure


def coverage_figure(scores: VerificationScores) -> Figure:
    """Draw the share of truths in central intervals by lead, also if issued in the driest decile."""
    figure, axes = _by_lead(scores.leads, "share of truths inside (%)")
    for number, share in enumerate(scores.coverages):
        axes.axhline(100 * share, color=SERIES[number], lw=1, alpha=0.6)
        values = 100 * scores.coverage[:, number]
        _line(axes, scores.leads, values, number, f"{100 * share:.0f} % interval")
        if scores.coverage_by_state is not None:
            driest = 100 * scores.coverage_by_state[0, :, number]
            label = "issued in the driest decile" if number == len(scores.coverages) - 1 else ""
            _line(axes, scores.leads, driest, number, label, dashed=True)
    axes.set_ylim(*_around(axes, 30, 100))
    legend_above(axes, 2)
    return figure


def coverage_by_state_figure(scores: VerificationScores) -> Figure:
    """Draw the coverage of the 80 % interval (or the middle one) by decile of the state at issue."""
    if scores.coverage_by_state is None:
        raise ValueError("The state at issue is not known.")
    which = int(np.abs(scores.coverages - 0.8).argmin())
    share = 100 * scores.coverages[which]
    figure = new_figure()
    axes = figure.add_subplot()
    dress(axes, "decile of the state at issue", f"truths in the {share:.0f} % interval (%)")
    deciles = np.arange(1, 11)
    axes.axhspan(share - 2, share + 2, color=LINE, lw=0)
    axes.axhline(share, color=INK, lw=1)
    for place, lead in enumerate(shown_leads(scores.leads)):
        values = 100 * scores.coverage_by_state[:, lead, which]
        axes.plot(deciles, values, label=f"{scores.leads[lead]} d", **_look(place))
    axes.set_xticks(deciles, ["driest", *[str(number) for number in deciles[1:-1]], "wettest"])
    axes.set_ylim(*_around(axes, share - 12, min(100.0, share + 12)))
    legend_above(axes, 4)
    return figure


def accuracy_figure(scores: VerificationScores) -> Figure:
    """Draw NSE and KGE of the median by lead."""
    figure, axes = _by_lead(scores.leads, "efficiency of the median")
    lines = [("NSE of anomalies", scores.leads, scores.anomaly.nse)]
    if scores.value is not None:
        lines += [("NSE, median of cells", scores.map_leads, scores.cell_nse)]
        lines += [("KGE, median of cells", scores.map_leads, scores.cell_kge)]
        lines += [("NSE, all cells together", scores.leads, scores.value.nse)]
    known = [(label, leads, values) for label, leads, values in lines if np.isfinite(values).any()]
    for number, (label, leads, values) in enumerate(known):
        _line(axes, leads, values, number, label)
    _zero(axes, "")
    _skill_limits(axes, [values for _, _, values in known])
    legend_above(axes, 2)
    return figure


_DASHES = ("-", (0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1.2, 1.2)))


def spoken(name: str) -> str:
    """Give the name of a reference in words.

    >>> spoken("damped_persistence")
    'damped persistence'
    """
    return name.replace("_", " ")


def _by_lead(leads: np.ndarray, up: str) -> tuple[Figure, Axes]:
    figure = new_figure()
    axes = figure.add_subplot()
    dress(axes, "", up)
    by_lead(axes, leads)
    return figure, axes


def _line(
    axes: Axes, leads: np.ndarray, values: np.ndarray, number: int, label: str, dashed: bool = False
) -> None:
    look = _look(number)
    if dashed:
        look |= {"ls": (0, (3, 1.5)), "mfc": CARD, "lw": 1.4}
    axes.plot(leads, values, label=label or None, clip_on=False, **look)


def _look(number: int) -> dict[str, Any]:
    color = SERIES[number % len(SERIES)]
    return {"color": color, "marker": MARKERS[number % len(MARKERS)], "ms": 5.5, "lw": 2, "mec": color}


def _zero(axes: Axes, text: str) -> None:
    axes.axhline(0, color=INK, lw=1)
    if text:
        right = axes.get_xlim()[1]
        note(axes, right, -0.015, text, ha="right", va="top")


def _skill_limits(axes: Axes, values: list[np.ndarray]) -> None:
    finite = [one[np.isfinite(one)] for one in values]
    lowest = min((float(one.min()) for one in finite if one.size), default=0.0)
    axes.set_ylim(max(-1.0, min(-0.1, 1.15 * lowest)), 1.0)


def _around(axes: Axes, low: float, high: float) -> tuple[float, float]:
    """Give limits that hold the wanted ones and all that is drawn."""
    bottom, top = axes.get_ylim()
    return min(low, bottom), min(101.0, max(high, top))


def _events(scores: VerificationScores) -> EventScores:
    if scores.events is None:
        raise ValueError("There are no drought probabilities in these scores.")
    return scores.events
