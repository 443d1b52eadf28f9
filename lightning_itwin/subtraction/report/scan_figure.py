"""Q-scans: how one is drawn, and those before, after, and of what was subtracted, beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_itwin.figure_style import INK, QUIET, SIZE_PT, dress, new_figure
from lightning_itwin.strain.q_transform import QScan
from lightning_itwin.subtraction.report.evidence import ScanTriple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

_BRIGHTEST = 25.0
_FAINTEST = 8.0  # the scale reaches as far at least: white noise has 1
_TICKS_HZ = (20, 50, 100, 200, 500, 1000)


def scan_figure(triple: ScanTriple) -> Figure:
    """Draw three scans on one scale of energy."""
    figure = new_figure(5.4)
    rows = figure.subplots(3, 1, sharex=True, sharey=True)
    highest = max(float(np.quantile(scan.energy, 0.9995)) for scan in triple.scans)
    images = []
    for axes, scan, title in zip(rows, triple.scans, ("before", "after", "subtracted")):
        images.append(draw_scan(axes, scan, min(highest, _BRIGHTEST * 4)))
        axes.set_ylabel("Hz", color=INK, fontsize=SIZE_PT)
        axes.text(
            0.012,
            0.9,
            title,
            transform=axes.transAxes,
            color="#fefefe",  # stays white on a dark page
            fontsize=10,
            va="top",
            fontweight="bold",
        )
    rows[-1].set_xticks([-1, -0.5, 0, 0.5, 1])
    rows[-1].set_xlabel(f"seconds from GPS {triple.gps_s:.3f}", color=INK)
    bar = energy_bar(images[0], list(rows), shrink=0.7, pad=0.02)
    bar.set_label("energy (white noise: 1)", color=INK)
    return figure


def draw_scan(axes: Axes, scan: QScan, highest: float) -> Any:
    """Draw a scan over its own time and frequency.

    Args:
        axes: where to.
        scan: what.
        highest: energy of the brightest colour; 8 at least.

    Returns:
        The image, for a colour bar.
    """
    image = axes.pcolormesh(
        scan.time_s,
        scan.frequency_hz,
        scan.energy,
        cmap="viridis",
        vmin=0,
        vmax=max(_FAINTEST, highest),
        shading="nearest",
        rasterized=True,
    )
    dress(axes)
    axes.grid(False)
    axes.set_yscale("log")
    ticks = [hz for hz in _TICKS_HZ if scan.frequency_hz[0] <= hz <= scan.frequency_hz[-1]]
    axes.set_yticks(ticks, [str(hz) for hz in ticks])
    axes.set_yticks([], minor=True)
    return image


def energy_bar(image: Any, axes: Any, **place: float) -> Colorbar:
    """Put the scale of energy beside axes, as ``Figure.colorbar`` does."""
    bar = image.figure.colorbar(image, ax=axes, **place)
    bar.ax.tick_params(colors=QUIET, labelsize=8)
    bar.outline.set_visible(False)
    return bar
