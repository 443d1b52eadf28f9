"""The head and the place of a benchmark's page: what ran, when, on what."""

from __future__ import annotations

import datetime
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout, installed or not

from lightning_itwin.meters import host

RESULTS = Path(__file__).parent / "results"


def command_line() -> str:
    """Give the command that runs this benchmark as it is running now, from the repository."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def where(note: str = "") -> str:
    """Give the date, the machine, the versions and how busy the machine is.

    Args:
        note: what else the reader should know, such as the number of threads.
    """
    versions = ", ".join(f"{library} {version}" for library, version in host.library_versions().items())
    machine = f"{host.cpu_name()}, {host.cpu_cores()} cores" + (f", {note}" if note else "")
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    return f"{datetime.date.today()}, {machine}, {load}; {versions}"


def page(title: str, command: str, lines: Iterable[str], note: str = "") -> str:
    """Give a page: heading, command, machine, then the lines.

    Args:
        title: its heading.
        command: what makes it again, from the repository.
        lines: Markdown.
        note: see :func:`where`.
    """
    return "\n".join([f"# {title}", "", f"    {command}", "", where(note), "", *lines]).rstrip("\n") + "\n"


def write_page(name: str | Path, title: str, command: str, lines: Iterable[str], note: str = "") -> None:
    """Print a page and write it.

    Args:
        name: of the file in ``results/``, without its ending, or a path.
        title, command, lines, note: see :func:`page`.
    """
    text = page(title, command, lines, note)
    print(text)
    path = name if isinstance(name, Path) else RESULTS / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
