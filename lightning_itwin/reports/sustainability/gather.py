"""Every run below some folders: those with our records, and the rows of codecarbon's own files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.records.run_folder import MANIFEST
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.sustainability.codecarbon_file import (
    is_emissions_file,
    read_emissions_file,
    run_of,
)
from lightning_itwin.reports.sustainability.run_energy import RunEnergy
from lightning_itwin.reports.sustainability.run_folder import RunFolder, read_run_folder, run_key
from lightning_itwin.reports.sustainability.timeline import EnergyTimeline

MOST_WARNINGS = 200


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What some folders tell of energy.

    Args:
        folders: the folders.
        runs: every run, by its start.
        timeline: when each project drew how much.
        warnings: what the reader should know.
    """

    folders: tuple[Path, ...]
    runs: tuple[RunEnergy, ...]
    timeline: EnergyTimeline
    warnings: tuple[str, ...]


class _Warnings:
    """Keeps the first warnings and counts the others."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._more = 0

    def __call__(self, text: str) -> None:
        if len(self._kept) < MOST_WARNINGS:
            self._kept.append(text)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        more = (f"and {self._more} more of this kind",) if self._more else ()
        return tuple(dict.fromkeys(self._kept)) + more


def gather_energy(folders: Sequence[Path]) -> Energy:
    """Read the energy of every run at or below some folders.

    A run that is found twice, as in a copy of its folder, counts once. codecarbon's file in a run's folder
    tells again what its rows tell, and is not added.

    Args:
        folders: folders of logs.

    Raises:
        ReportError: a folder is not there, or there is no energy in any of them.
    """
    folders = tuple(Path(folder) for folder in folders)
    if not folders:
        raise ReportError("no folder was given")
    for folder in folders:
        if not folder.is_dir():
            raise ReportError(f"there is no folder {folder}")
    warn, timeline = _Warnings(), EnergyTimeline()
    runs: list[RunEnergy] = []
    tables: list[tuple[Path, str]] = []
    known: set[tuple[str, float]] = set()
    silent = copies = 0
    for found in _walk(folders):
        if isinstance(found, tuple):
            tables.append(found)
            continue
        key = run_key(found.path)
        if key is not None and key in known:
            copies += 1
            continue
        run = read_run_folder(found, timeline, warn)
        if run is None:
            silent += 1
            tables += [(path, found.name) for path in found.tables]
            continue
        if key is not None:
            known.add(key)
        runs.append(run)
    runs += _codecarbon_runs(tables, timeline, warn)
    if not runs:
        raise ReportError(_nothing(folders, silent, warn.all()))
    if silent:
        warn(f"{silent} run(s) told of no energy: CarbonTracker() among the callbacks measures it")
    if copies:
        warn(f"{copies} run(s) were found twice and counted once")
    runs.sort(key=lambda run: (run.started_unix_s, run.name))
    return Energy(folders=folders, runs=tuple(runs), timeline=timeline, warnings=warn.all())


def _walk(folders: Sequence[Path]) -> Iterator[RunFolder | tuple[Path, str]]:
    """Yield run folders, and tables outside of them with the name of their place."""
    seen: set[str] = set()
    for root in folders:
        for place, inner, names in os.walk(root):
            real = os.path.realpath(place)
            if real in seen:
                inner.clear()
                continue
            seen.add(real)
            inner.sort()
            path = Path(place)
            name = path.relative_to(root).as_posix() if path != root else path.resolve().name
            if len(folders) > 1 and path != root:
                name = f"{root.name}/{name}"
            tables = tuple(path / file for file in sorted(names) if file.endswith(".csv"))
            ranks = tuple(
                path / file for file in sorted(names) if file.startswith("rank-") and file.endswith(".jsonl")
            )
            if ranks or MANIFEST in names:
                yield RunFolder(path=path, name=name, rank_files=ranks, tables=tables)
            else:
                yield from ((table, name) for table in tables)


def _codecarbon_runs(
    tables: Sequence[tuple[Path, str]], timeline: EnergyTimeline, warn: _Warnings
) -> Iterator[RunEnergy]:
    """Yield a run for each of codecarbon's identifiers; what it wrote last of a run counts."""
    latest: dict[str, RunEnergy] = {}
    for path, place in tables:
        if not is_emissions_file(path):
            continue
        for number, row in enumerate(read_emissions_file(path, warn), start=1):
            identifier = row.get("run_id") or f"{path.name}:{number}"
            run = run_of(row, f"{place}/{identifier[:8] if row.get('run_id') else identifier}")
            key = row.get("run_id") or f"{path}:{number}"
            if key not in latest or run.duration_s >= latest[key].duration_s:
                latest[key] = run
    for run in latest.values():
        timeline.add(run.project, run.started_unix_s, run.ended_unix_s, run.energy_kwh)
        yield dataclasses.replace(run, note="told by codecarbon's own file")


def _nothing(folders: Sequence[Path], silent: int, warnings: Sequence[str]) -> str:
    where = ", ".join(str(folder) for folder in folders)
    found = f"{silent} run(s) there left no row of energy. " if silent else ""
    told = "\n".join(f"  {text}" for text in warnings[:10])
    return (
        f"no energy was found in {where} or below. {found}Looked for records of runs (manifest.json, "
        "rank-0000.jsonl) with rows of CarbonTracker() or GPUMonitor(), and for codecarbon's emissions.csv"
        + (f". Passed over:\n{told}" if told else "")
    )
