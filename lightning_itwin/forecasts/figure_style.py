"""How figures look: one palette, light and dark, and SVG that follows the page's light."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, LINE, CARD = "#17202a", "#55606c", "#dfe4ea", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE = "#0a5c9e", "#c2410c", "#00735c", "#7b3f98"
MODERATE, SEVERE, EXTREME = "#a67c00", "#d2601a", "#a3172a"
NO_WARNING, WATCH, WARNING, ALERT = "#e6ebf0", "#f6d743", "#ee8a2c", "#b5202e"
SERIES = (BLUE, ORANGE, GREEN, PURPLE)  # of different lightness, told apart with any colour vision
MARKERS = ("o", "s", "^", "D")

# what a colour becomes on a dark page; the rest stays as it is
_DARK = {
    INK: "#e8ecf1",
    QUIET: "#a9b4c0",
    LINE: "#2d3742",
    CARD: "#182029",
    BLUE: "#7cc4f5",
    ORANGE: "#ff9d5c",
    GREEN: "#4cd6ad",
    PURPLE: "#d8a1f0",
    MODERATE: "#f2d13c",
    SEVERE: "#ff9f55",
    EXTREME: "#ff7b86",
    NO_WARNING: "#33404c",
}
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_SIZE_PT, _WIDTH_IN = 10.5, 5.6


def new_figure(height_in: float = 4.0, layout: str = "constrained") -> Figure:
    """Give an empty figure that no window and no global state knows; all have one width."""
    return require("matplotlib.figure", extra="drought").Figure(
        figsize=(_WIDTH_IN, height_in), layout=layout, facecolor=CARD
    )


def dress(axes: Axes, across: str = "", up: str = "") -> None:
    """Give axes their labels and quiet lines."""
    axes.set_facecolor(CARD)
    axes.set_axisbelow(True)
    axes.grid(color=LINE, lw=0.8)
    axes.tick_params(colors=QUIET, labelsize=_SIZE_PT, length=0, pad=5)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(QUIET)
    axes.set_xlabel(across, color=INK, fontsize=_SIZE_PT)
    axes.set_ylabel(up, color=INK, fontsize=_SIZE_PT)


def legend(axes: Axes, columns: int = 1, where: str = "best", title: str | None = None) -> None:
    """Give axes a legend, if anything has a label."""
    if axes.get_legend_handles_labels()[0]:
        found = axes.legend(  # type: ignore[call-overload]
            frameon=False,
            fontsize=_SIZE_PT - 0.5,
            labelcolor=INK,
            ncols=columns,
            loc=where,
            title=title or "",
        )
        found.get_title().set(color=QUIET, fontsize=_SIZE_PT - 0.5)


def legend_above(axes: Axes, columns: int) -> None:
    """Give axes a legend above them, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            frameon=False,
            fontsize=_SIZE_PT - 0.5,
            labelcolor=INK,
            ncols=columns,
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            borderaxespad=0.2,
            columnspacing=1.4,
            handletextpad=0.5,
        )


def note(axes: Axes, x: float, y: float, text: str, color: str = QUIET, **options: object) -> None:
    """Write a word into axes."""
    axes.text(x, y, text, color=color, fontsize=_SIZE_PT - 1, **options)  # type: ignore[arg-type]


def by_lead(axes: Axes, leads: np.ndarray) -> None:
    """Make the axis across one of leads: square roots of days, so that short leads have their room."""
    axes.set_xscale("function", functions=(_root, _square))
    axes.set_xticks(leads, [str(lead) for lead in _thinned(leads)])
    axes.set_xticks([], minor=True)
    axes.set_xlim(float(leads[0]) - 0.15, float(leads[-1]) * 1.02 + 0.5)
    axes.set_xlabel("lead (days)", color=INK, fontsize=_SIZE_PT)


def shown_leads(leads: np.ndarray, count: int = 4) -> list[int]:
    """Give the indices of some leads, first and last among them, closer together where they are short.

    >>> shown_leads(np.array([1, 3, 7, 14, 21, 30, 45, 60]))
    [0, 2, 5, 7]
    """
    if len(leads) <= count:
        return list(range(len(leads)))
    roots = np.cbrt(leads)
    wanted = np.linspace(roots[0], roots[-1], count)
    return sorted({int(np.abs(roots - root).argmin()) for root in wanted})


def settle(figure: Figure) -> Figure:
    """Lay a figure out once and for all: every picture of it would do it again, and that is slow."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def themed_svg(figure: Figure, name: str) -> str:
    """Give a figure as SVG whose colours follow the page's light, with letters that the reader's fonts draw.

    One picture serves a light and a dark page: a second one would double the page, and a white card on a dark
    page blinds. The colours of the palette become variables that a media query inside of the picture sets.

    Args:
        figure: drawn in the light palette.
        name: of the figure; the same figure gives the same text.
    """
    matplotlib, target = require("matplotlib", extra="drought"), io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    text = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", text, flags=re.DOTALL).strip()
    text = re.sub(r"(font: [^;\"]*?px) '[^;\"]*", lambda found: f"{found.group(1)} {_FONTS}", text)
    light, dark = [], []
    for number, (day, night) in enumerate(_DARK.items()):
        if day in text:
            text = text.replace(day, f"var(--c{number})")
            light.append(f"--c{number}:{day}")
            dark.append(f"--c{number}:{night}")
    style = (
        f"<style>:root{{{';'.join(light)}}}"
        f"@media (prefers-color-scheme: dark){{:root{{{';'.join(dark)}}}}}</style>"
    )
    start = text.index(">", text.index("<svg")) + 1
    return text[:start] + style + text[start:]


def png(figure: Figure, dots_per_inch: int = 150) -> bytes:
    """Give a figure as PNG in the light palette."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return target.getvalue()


def _root(days: np.ndarray) -> np.ndarray:
    return np.sign(days) * np.sqrt(np.abs(days))


def _square(roots: np.ndarray) -> np.ndarray:
    return np.sign(roots) * np.square(roots)


def _thinned(leads: np.ndarray) -> list[object]:
    """Leave out the labels of leads that stand too near to the one before."""
    roots = np.sqrt(leads.astype(float))
    least, last = 0.055 * max(roots[-1] - roots[0], 1e-9), -np.inf
    found: list[object] = []
    for lead, root in zip(leads, roots):
        near = root - last < least
        found.append("" if near else int(lead))
        last = last if near else root
    return found
