"""Charts in Vega-Lite: the look of the house, pictures without a browser, and how a page draws them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from lightning_itwin.optional import require
from lightning_itwin.pages import json_script, picture, script

WIDTH, HEIGHT = 560, 300

# Colours that people with colour-blindness tell apart: M. Okabe and K. Ito, Color Universal Design (2008);
# lightened for a dark page.
_LIGHT_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b3488f", "#a67400", "#3a8fc4", "#555555")
_DARK_COLOURS = ("#56b4e9", "#ff9a52", "#2fc79b", "#e99bc9", "#f0c13a", "#9ad0f5", "#bbbbbb")

NOSCRIPT = "<noscript><style>.chart{display:none}.still{display:block}</style></noscript>"


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A chart in the forms in which it is shown.

    Args:
        specification: Vega-Lite, its width that of the container.
        svg, png: the picture in the light look.
    """

    specification: Mapping[str, Any]
    svg: str
    png: bytes


def theme(dark: bool = False) -> dict[str, Any]:
    """Give Vega-Lite's configuration: colours and fonts of the page.

    Charts may use its colours ``ink``, ``quiet``, ``faint``, ``paper`` and ``accent`` in expressions.
    """
    ink, quiet, grid = ("#e8ecf1", "#a9b4c0", "#323b46") if dark else ("#17202a", "#55606c", "#e3e7ec")
    colours = list(_DARK_COLOURS if dark else _LIGHT_COLOURS)
    named = {
        "ink": ink,
        "quiet": quiet,
        "faint": "#4a5563" if dark else "#c3cad2",
        "paper": "#182029" if dark else "#ffffff",
        "accent": colours[0],
    }
    return {
        "params": [{"name": name, "value": value} for name, value in named.items()],
        "background": "transparent" if dark else "#ffffff",
        "font": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif",
        "axis": {
            "labelColor": quiet,
            "titleColor": quiet,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "gridColor": grid,
            "domainColor": grid,
            "tickColor": grid,
            "titlePadding": 8,
        },
        "axisX": {"grid": False, "labelAngle": 0},
        "axisY": {"domain": False, "ticks": False},
        "legend": {
            "labelColor": ink,
            "labelFontSize": 12,
            "symbolSize": 110,
            "symbolStrokeWidth": 2,
            "orient": "top",
            "title": None,
            "columnPadding": 18,
            "columns": 3,
        },
        "title": {"color": ink, "fontSize": 15, "anchor": "start", "offset": 12},
        "range": {"category": colours, "ramp": [named["accent"], named["faint"]]},
        "rule": {"color": quiet},
        "text": {"color": quiet},
        "line": {"color": quiet},
        "point": {"color": ink},
        "view": {"stroke": None},
    }


def render(
    chart: Mapping[str, Any], title: str, height: int = HEIGHT, width: int = WIDTH, scale: float = 2
) -> Pictures:
    """Give a chart for a page, and its pictures.

    Args:
        chart: Vega-Lite without size, title and configuration.
        title: of the pictures; a page says it itself.
        height: of the plot in pixels.
        width: of the pictures' plot in pixels.
        scale: dots of the PNG a pixel.

    Raises:
        MissingExtraError: altair or vl-convert is not installed.
    """
    converter = require("vl_convert", extra="report")
    chart = {name: value for name, value in chart.items() if name != "config"}
    still = {**chart, "width": width, "height": height, "title": title, "config": theme()}
    wide = {**chart, "width": "container", "height": height}
    wide["autosize"] = {"type": "fit-x", "contains": "padding"}
    svg = converter.vegalite_to_svg(still, vl_version=_version())
    return Pictures(specification=wide, svg=svg, png=converter.svg_to_png(svg, scale=scale))


def chart(name: str, description: str, still: str | bytes) -> str:
    """Give the place of a chart in a page, and its picture for paper and where no script may run.

    Args:
        name: of the chart, as in :func:`chart_scripts`.
        description: what it shows, in words and numbers, for those who do not see it.
        still: the picture, SVG or PNG.
    """
    return (
        f'<div class="chart" role="img" aria-label="{escape(description, quote=True)}" '
        f'data-specification="spec-{name}" data-name="{name}"></div>{picture(still, description)}'
    )


def chart_scripts(specifications: Mapping[str, Mapping[str, Any]]) -> str:
    """Give the scripts that draw a page's charts; nothing where there is none.

    Args:
        specifications: Vega-Lite by name.
    """
    if not specifications:
        return ""
    parts = [json_script(f"spec-{name}", found) for name, found in specifications.items()]
    parts.append(json_script("themes", {"light": theme(), "dark": theme(dark=True)}))
    parts.append(script(scripts()))
    parts.append(script(_resource("page.js")))
    return "\n".join(parts)


def chart_style() -> str:
    """Give the rules of CSS that charts need."""
    return _resource("page.css")


@functools.cache
def scripts() -> str:
    """Give the JavaScript that draws specifications in a page: Vega, Vega-Lite and Vega-Embed."""
    return str(require("vl_convert", extra="report").javascript_bundle(vl_version=_version()))


def _version() -> str:
    altair = require("altair", extra="report")
    return ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def _resource(name: str) -> str:
    return resources.files("lightning_itwin.reports").joinpath(name).read_text(encoding="utf-8")
