"""Maps: skill of every cell, today's warnings, and today's probability of drought, for a few leads each."""

# K map leads, M cells, L leads, P drought percentiles

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_itwin.figure_style import (
    ALERT,
    INK,
    LINE,
    NO_WARNING,
    QUIET,
    WARNING,
    WATCH,
    new_figure,
)
from lightning_itwin.forecasts.layout import ForecastGrid
from lightning_itwin.forecasts.lead_axis import shown_leads
from lightning_itwin.forecasts.scores import VerificationScores
from lightning_itwin.forecasts.warning_levels import LEVEL_NAMES, WarningRule
from lightning_itwin.optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WARNING_COLORS = (NO_WARNING, WATCH, WARNING, ALERT)
_GOOD, _BAD, _LIKELY = "#00957b", "#c8641a", "#d9480f"


def skill_map_figure(scores: VerificationScores, grid: ForecastGrid, name: str) -> Figure:
    """Draw the map of a score whose best is 1 and whose reference is 0, for up to four leads.

    Args:
        scores: with maps.
        grid: of the cells.
        name: of the score in ``scores.maps``.
    """
    maps = scores.maps[name]
    chosen = shown_leads(scores.map_leads)
    shades = _ramp(_BAD, _GOOD)

    def draw(axes: Axes, place: int) -> Any:
        values = on_grid(maps[chosen[place]], grid)
        return _cells(axes, grid, values, cmap=shades, vmin=-1, vmax=1)

    titles = [_title(int(scores.map_leads[number])) for number in chosen]
    figure, drawn, panels = _panels(grid, titles, draw)
    below = float(np.nanmin(maps, initial=0.0)) < -1
    _bar(figure, drawn, panels, "skill; below 0 is worse than the reference", "min" if below else "neither")
    return figure


def probability_map_figure(scores: VerificationScores, grid: ForecastGrid, number: int = 0) -> Figure:
    """Draw today's probability of values below a drought percentile, for up to four leads."""
    found = _latest(scores)
    chosen = shown_leads(scores.leads)
    shades = _ramp(None, _LIKELY)

    def draw(axes: Axes, place: int) -> Any:
        values = on_grid(found[:, chosen[place], number], grid)
        return _cells(axes, grid, values, cmap=shades, vmin=0, vmax=1)

    figure, drawn, panels = _panels(grid, [_title(int(scores.leads[lead])) for lead in chosen], draw)
    _bar(figure, drawn, panels, f"probability of values below P{scores.percentiles[number]}")
    return figure


def warning_map_figure(scores: VerificationScores, grid: ForecastGrid, rule: WarningRule) -> Figure:
    """Draw today's warning levels, for up to four leads."""
    colors, patches = (require(f"matplotlib.{name}", extra="drought") for name in ("colors", "patches"))
    levels = rule.levels(_latest(scores)).astype(float)
    chosen = shown_leads(scores.leads)
    shades = colors.ListedColormap(["none", *_WARNING_COLORS[1:]])

    def draw(axes: Axes, place: int) -> Any:
        level = levels[:, chosen[place]]
        values = on_grid(np.where(level < 0, np.nan, level), grid)
        return _cells(axes, grid, values, cmap=shades, vmin=-0.5, vmax=3.5)

    figure, _, _ = _panels(grid, [_title(int(scores.leads[lead])) for lead in chosen], draw)
    marks = [patches.Patch(fc=color, ec=QUIET, lw=0.5) for color in _WARNING_COLORS]
    figure.legend(
        marks, LEVEL_NAMES, loc="outside upper left", ncols=4, frameon=False, fontsize=10, labelcolor=INK
    )
    return figure


def _ramp(low: str | None, high: str) -> Any:
    """Give a scale of colours that fades to nothing at 0, so that it reads on light and on dark ground."""
    colors = require("matplotlib.colors", extra="drought")
    alpha = np.linspace(-1 if low else 0, 1, 256)
    shades = np.array([colors.to_rgba(high if value >= 0 else low) for value in alpha])
    shades[:, 3] = np.abs(alpha)
    return colors.ListedColormap(shades)


def _cells(axes: Axes, grid: ForecastGrid, values: np.ndarray, **look: Any) -> Any:
    """Draw cells over a ground that shows where there are any."""
    collections = require("matplotlib.collections", extra="drought")
    x, y = _edges(grid)
    ground = collections.PolyCollection(
        _runs(np.isfinite(values), x, y), fc=NO_WARNING, ec=NO_WARNING, lw=1.0
    )
    axes.add_collection(ground)
    return axes.pcolormesh(x, y, values, rasterized=True, **look)


def _runs(there: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[list[tuple[float, float]]]:
    """Give an outline for each run of cells in a row."""
    if x.ndim == 1:
        x, y = np.meshgrid(x, y)
    found = []
    for row, cells in enumerate(there):
        steps = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]]).astype(np.int8)))
        for begin, end in zip(steps[::2], steps[1::2]):
            corners = ((row, begin), (row, end), (row + 1, end), (row + 1, begin))
            found.append([(float(x[corner]), float(y[corner])) for corner in corners])
    return found


def on_grid(values: np.ndarray, grid: ForecastGrid) -> np.ndarray:
    """Put values of cells, (M,), on their map, (rows, columns); NaN where there is no cell."""
    lat, lon = np.asarray(grid.lat), np.asarray(grid.lon)
    shape = lat.shape if lat.ndim == 2 else (lat.size, lon.size)
    found = np.full(shape, np.nan)
    found[np.asarray(grid.row), np.asarray(grid.column)] = values
    return found


def _latest(scores: VerificationScores) -> np.ndarray:
    if scores.latest_probability is None:
        raise ValueError("These scores know no latest forecast: give cells to the verification.")
    return scores.latest_probability


def _title(lead: int) -> str:
    return "same day" if lead == 0 else f"{lead} day{'' if lead == 1 else 's'} ahead"


def _panels(
    grid: ForecastGrid, titles: list[str], draw: Callable[[Axes, int], Any]
) -> tuple[Figure, Any, list[Axes]]:
    """Draw maps side by side, two in a row."""
    lat, lon = np.asarray(grid.lat, dtype=float), np.asarray(grid.lon, dtype=float)
    stretch = 1 / max(np.cos(np.radians(float(lat.mean()))), 0.1)
    columns = min(2, len(titles))
    rows = -(-len(titles) // columns)
    tall = stretch * (np.ptp(lat) or 1) / (np.ptp(lon) or 1)
    height_in = float(np.clip(rows * (4.6 / columns * tall + 0.35) + 0.5, 2.4, 8.0))
    figure = new_figure(height_in, layout="compressed")
    panels = list(np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel())
    drawn = None
    for place, axes in enumerate(panels):
        if place >= len(titles):
            axes.set_visible(False)
            continue
        axes.set_aspect(stretch)
        axes.patch.set_alpha(0)
        axes.tick_params(colors=QUIET, labelsize=8.5, length=0)
        for spine in axes.spines.values():
            spine.set_color(LINE)
        axes.set_title(titles[place], color=INK, fontsize=10.5, loc="left")
        axes.locator_params(nbins=4)
        axes.xaxis.set_major_formatter("{x:g}°")
        axes.yaxis.set_major_formatter("{x:g}°")
        drawn = draw(axes, place)
    return figure, drawn, [axes for axes in panels if axes.get_visible()]


def _bar(figure: Figure, drawn: Any, panels: list[Axes], text: str, extend: str = "neither") -> None:
    bar = figure.colorbar(drawn, ax=panels, shrink=0.85, aspect=30, pad=0.02, extend=extend)
    bar.set_label(text, color=INK, fontsize=9.5)
    bar.ax.tick_params(colors=QUIET, labelsize=9, length=0)
    bar.ax.patch.set(facecolor=NO_WARNING, alpha=1)
    if bar.solids is not None:
        bar.solids.set(edgecolor="face", rasterized=True)
    bar.outline.set_edgecolor(LINE)


def _edges(grid: ForecastGrid) -> tuple[np.ndarray, np.ndarray]:
    """Give the corners of cells in x and y, from their centres."""
    lat, lon = np.asarray(grid.lat, dtype=float), np.asarray(grid.lon, dtype=float)
    if lat.ndim == 1:
        return _ends(lon), _ends(lat)
    return tuple(  # type: ignore[return-value]
        np.apply_along_axis(_ends, 1, np.apply_along_axis(_ends, 0, values)) for values in (lon, lat)
    )


def _ends(centres: np.ndarray) -> np.ndarray:
    """Give n + 1 ends of n intervals with these centres.

    >>> _ends(np.array([1.0, 2.0, 4.0]))
    array([0.5, 1.5, 3. , 5. ])
    """
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])
