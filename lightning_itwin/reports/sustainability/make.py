"""Makes the sustainability page of some folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.records.manifest import write_text
from lightning_itwin.reports.sustainability.gather import Energy, gather_energy
from lightning_itwin.reports.sustainability.page import page


def sustainability_page(folders: Sequence[Path], title: str | None = None) -> str:
    """Give the page of every run at or below some folders, as HTML.

    Args:
        folders: folders of logs: of trainings, sweeps, studies, or of other tools that use codecarbon.
        title: its heading (default: "Energy and carbon").

    Raises:
        ReportError: a folder is not there, or there is no energy in any of them.
    """
    return page(gather_energy(folders), title)


def write_sustainability(folders: Sequence[Path], output: Path, title: str | None = None) -> Energy:
    """Write the page; a reader sees the old one or the new one.

    Args:
        folders: see :func:`sustainability_page`.
        output: the file.
        title: see :func:`sustainability_page`.

    Raises:
        ReportError: a folder is not there, or there is no energy in any of them.
        OSError: the page cannot be written.
    """
    found = gather_energy(folders)
    write_text(output, page(found, title))
    return found
