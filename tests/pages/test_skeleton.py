"""The page as a whole."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import lightning_itwin.pages
from lightning_itwin.pages import page, script


def test_a_page_is_whole_and_quiet() -> None:
    text = page("A & B", "a report", ["2 runs", "", "ddp"], ["<p>Body</p>"], "runs alone")
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert "<title>A &amp; B</title>" in text
    assert "2 runs · ddp" in text
    assert 'lang="en"' in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("<h1>") == 1


def test_only_a_page_with_scripts_may_run_any() -> None:
    quiet = page("A", "", [], [], "")
    loud = page("A", "", [], [], "", scripts=script("1"))
    assert "script-src" not in quiet
    assert "script-src 'unsafe-inline'" in loud
    assert all("default-src 'none'" in text for text in (quiet, loud))


def test_the_style_loads_nothing() -> None:
    text = page("A", "", [], [], "", style=".x{color:red}")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert style.endswith(".x{color:red}")


def test_pages_need_the_standard_library_alone() -> None:
    for path in Path(lightning_itwin.pages.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                root = name.partition(".")[0]
                assert root in sys.stdlib_module_names or root == "lightning_itwin", (path.name, name)
