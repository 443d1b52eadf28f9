"""Figures of posteriors and of calibration; matplotlib's objects, no window and no global state of ours."""

# E events, N samples, P parameters

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.inference.calibration import UniformityTest, coverage, uniformity
from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.inference.tarp import TarpTest
from lightning_itwin.optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BANDS = (0.997, 0.95, 0.68)
_LEAST_EFFECTIVE = 100
_LEVELS = np.linspace(0.0, 1.0, 101)


def corner_figure(posterior: Posterior, names: list[str] | None = None) -> Figure:
    """Draw every pair of parameters, weighted, with the truth where it is known.

    Weights that leave fewer than 100 effective samples draw nothing that could be read: the samples are drawn
    as they are then, and the figure says so.

    Args:
        posterior: samples and weights.
        names: parameters to draw; all if None.

    Raises:
        MissingExtraError: corner or matplotlib is not installed.
        ValueError: no sample weighs anything.
    """
    corner = require("corner", extra="gw")
    names = list(posterior.names) if names is None else names
    values_NP = np.stack([posterior[name] for name in names], axis=1)
    weights_N = posterior.weights
    keep_N = (weights_N > 0) & np.isfinite(values_NP).all(axis=1)
    if not keep_N.any():
        raise ValueError("No sample has a weight: there is nothing to draw.")
    values_NP, weights_N = values_NP[keep_N], weights_N[keep_N]
    weights_N, told = _readable(weights_N)
    truth = posterior.truth or {}
    ranges = []
    for name, column_N in zip(names, values_NP.T):
        ends = [column_N.min(), column_N.max()] + ([truth[name]] if name in truth else [])
        low, high = min(ends), max(ends)
        slack = 0.02 * (high - low) or 1e-6 * max(1.0, abs(high))
        ranges.append((low - slack, high + slack))
    figure: Figure = corner.corner(
        values_NP,
        weights=weights_N,
        range=ranges,
        labels=names,
        truths=[truth.get(name) for name in names] if truth else None,
        quantiles=(0.05, 0.5, 0.95),
        plot_datapoints=len(values_NP) < 20_000,
        fill_contours=len(values_NP) > 1_000,
        no_fill_contours=len(values_NP) <= 1_000,
        fig=_figure(2.0 * len(names), 2.0 * len(names), layout=None),
    )
    if told:
        figure.suptitle(told, fontsize=10 + 2 * len(names))
    return figure


def sky_figure(posterior: Posterior, num_bins: int = 72) -> Figure:
    """Draw the density of the sky position in Mollweide's equal-area projection, the truth as a star.

    Weights that leave too few effective samples are left out, as in :func:`corner_figure`.

    Args:
        posterior: with ``ra`` and ``dec``; fixed ones are no map.
        num_bins: cells in declination; twice as many in right ascension.

    Raises:
        ValueError: the posterior has no sky position.
    """
    if not {"ra", "dec"} <= set(posterior.names):
        raise ValueError("The posterior has no free ra and dec: there is no sky map.")
    figure = _figure(8.0, 4.5)
    axes = figure.add_subplot(projection="mollweide")
    # The cells have equal areas: even steps in ra and in the sine of dec.
    longitude_N = (posterior["ra"] + np.pi) % (2 * np.pi) - np.pi
    weights_N, told = _readable(posterior.weights)
    mass, longitudes, sines = np.histogram2d(
        longitude_N,
        np.sin(posterior["dec"]),
        bins=(2 * num_bins, num_bins),
        range=((-np.pi, np.pi), (-1.0, 1.0)),
        weights=weights_N,
    )
    axes.pcolormesh(longitudes, np.arcsin(sines), mass.T, cmap="Blues", rasterized=True)
    truth = posterior.truth or {}
    if {"ra", "dec"} <= set(truth):
        axes.plot((truth["ra"] + np.pi) % (2 * np.pi) - np.pi, truth["dec"], "*", color="tab:orange", ms=12)
    axes.grid(alpha=0.3)
    axes.set_title(f"{posterior.label}\n{told}" if told else posterior.label)
    return figure


def _readable(weights_N: np.ndarray) -> tuple[np.ndarray, str]:
    """Give the weights to draw with, and what to say where they are not the samples' own."""
    some_N = weights_N > 0
    effective = weights_N.sum() ** 2 / np.square(weights_N).sum()
    if effective >= min(_LEAST_EFFECTIVE, some_N.sum() / 2):
        return weights_N, ""
    told = f"samples without their weights, which leave only {effective:.1f} effective ones"
    return some_N.astype(weights_N.dtype), told


def pp_figure(ranks_EP: np.ndarray, names: list[str]) -> Figure:
    """Draw the P-P plot: the share of events whose truth has a rank below p, with bands of 68, 95 and 99.7 %.

    Args:
        ranks_EP: from :func:`calibration.ranks`, (E, P).
        names: of the parameters, P of them.
    """
    test = uniformity(ranks_EP, names)
    figure, axes = _square("credible level", "share of events below it")
    _bands(axes, len(ranks_EP))
    levels_E = np.arange(1, len(ranks_EP) + 1) / len(ranks_EP)
    for name, column_E, p_value in zip(names, np.asarray(ranks_EP).T, test.p_values):
        axes.step(np.sort(column_E), levels_E, where="post", lw=1, label=f"{name} ({p_value:.2g})")
    axes.set_title(f"{len(ranks_EP)} events, combined p = {test.combined:.3g}")
    axes.legend(fontsize="x-small", frameon=False)
    return figure


def coverage_figure(ranks_EP: np.ndarray, names: list[str]) -> Figure:
    """Draw how often the central interval of every level held the truth, with the bands of a P-P plot."""
    found = coverage(ranks_EP, _LEVELS[1:-1])
    figure, axes = _square("credible level", "share of events in the interval")
    _bands(axes, len(ranks_EP))
    for name, held_L in zip(names, found.held.T):
        axes.plot(found.levels, held_L, lw=1, label=name)
    axes.legend(fontsize="x-small", frameon=False)
    return figure


def tarp_figure(test: TarpTest) -> Figure:
    """Draw the expected coverage of TARP with its bands."""
    figure, axes = _square("credibility", "expected coverage")
    _bands(axes, len(test.credibilities))
    axes.plot(_LEVELS, test.expected_coverage(_LEVELS.tolist()), lw=1.5)
    axes.set_title(f"TARP, {len(test.credibilities)} events, p = {test.p_value:.3g}")
    return figure


def calibration_table(test: UniformityTest, ranks_EP: np.ndarray) -> str:
    """Write p and the coverage at 50 and 90 % of every parameter as text."""
    held = coverage(ranks_EP).held
    width = max(len(name) for name in (*test.names, "parameter"))
    lines = [f"{'parameter':{width}}  P-P p   50 %   90 %"]
    for name, p_value, (half, most) in zip(test.names, test.p_values, held.T):
        lines.append(f"{name:{width}}  {p_value:5.3f}  {100 * half:5.1f}  {100 * most:5.1f}")
    lines.append(f"{'combined':{width}}  {test.combined:5.3f}")
    return "\n".join(lines)


def _square(across: str, up: str) -> tuple[Figure, Axes]:
    figure = _figure(5.5, 5.5)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=across, ylabel=up)
    return figure, axes


def _bands(axes: Axes, events: int) -> None:
    stats = require("scipy.stats", extra="gw")
    for band in _BANDS:
        low_L, high_L = stats.binom.interval(band, events, _LEVELS)
        axes.fill_between(_LEVELS, low_L / events, high_L / events, color="0.5", alpha=0.15, lw=0)


def _figure(width_in: float, height_in: float, layout: str | None = "constrained") -> Figure:
    return require("matplotlib.figure", extra="gw").Figure(figsize=(width_in, height_in), layout=layout)
