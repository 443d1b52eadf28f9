"""Figures of a subtraction: spectra, range, coherence, glitches, signals, veto, channels."""

# F frequencies, E epochs

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.figure_style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    dress,
    legend_above,
    new_figure,
    note,
)
from lightning_itwin.optional import require
from lightning_itwin.subtraction.report.evidence import (
    Coherences,
    Evidence,
    Injections,
    Spectra,
    Transients,
    VetoCurve,
)
from lightning_itwin.subtraction.report.numbers import asd_ratio_by_hz, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LOWEST_HZ = 10.0
_KINDS = {
    "witnessed": ("with a witness", BLUE, "o"),
    "unwitnessed": ("without a witness", ORANGE, "s"),
    "signal": ("signals", GREEN, "^"),
    "": ("loud moments", QUIET, "D"),
}


def asd_figure(spectra: Spectra) -> Figure:
    """Draw the ASD before and after, the ideal where it is known, and the ratio in bands of 1 Hz below."""
    figure = new_figure(5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 1])
    dress(upper, "", "strain ASD (1/√Hz)")
    dress(lower, "frequency (Hz)", "after / before")
    inside = (spectra.frequency_hz >= LOWEST_HZ) & (spectra.frequency_hz <= spectra.usable_hz)
    hz = spectra.frequency_hz[inside]
    upper.plot(hz, np.sqrt(spectra.before[inside]), color=ORANGE, lw=1.0, label="before")
    if spectra.ideal is not None:
        upper.plot(hz, np.sqrt(spectra.ideal[inside]), color=GREEN, lw=0.9, label="ideal subtraction")
    upper.plot(hz, np.sqrt(spectra.after[inside]), color=BLUE, lw=1.0, label="after")
    upper.set(xscale="log", yscale="log")
    upper.minorticks_off()
    legend_above(upper, 3)
    centre_hz, ratio = asd_ratio_by_hz(spectra)
    lower.axhline(1.0, color=INK, lw=1)
    lower.plot(centre_hz, ratio, color=BLUE, lw=1.1, drawstyle="steps-mid")
    if spectra.ideal is not None:
        _, ideal = asd_ratio_by_hz(spectra, spectra.ideal)
        lower.plot(centre_hz, ideal, color=GREEN, lw=0.8, drawstyle="steps-mid")
    lower.set_ylim(0, max(1.15, 1.05 * float(np.nanmax(ratio))))
    _decades(lower, hz)
    return figure


def range_figure(evidence: Evidence) -> Figure:
    """Draw the BNS range of each epoch before and after, and the gain below."""
    figure = new_figure(4.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    dress(upper, "", "BNS range (Mpc)")
    dress(lower, "", "gain (%)")
    minutes, across = _time(evidence.spectra.epoch_gps_s, evidence.span_s[0])
    shown = {"before": (ORANGE, "before"), "ideal": (GREEN, "ideal subtraction"), "after": (BLUE, "after")}
    for name, (color, label) in shown.items():
        if name in evidence.range_mpc:
            upper.plot(minutes, evidence.range_mpc[name], color=color, marker="o", ms=3, lw=1.4, label=label)
    gain = 100 * (evidence.range_mpc["after"] / evidence.range_mpc["before"] - 1)
    lower.axhline(0, color=INK, lw=1)
    lower.plot(minutes, gain, color=BLUE, marker="o", ms=3, lw=1.4)
    lower.set_ylim(min(-1.0, 1.2 * float(gain.min())), max(1.0, 1.2 * float(gain.max())))
    lower.set_xlabel(across, color=INK)
    values = np.concatenate(list(evidence.range_mpc.values()))
    spread = max(float(np.ptp(values)), 0.02 * float(values.max()))
    upper.set_ylim(float(values.min()) - 0.25 * spread, float(values.max()) + 0.15 * spread)
    legend_above(upper, 3)
    return figure


def drift_figure(evidence: Evidence) -> Figure:
    """Draw the ASD ratio over time, in three bands: a model that no longer fits shows here first."""
    figure = new_figure(3.6)
    axes = figure.add_subplot()
    minutes, across = _time(evidence.spectra.epoch_gps_s, evidence.span_s[0])
    dress(axes, across, "ASD after / before")
    spectra = evidence.spectra
    axes.axhline(1.0, color=INK, lw=1)
    top = spectra.usable_hz
    for color, (low, high) in zip((BLUE, PURPLE, GREEN), ((10.0, 50.0), (50.0, 150.0), (150.0, top))):
        inside = (spectra.frequency_hz >= low) & (spectra.frequency_hz < high)
        if inside.any():
            ratio = np.sqrt(spectra.epochs_after[:, inside] / spectra.epochs_before[:, inside]).mean(axis=1)
            axes.plot(
                minutes, ratio, color=color, marker="o", ms=3, lw=1.4, label=f"{low:.0f} to {high:.0f} Hz"
            )
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.1, axes.get_ylim()[1]))
    legend_above(axes, 3)
    return figure


def coherence_figure(coherences: Coherences, most: int = 12) -> Figure:
    """Draw the coherence with each witness by frequency, before and after, the most coherent on top."""
    order = np.argsort(-coherences.before.max(axis=1))[:most]
    figure = new_figure(1.4 + 0.24 * len(order) * 2)
    edges = np.geomspace(coherences.frequency_hz[0], coherences.frequency_hz[-1], 161)
    both = figure.subplots(2, 1, sharex=True)
    images = []
    for axes, values, title in zip(both, (coherences.before, coherences.after), ("before", "after")):
        binned = _highest_in_bins(coherences.frequency_hz, values[order], edges)
        image = axes.pcolormesh(
            edges,
            np.arange(len(order) + 1),
            binned,
            cmap="cividis",
            vmin=0,
            vmax=1,
            shading="flat",
            rasterized=True,
        )
        dress(axes, "", "")
        axes.grid(False)
        images.append(image)
        names = [short_name(coherences.names[at]) for at in order]
        axes.set_yticks(np.arange(len(order)) + 0.5, names, fontsize=8.5)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_title(title, loc="left", color=INK, fontsize=10.5)
    _decades(both[1], coherences.frequency_hz)
    both[1].set_xlabel("frequency (Hz)", color=INK)
    bar = figure.colorbar(images[0], ax=list(both), shrink=0.6, pad=0.02)
    bar.set_label("coherence", color=INK)
    bar.ax.tick_params(colors=QUIET, labelsize=9)
    bar.outline.set_visible(False)
    return figure


def glitch_figure(transients: Transients) -> Figure:
    """Draw the SNR of each loud moment after the subtraction over that before."""
    figure = new_figure(4.4)
    axes = figure.add_subplot()
    dress(axes, "SNR before", "SNR after")
    for kind, (label, color, marker) in _KINDS.items():
        inside = np.array([one == kind for one in transients.kind], dtype=bool)
        if inside.any():
            label = label if kind or not any(transients.kind) else "others"
            axes.scatter(
                transients.snr_before[inside],
                transients.snr_after[inside],
                s=26,
                c=color,
                marker=marker,
                alpha=0.75,
                lw=0,
                label=f"{label} ({int(inside.sum())})",
            )
    highest = 1.15 * float(max(transients.snr_before.max(), transients.snr_after.max()))
    lowest = 0.85 * min(float(transients.snr_after.min()), transients.quiet_snr)
    axes.plot([lowest, highest], [lowest, highest], color=INK, lw=1)
    axes.axhline(transients.quiet_snr, color=QUIET, lw=1, ls=(0, (4, 3)))
    note(axes, highest, transients.quiet_snr, "quiet data", ha="right", va="bottom")
    axes.set(xscale="log", yscale="log", xlim=(5.0, highest), ylim=(lowest, highest))
    for axis in (axes.xaxis, axes.yaxis):
        _plain(axis)
    legend_above(axes, 2)
    return figure


def injection_figure(injections: Injections) -> Figure:
    """Draw the matched-filter SNR of signals after over before, and the fraction of each subtracted."""
    figure = new_figure(4.2)
    left, *rest = figure.subplots(1, 1 if injections.software else 2, squeeze=False)[0]
    dress(left, "SNR before", "SNR after")
    left.scatter(injections.snr_before, injections.snr_after, s=26, c=BLUE, alpha=0.8, lw=0)
    values = np.concatenate([injections.snr_before, injections.snr_after])
    low, high = 0.9 * float(values.min()), 1.08 * float(values.max())
    left.plot([low, high], [low, high], color=INK, lw=1)
    left.set(xlim=(low, high), ylim=(low, high))
    for right in rest:
        _draw_subtracted(right, injections, (low, high))
    return figure


def _draw_subtracted(right: Axes, injections: Injections, limits: tuple[float, float]) -> None:
    dress(right, "SNR before", "subtracted (%)")
    percent, error = 100 * injections.subtracted, 100 / injections.snr_before
    right.axhline(0, color=INK, lw=1)
    right.errorbar(injections.snr_before, percent, error, fmt="o", ms=4, lw=1, color=BLUE)
    reach = max(5.0, 1.15 * float((np.abs(percent) + error).max()))
    right.set(xlim=limits, ylim=(-reach, reach))


def veto_figure(curve: VetoCurve) -> Figure:
    """Draw the efficiency of the veto against the time that it takes."""
    figure = new_figure(4.0)
    axes = figure.add_subplot()
    dress(axes, "time vetoed (%)", "vetoed (%)")
    colors = (BLUE, ORANGE, GREEN)
    for color, (name, efficiency) in zip(colors, curve.efficiency.items()):
        dead = 100 * np.concatenate([[0.0], curve.dead_time])
        caught = 100 * np.concatenate([[0.0], efficiency])
        axes.plot(dead, caught, color=color, lw=2, label=name, drawstyle="steps-post", clip_on=False)
    highest = max(1.0, 105 * float(curve.dead_time.max()))
    axes.plot([0, highest], [0, highest], color=INK, lw=1)
    axes.set(xlim=(0, highest), ylim=(0, 102))
    legend_above(axes, 2)
    return figure


def ranking_figure(ranking: list[tuple[str, float]], most: int = 20) -> Figure:
    """Draw the channels by what they contributed."""
    shown = ranking[:most]
    figure = new_figure(1.2 + 0.27 * len(shown))
    axes = figure.add_subplot()
    dress(axes, "share of the largest (%)", "")
    largest = max((value for _, value in shown), default=1.0) or 1.0
    axes.barh(range(len(shown)), [100 * value / largest for _, value in shown], color=BLUE, height=0.62)
    axes.set_yticks(range(len(shown)), [short_name(name) for name, _ in shown], fontsize=8.5)
    axes.grid(False, axis="y")
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    return figure


def _time(gps_s: np.ndarray, start_s: float) -> tuple[np.ndarray, str]:
    since_s = gps_s - start_s
    hours = float(since_s.max(initial=0.0)) > 3 * 3600
    unit = "hours" if hours else "minutes"
    return since_s / (3600 if hours else 60), f"{unit} since GPS {start_s:.0f}"


def _highest_in_bins(frequency_hz: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Give the highest value in each bin of frequencies; empty bins have the one of the nearest frequency."""
    nearest = np.abs(np.sqrt(edges[:-1] * edges[1:])[:, None] - frequency_hz).argmin(axis=1)
    found = values[:, nearest].copy()
    which = np.clip(np.searchsorted(edges, frequency_hz, side="right") - 1, 0, len(edges) - 2)
    for row, at in zip(values, range(len(values))):
        np.maximum.at(found[at], which, row)
    return found


def _decades(axes: Axes, frequency_hz: np.ndarray) -> None:
    axes.set_xscale("log")
    axes.set_xlim(float(frequency_hz[0]), float(frequency_hz[-1]))
    wanted = [hz for hz in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if hz <= frequency_hz[-1]]
    axes.set_xticks(wanted, [str(hz) for hz in wanted])
    axes.set_xticks([], minor=True)


def _plain(axis: Axis) -> None:
    ticker = require("matplotlib.ticker", extra="virgo")
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())
