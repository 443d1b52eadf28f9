"""What the page's script draws from: runs as columns, and energy over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lightning_itwin.reports.sustainability.equivalents import EQUIVALENTS
from lightning_itwin.reports.sustainability.gather import Energy
from lightning_itwin.reports.sustainability.run_energy import Place


def page_data(found: Energy) -> dict[str, Any]:
    """Give the data; names that stand in many runs are numbers of a list.

    Args:
        found: the runs.
    """
    runs = found.runs
    projects = projects_of(found)
    strategies = _names(run.strategy for run in runs)
    places = list(dict.fromkeys(run.place for run in runs))
    studies = _names(run.study for run in runs if run.study)
    numbers = {name: number for number, name in enumerate(projects)}
    of_place = {place: number for number, place in enumerate(places)}
    return {
        "projects": projects,
        "strategies": strategies,
        "places": [place_words(place) for place in places],
        "studies": study_names(studies),
        "equivalents": {item.name: item.emissions_kg for item in EQUIVALENTS},
        "runs": {
            "name": [run.name for run in runs],
            "project": [numbers[run.project] for run in runs],
            "strategy": _numbered(strategies, (run.strategy for run in runs)),
            "place": [of_place[run.place] for run in runs],
            "study": _numbered(studies, (run.study for run in runs)),
            "trial": [run.trial for run in runs],
            "workers": [run.workers for run in runs],
            "start": [round(run.started_unix_s) for run in runs],
            "end": [round(run.ended_unix_s) for run in runs],
            "duration": [_short(run.duration_s) for run in runs],
            "energy": [_short(run.energy_kwh) for run in runs],
            "carbon": [_short(run.emissions_kg) for run in runs],
            "measured": [_short(run.measured_kwh) for run in runs],
            "samples": [run.samples for run in runs],
        },
        "time": {
            "width": found.timeline.width_s,
            "bins": [
                [numbers[project], start, _short(kwh)]
                for project in found.timeline.projects
                if project in numbers
                for start, kwh in found.timeline.bins(project).items()
            ],
        },
    }


def projects_of(found: Energy) -> list[str]:
    """Give the projects, by name."""
    return sorted({run.project for run in found.runs}, key=str.casefold)


def study_names(folders: Sequence[str]) -> list[str]:
    """Give short names of the folders of studies that still tell them apart.

    >>> study_names(["/logs/a/study", "/logs/b/study"]), study_names(["/logs/a/study"])
    (['a/study', 'b/study'], ['study'])
    """
    for parts in range(1, 1 + max((folder.count("/") for folder in folders), default=0)):
        names = ["/".join(folder.split("/")[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return list(folders)


def place_words(place: Place) -> dict[str, str]:
    """Give a place in words."""
    name = place.country or place.country_iso_code or "unknown"
    if place.country and place.country_iso_code:
        name = f"{place.country} ({place.country_iso_code})"
    parts = [part for part in (name, place.region, place.cloud) if part]
    return {"name": ", ".join(parts), "source": place.grid_source or "no grid is known"}


def _names(names: Iterable[str]) -> list[str]:
    return sorted(set(names))


def _numbered(names: Sequence[str], values: Iterable[str]) -> list[int | None]:
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers.get(value) for value in values]


def _short(value: float | None) -> float | None:
    """Give six digits that count: a page of ten thousand runs stays small."""
    return None if value is None else float(f"{value:.6g}")
