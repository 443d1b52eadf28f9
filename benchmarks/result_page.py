"""The head and the place of a benchmark's page: what ran, when, on what."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

from lightning_itwin.meters import host

RESULTS = Path(__file__).parent / "results"


def write_page(name: str, title: str, command: str, lines: Iterable[str]) -> None:
    """Print a page and write it to ``results/<name>.md``.

    Args:
        name: of the file.
        title: its heading.
        command: what makes it again, from the repository.
        lines: Markdown.
    """
    versions = ", ".join(f"{library} {version}" for library, version in host.library_versions().items())
    where = f"{datetime.date.today()}, {host.cpu_name()}, {host.cpu_cores()} cores; {versions}"
    text = "\n".join([f"# {title}", "", f"    {command}", "", where, "", *lines]) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
