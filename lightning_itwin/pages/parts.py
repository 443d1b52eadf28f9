"""Parts of a page: sections, cards, tables of facts, pictures, downloads, a glossary, scripts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_KINDS = {
    "csv": "text/csv;charset=utf-8",
    "json": "application/json;charset=utf-8",
    "yaml": "application/yaml;charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}


@dataclass(frozen=True, kw_only=True)
class Term:
    """A word of the page, what it means and who says so.

    Args:
        title: the word.
        definition: what it means.
        source: a citation, or "".
        url: of the source, or "".
    """

    title: str
    definition: str
    source: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found.

    Args:
        question: that it answers, in a few words.
        answer: the answer.
        unit: behind the answer.
        verdict: a word, and ``good``, ``warn`` or ``bad``; or None.
        why: a sentence.
    """

    question: str
    answer: str
    unit: str = ""
    verdict: tuple[str, str] | None = None
    why: str = ""


def section(name: str, heading: str, body: str, beside: str = "") -> str:
    """Give a section.

    Args:
        name: its id, which names it for a link and for a screen reader.
        heading: its heading.
        body: HTML.
        beside: HTML that stands beside the heading, such as downloads.
    """
    head = f'<h2 id="{name}">{escape(heading)}</h2>'
    if beside:
        head = f'<div class="title">{head}{beside}</div>'
    return f'<section aria-labelledby="{name}">{head}{body}</section>'


def card(section_name: str, table: str) -> str:
    """Give a card that scrolls by itself where a table is wider than the page, with the keyboard too."""
    return (
        f'<div class="card scroll" tabindex="0" role="region" aria-labelledby="{section_name}">{table}</div>'
    )


def finding(found: Finding) -> str:
    """Give the card of a finding."""
    chip = f'<span class="chip {found.verdict[1]}">{escape(found.verdict[0])}</span>' if found.verdict else ""
    unit = f"<small> {escape(found.unit)}</small>" if found.unit else ""
    why = f'<p class="why">{escape(sentence(found.why))}</p>' if found.why else ""
    return (
        f'<article class="card choice"><div class="head"><h3 class="goal">{escape(found.question)}</h3>{chip}'
        f'</div><div class="what">{escape(found.answer)}{unit}</div>{why}</article>'
    )


def facts(values: Mapping[str, str]) -> str:
    """Give a card of facts by name."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in values.items()
    )
    return f'<dl class="card pairs">{rows}</dl>'


def notes(found: Sequence[str], what: str = "on these numbers") -> str:
    """Give a box of notes, open where they are few; nothing where there is none."""
    if not found:
        return ""
    items = "".join(f"<li>{escape(sentence(note))}</li>" for note in found)
    count = f"{len(found)} note{'' if len(found) == 1 else 's'} {escape(what)}"
    shown = " open" if len(found) <= 4 else ""
    return f'<details class="notes"{shown}><summary>{count}</summary><ul>{items}</ul></details>'


def picture(svg_or_png: str | bytes, label: str, kind: str = "still") -> str:
    """Give a picture that is part of the page: SVG as text or PNG as bytes, with words for who cannot see it.

    Args:
        svg_or_png: the picture.
        label: what is to be seen on it.
        kind: its class.
    """
    name, content = (
        ("svg", svg_or_png.encode()) if isinstance(svg_or_png, str) else ("png", bytes(svg_or_png))
    )
    return f'<img class="{kind}" alt="{escape(label, quote=True)}" src="{_data_uri(name, content)}">'


def downloads(files: Mapping[str, str]) -> str:
    """Give links that save a text of the page, by the name of its file: ``.csv``, ``.json``, ``.yaml``."""
    links = "".join(
        f'<a download="{escape(name)}" href="{_data_uri(name, text.encode())}">{escape(name)}</a>'
        for name, text in files.items()
    )
    return f'<nav class="downloads" aria-label="downloads">{links}</nav>'


def glossary(terms: Iterable[Term]) -> str:
    """Give a card that says what words mean."""
    entries = []
    for term in terms:
        source = escape(term.source)
        if term.url:
            source = f'<a href="{escape(term.url)}" rel="noreferrer">{source}</a>'
        entries.append(
            f"<div><dt>{escape(term.title)}</dt><dd>{escape(term.definition)}"
            + (f"<small>Source: {source}</small>" if source else "")
            + "</dd></div>"
        )
    return f'<dl class="card terms">{"".join(entries)}</dl>'


def script(text: str) -> str:
    """Give a script element whose text cannot end it."""
    return "<script>" + text.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "</script>"


def json_script(name: str, value: Mapping[str, Any]) -> str:
    """Give a value that scripts of the page read by its name."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def first_sentence(text: str) -> str:
    """Give the first sentence of a text.

    >>> first_sentence("One. Two.")
    'One.'
    """
    head, stop, _ = text.partition(". ")
    return head + "." if stop else text


def sentence(text: str) -> str:
    """Give a text as a sentence.

    >>> sentence("no record of rank 1")
    'No record of rank 1.'
    """
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", ")", "!", "?")) else text + "."


def _data_uri(name: str, content: bytes) -> str:
    return f"data:{_KINDS[name.rpartition('.')[2]]};base64,{base64.b64encode(content).decode()}"
