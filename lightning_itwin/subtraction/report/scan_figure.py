"""Q-scans before, after, and of what was subtracted, beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.figure_style import INK, QUIET, dress, new_figure
from lightning_itwin.subtraction.report.evidence import ScanTriple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BRIGHTEST = 25.0


def scan_figure(triple: ScanTriple) -> Figure:
    """Draw three scans on one scale of energy."""
    figure = new_figure(5.4)
    rows = figure.subplots(3, 1, sharex=True, sharey=True)
    highest = max(float(np.quantile(scan.energy, 0.9995)) for scan in triple.scans)
    images = []
    for axes, scan, title in zip(rows, triple.scans, ("before", "after", "subtracted")):
        image = axes.pcolormesh(
            scan.time_s,
            scan.frequency_hz,
            scan.energy,
            cmap="viridis",
            vmin=0,
            vmax=min(max(highest, 8.0), _BRIGHTEST * 4),
            shading="nearest",
            rasterized=True,
        )
        images.append(image)
        dress(axes, "", "Hz")
        axes.grid(False)
        axes.set_yscale("log")
        ticks = [hz for hz in (20, 50, 100, 200, 500, 1000) if scan.frequency_hz[0] <= hz]
        ticks = [hz for hz in ticks if hz <= scan.frequency_hz[-1]]
        axes.set_yticks(ticks, [str(hz) for hz in ticks])
        axes.set_yticks([], minor=True)
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
    bar = figure.colorbar(images[0], ax=list(rows), shrink=0.7, pad=0.02)
    bar.set_label("energy (white noise: 1)", color=INK)
    bar.ax.tick_params(colors=QUIET, labelsize=9)
    bar.outline.set_visible(False)
    return figure
