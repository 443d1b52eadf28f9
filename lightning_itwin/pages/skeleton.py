"""A page from head to foot."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from lightning_itwin import __version__


def page(
    heading: str,
    kicker: str,
    about: Iterable[str],
    sections: Sequence[str],
    made_from: str,
    scripts: str = "",
    style: str = "",
    head: str = "",
) -> str:
    """Give a page that holds all it needs, and says itself that nothing may be loaded from elsewhere.

    Args:
        heading: of the page, and its title.
        kicker: what kind of page it is, above the heading.
        about: facts in a word or two, below the heading; empty ones are left out.
        sections: HTML of the page's sections, see :func:`lightning_itwin.pages.section`.
        made_from: what the page was made from, such as "the records of the runs alone".
        scripts: HTML of script elements, at the end; a page without them may run none.
        style: more rules of CSS, after the page's own.
        head: more HTML for the head.

    >>> page("A title", "a report", ["2 runs", ""], ["<p>Body</p>"], "nothing").count("<h1>A title</h1>")
    1
    """
    # Vega, where a page draws with it, compiles its expressions
    runs = "script-src 'unsafe-inline' 'unsafe-eval'; " if scripts else ""
    policy = f"default-src 'none'; {runs}style-src 'unsafe-inline'; img-src data: blob:"
    facts = escape(" · ".join(fact for fact in about if fact))
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(heading)}</title>",
            f"<style>\n{_style()}{style}</style>",
            f"{head}</head>\n<body>",
            f'<header class="top"><p class="kicker">{escape(kicker)}</p>'
            f'<h1>{escape(heading)}</h1><p class="facts">{facts}</p></header>',
            "<main>",
            *sections,
            "</main>",
            f"<footer>Made by lightning_itwin {__version__} on {time.strftime('%Y-%m-%d %H:%M %Z')} from "
            f"{escape(made_from)}. Nothing on this page is loaded from elsewhere.</footer>",
            scripts,
            "</body>\n</html>\n",
        )
    )


def _style() -> str:
    return resources.files("lightning_itwin.pages").joinpath("page.css").read_text(encoding="utf-8")
