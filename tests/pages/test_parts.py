"""Parts of a page hold what they are given and let nothing of it out."""

from __future__ import annotations

import base64

from lightning_itwin.pages import (
    Term,
    card,
    downloads,
    facts,
    glossary,
    json_script,
    notes,
    picture,
    script,
    section,
    sentence,
)

EVIL = '<b>"fire" & flood</b>'


def test_text_is_escaped_everywhere() -> None:
    parts = (
        section("name", EVIL, ""),
        facts({EVIL: EVIL}),
        notes([EVIL]),
        glossary([Term(title=EVIL, definition=EVIL, source=EVIL, url='https://x"y')]),
        downloads({'"<b>.csv': "a,b"}),
        picture("<svg/>", EVIL),
    )
    for part in parts:
        assert "<b>" not in part
        assert 'x"y' not in part


def test_a_section_is_named_by_its_heading() -> None:
    assert section("results", "Results", "<p></p>") == (
        '<section aria-labelledby="results"><h2 id="results">Results</h2><p></p></section>'
    )
    assert 'class="title"' in section("results", "Results", "", beside="<nav></nav>")


def test_a_card_is_reached_with_the_keyboard() -> None:
    assert 'tabindex="0" role="region" aria-labelledby="results"' in card("results", "<table></table>")


def test_downloads_hold_the_text() -> None:
    found = downloads({"a.csv": "x,ü\n"})
    content = found.partition("base64,")[2].partition('"')[0]
    assert base64.b64decode(content).decode() == "x,ü\n"
    assert "data:text/csv;charset=utf-8;base64," in found


def test_pictures_are_svg_or_png() -> None:
    assert "data:image/svg+xml;base64," in picture("<svg/>", "a line")
    assert "data:image/png;base64," in picture(b"\x89PNG", "a line", "drawing")
    assert 'class="drawing"' in picture(b"\x89PNG", "a line", "drawing")


def test_many_notes_are_closed_and_none_are_nothing() -> None:
    assert notes([]) == ""
    assert '<details class="notes" open><summary>1 note on these numbers' in notes(["one"])
    assert " open>" not in notes(["one"] * 5)


def test_a_script_cannot_be_ended_by_its_text() -> None:
    assert script("x = '</script><!--'") == "<script>x = '<\\/script><\\!--'</script>"
    assert json_script("data", {"x": "</script>"}).count("</script>") == 1


def test_a_sentence_ends() -> None:
    assert sentence("no record (of rank 1)") == "No record (of rank 1)"
