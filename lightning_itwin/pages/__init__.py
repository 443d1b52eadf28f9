"""The skeleton of a page in one file: it opens offline, light or dark, on a phone, a wide screen or paper."""

from lightning_itwin.pages.parts import (
    Finding,
    Term,
    card,
    downloads,
    facts,
    finding,
    first_sentence,
    glossary,
    json_script,
    notes,
    picture,
    script,
    section,
    sentence,
)
from lightning_itwin.pages.skeleton import page

__all__ = [
    "Finding",
    "Term",
    "card",
    "downloads",
    "facts",
    "finding",
    "first_sentence",
    "glossary",
    "json_script",
    "notes",
    "page",
    "picture",
    "script",
    "section",
    "sentence",
]
