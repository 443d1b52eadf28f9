"""Generated glitches beside true ones: their series and their Q-scans."""

# E events, S samples drawn, N samples of an event

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.figure_style import BLUE, INK, ORANGE, dress, legend_above, new_figure, note
from lightning_itwin.strain.q_transform import q_transform
from lightning_itwin.subtraction.report.scan_figure import draw_scan, energy_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Q = 8.0
_LOWEST_HZ = 15.0
_SHOWN_S = 0.2  # on each side of the middle


def samples_figure(truth: np.ndarray, samples: np.ndarray, sample_rate_hz: float) -> Figure:
    """Draw true glitches, and where 80 % of the samples lie that were drawn from their witnesses.

    Args:
        truth: whitened, (E, N).
        samples: whitened, (S, E, N).
        sample_rate_hz: sample rate.
    """
    figure = new_figure(1.0 + 1.45 * len(truth))
    rows = figure.subplots(len(truth), 1, sharex=True, squeeze=False)[:, 0]
    time_s = (np.arange(truth.shape[1]) - truth.shape[1] // 2) / sample_rate_hz
    for axes, true, drawn in zip(rows, truth, samples.swapaxes(0, 1)):
        dress(axes, "", "")
        low, middle, high = np.quantile(drawn, (0.1, 0.5, 0.9), axis=0)
        axes.fill_between(time_s, low, high, color=BLUE, alpha=0.35, lw=0, label="80 % of the samples")
        axes.plot(time_s, middle, color=BLUE, lw=1.2, label="their median")
        axes.plot(time_s, true, color=ORANGE, lw=0.9, ls="--", label="true")
        note(axes, 0.99, 0.86, f"SNR {np.linalg.norm(true):.0f}", transform=axes.transAxes, ha="right")
    legend_above(rows[0], 3)
    rows[-1].set_xlim(-_SHOWN_S, _SHOWN_S)
    rows[-1].set_xlabel("seconds from the loudest time", color=INK)
    figure.supylabel("whitened strain", color=INK, fontsize=10)
    return figure


def generated_scans_figure(columns: Mapping[str, np.ndarray], sample_rate_hz: float) -> Figure:
    """Draw Q-scans of glitches in the detector's noise, a column a kind, a row an event.

    Args:
        columns: whitened series with noise by title, (E, N) each.
        sample_rate_hz: sample rate.
    """
    count = min(map(len, columns.values()))
    figure = new_figure(1.0 + 1.5 * count)
    grid = figure.subplots(count, len(columns), sharex=True, sharey=True, squeeze=False)
    highest_hz = 0.95 * sample_rate_hz / 2 / (1 + np.sqrt(11.0) / _Q)
    for column, (title, series) in zip(grid.T, columns.items()):
        column[0].set_title(title, color=INK, fontsize=10)
        for axes, values in zip(column, series):
            scan = q_transform(
                values,
                sample_rate_hz,
                q=_Q,
                frequency_range_hz=(_LOWEST_HZ, highest_hz),
                rows=64,
                time_step_s=1 / 256,
            )
            scan = dataclasses.replace(scan, time_s=scan.time_s - len(values) / 2 / sample_rate_hz)
            image = draw_scan(axes, scan, float(scan.energy.max()))
            axes.set_xlim(-_SHOWN_S, _SHOWN_S)
            energy_bar(image, axes, shrink=0.9, pad=0.03)
    figure.supxlabel("seconds from the loudest time", color=INK, fontsize=10)
    figure.supylabel("Hz", color=INK, fontsize=10)
    return figure
