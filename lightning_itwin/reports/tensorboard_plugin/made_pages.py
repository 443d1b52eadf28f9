"""The pages of the tab: made when asked for, kept until their runs change."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from html import escape
from pathlib import Path

from lightning_itwin.optional import MissingExtraError
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.tensorboard_plugin.log_folders import Choice

HOW_TO_BEGIN = (
    "No training below this folder left records. Put one of our callbacks into a Trainer: "
    "Trainer(callbacks=[GPUMonitor(), CommunicationProfiler(), CarbonTracker()]), or run "
    "python -m lightning_itwin.bench --output DIR, and give TensorBoard the folder of its logs."
)


def goodput(folder: Path) -> str:
    """Make the page of where the time went."""
    from lightning_itwin.reports.goodput_page import goodput_page

    return goodput_page(folder)


def scalability(folder: Path) -> str:
    """Make the scalability report, aside: the folder of the logs stays as it is."""
    from lightning_itwin.reports.make import make_report

    with tempfile.TemporaryDirectory(prefix="itwin_report_") as aside:
        return make_report(folder, Path(aside)).html.read_text(encoding="utf-8")


def sustainability(folder: Path) -> str:
    """Make the page of energy and carbon."""
    from lightning_itwin.reports.sustainability.make import sustainability_page

    return sustainability_page([folder])


PAGES: dict[str, tuple[str, Callable[[Path], str]]] = {
    "goodput": ("Where the time went", goodput),
    "scalability": ("Scalability", scalability),
    "sustainability": ("Energy and carbon", sustainability),
}


class MadePages:
    """Makes a page once for each state of its runs; what cannot be made becomes a page that says why."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], tuple[float, str]] = {}

    def get(self, name: str, choice: Choice | None) -> str:
        """Give a page.

        Args:
            name: one of :data:`PAGES`.
            choice: the folder that it is of; None where there is none.
        """
        if choice is None:
            return message(PAGES[name][0], HOW_TO_BEGIN)
        with self._lock:  # one at a time: a report takes a core for seconds
            kept = self._made.get((name, choice.key))
            if kept is not None and kept[0] == choice.changed_unix_s:
                return kept[1]
            title, make = PAGES[name]
            try:
                made = make(choice.folder)
            except (ReportError, MissingExtraError, ValueError, OSError) as error:
                made = message(title, str(error))
            self._made[name, choice.key] = (choice.changed_unix_s, made)
            return made


def message(title: str, text: str) -> str:
    """Give a page that says one thing."""
    from lightning_itwin.pages import page, section

    return page(
        title,
        "lightning_itwin",
        [],
        (section("told", "Nothing to show yet", f"<p>{escape(text)}</p>"),),
        made_from="the records of the runs alone",
    )
