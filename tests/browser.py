"""A real browser for pages: a headless Chromium that opens an address, and what a page's scripts tell it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome on the PATH"),
]


def in_browser(test: Any) -> Any:
    """Mark a single test as one that needs a browser."""
    for mark in needs_browser:
        test = mark(test)
    return test


# a window has a least width of 500, a frame has not
_FRAME = """<!doctype html><iframe src="{address}" style="width:{width}px;height:1200px;border:0"></iframe>
<script>
window.addEventListener("message", (event) => {{
  const element = document.createElement("pre");
  element.id = "told";
  element.textContent = event.data;
  document.body.append(element);
}});
</script>"""


def dump_dom(address: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open an address, let its scripts run, and give the document that is there then.

    Args:
        address: of the page.
        folder: for the browser's own files.
        options: more of the browser's.
    """
    return subprocess.run(
        [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            *options,
            address,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def open_in_frame(page: str, folder: Path, width: int, *, dark: bool) -> dict[str, Any]:
    """Open a page in a frame of a width; give what a script of it posts to its parent, as JSON.

    Args:
        page: its HTML, with a script that calls ``parent.postMessage(JSON.stringify(...), "*")``.
        folder: for its file.
        width: of the frame in pixels.
        dark: whether the reader likes it dark.
    """
    folder.mkdir(exist_ok=True)
    copy, frame = folder / "page.html", folder / "frame.html"
    copy.write_text(page, encoding="utf-8")
    frame.write_text(_FRAME.format(address=copy.as_uri(), width=width), encoding="utf-8")
    told = dump_dom(
        frame.as_uri(),
        folder,
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        f"--window-size={width + 100},1300",
        "--virtual-time-budget=20000",
    )
    found = re.search(r'<pre id="told">(.*?)</pre>', told.stdout, flags=re.DOTALL)
    assert found, f"the page told nothing: {told.stderr[-2000:]}"
    result: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return result
