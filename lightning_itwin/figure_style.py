"""How figures look: one palette, light and dark, and SVG that follows the page's light."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from lightning_itwin.optional import require
from lightning_itwin.pages import picture

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
SIZE_PT, _WIDTH_IN = 10.5, 5.6


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """A figure and its words.

    Args:
        name: of its files.
        group: section of the page.
        title, caption: above it.
        description: what is to be seen, for who cannot see it.
        figure: the figure.
    """

    name: str
    group: str
    title: str
    caption: str
    description: str
    figure: Figure


def figure_card(drawing: Drawing) -> str:
    """Give the card of a drawing on a page."""
    svg = themed_svg(drawing.figure, drawing.name)
    return (
        f'<figure class="card"><figcaption><h3>{escape(drawing.title)}</h3><p>{escape(drawing.caption)}</p>'
        f"</figcaption>{picture(svg, drawing.description, 'drawing')}</figure>"
    )


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
    axes.tick_params(colors=QUIET, labelsize=SIZE_PT, length=0, pad=5)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(QUIET)
    axes.set_xlabel(across, color=INK, fontsize=SIZE_PT)
    axes.set_ylabel(up, color=INK, fontsize=SIZE_PT)


def legend(axes: Axes, columns: int = 1, where: str = "best", title: str | None = None) -> None:
    """Give axes a legend, if anything has a label."""
    if axes.get_legend_handles_labels()[0]:
        found = axes.legend(  # type: ignore[call-overload]
            frameon=False,
            fontsize=SIZE_PT - 0.5,
            labelcolor=INK,
            ncols=columns,
            loc=where,
            title=title or "",
        )
        found.get_title().set(color=QUIET, fontsize=SIZE_PT - 0.5)


def legend_above(axes: Axes, columns: int) -> None:
    """Give axes a legend above them, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            frameon=False,
            fontsize=SIZE_PT - 0.5,
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
    axes.text(x, y, text, color=color, fontsize=SIZE_PT - 1, **options)  # type: ignore[arg-type]


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
