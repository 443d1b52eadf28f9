"""The energy of one run's folder: its rows of all ranks, else what its GPUs or codecarbon's file tell."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_itwin.records import read_records
from lightning_itwin.records.gpu_energy import summarize_gpus
from lightning_itwin.records.run_folder import MANIFEST
from lightning_itwin.reports.sustainability.codecarbon_file import (
    is_emissions_file,
    place_of,
    read_emissions_file,
)
from lightning_itwin.reports.sustainability.rank_file import RankFile, Segment, Warn, read_rank_file
from lightning_itwin.reports.sustainability.run_energy import Place, RunEnergy
from lightning_itwin.reports.sustainability.timeline import EnergyTimeline

GPU_ALONE = "the energy of its GPUs alone: there was no CarbonTracker"
_SOURCES = {
    "user": "named by the user",
    "codecarbon configuration": "named in codecarbon's configuration",
    "time zone": "taken from the time zone",
}
_TRIAL = re.compile(r"^(.*)/trials/(\d+)(?:/|$)")


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A folder with records.

    Args:
        path: the folder.
        name: of the run on the page.
        rank_files: the rows of its ranks.
        tables: files that may be codecarbon's.
    """

    path: Path
    name: str
    rank_files: tuple[Path, ...]
    tables: tuple[Path, ...]


def read_run_folder(folder: RunFolder, timeline: EnergyTimeline, warn: Warn) -> RunEnergy | None:
    """Read a run's energy; None where its rows tell of none.

    Args:
        folder: the run's folder.
        timeline: takes when it drew how much.
        warn: takes warnings.
    """
    manifest = _manifest(folder.path / MANIFEST, warn)
    row = _codecarbon_row(folder.tables)
    project = row.get("project_name") or str(manifest.get("workload") or "") or "without a name"

    def drawn(start_unix_s: float, end_unix_s: float, energy_kwh: float) -> None:
        timeline.add(project, start_unix_s, end_unix_s, energy_kwh)

    files = [read_rank_file(path, drawn, warn) for path in folder.rank_files]
    study, trial = trial_of(folder.path)
    facts = {
        "name": folder.name,
        "project": project,
        "strategy": str(manifest.get("strategy") or ""),
        "workers": manifest.get("world_size") if isinstance(manifest.get("world_size"), int) else None,
        "study": study,
        "trial": trial,
    }
    if any(file.segments for file in files):
        return _of_carbon_rows(files, row, facts)
    if any(file.has_gpu_rows for file in files):
        return _of_gpu_rows(folder.rank_files, files, timeline, facts)
    return None


def trial_of(path: Path) -> tuple[str, int | None]:
    """Give the folder of the study and the number of the trial that a run belongs to; "" and None for none.

    >>> trial_of(Path("/logs/my_study/trials/0007/records/a")), trial_of(Path("/logs/records/a"))
    (('/logs/my_study', 7), ('', None))
    """
    found = _TRIAL.search(path.absolute().as_posix())
    return (found.group(1), int(found.group(2))) if found else ("", None)


def run_key(path: Path) -> tuple[str, float] | None:
    """Give what tells a run from its copy; None where it left no manifest."""
    manifest = _manifest(path / MANIFEST, lambda text: None)
    begun = manifest.get("started_unix_s")
    return (str(manifest.get("run_id")), float(begun)) if isinstance(begun, (int, float)) else None


def _manifest(path: Path, warn: Warn) -> Mapping[str, Any]:
    """Read what a manifest tells; what cannot be read decides nothing here."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        warn(f"{path} was passed over: {error}")
        return {}
    return found if isinstance(found, dict) else {}


def _codecarbon_row(tables: Sequence[Path]) -> Mapping[str, str]:
    for path in tables:
        if is_emissions_file(path):
            return next(read_emissions_file(path, lambda text: None), {})
    return {}


def _of_carbon_rows(files: Sequence[RankFile], row: Mapping[str, str], facts: Mapping[str, Any]) -> RunEnergy:
    segments = [segment for file in files for segment in file.segments]
    energy = sum(segment.last["energy_kwh"] for segment in segments)
    emissions = [segment.last.get("emissions_kg") for segment in segments]
    measured = [segment for segment in segments if segment.last.get("measured_percent") is not None]
    newest = max(segments, key=lambda segment: segment.last["time_unix_s"])
    samples = max(sum(segment.last.get("samples") or 0 for segment in file.segments) for file in files)
    samples = samples or max(sum(file.epoch_samples.values()) for file in files)
    told = sum(segment.last["energy_kwh"] for segment in measured)
    return RunEnergy(
        **facts,
        started_unix_s=min(segment.begun_unix_s for segment in segments),
        ended_unix_s=newest.last["time_unix_s"],
        duration_s=max(sum(segment.last["duration_s"] for segment in file.segments) for file in files),
        energy_kwh=energy,
        emissions_kg=None if None in emissions else sum(value for value in emissions if value is not None),
        measured_kwh=sum(
            segment.last["measured_percent"] / 100 * segment.last["energy_kwh"] for segment in measured
        )
        if measured and told >= energy * 0.999
        else None,
        samples=int(samples) or None,
        place=_place(newest, row),
    )


def _place(newest: Segment, row: Mapping[str, str]) -> Place:
    country = str(newest.last.get("country_iso_code") or "")
    source = str(newest.last.get("grid_source") or "")
    if newest.last.get("intensity_g_per_kwh") is None:
        told = ""
    elif not country:
        told = "intensity given by the user"
    else:
        told = f"country {_SOURCES.get(source, source or 'named')}, intensity from codecarbon's table"
        if source == "user":
            told = "country named by the user, intensity given or from codecarbon's table"
    known = place_of(row, told)
    same = not country or known.country_iso_code == country
    return Place(
        country_iso_code=country,
        country=known.country if same and country else "",
        region=known.region if same and country else "",
        cloud=known.cloud,
        grid_source=told,
    )


def _of_gpu_rows(
    paths: Sequence[Path], files: Sequence[RankFile], timeline: EnergyTimeline, facts: Mapping[str, Any]
) -> RunEnergy | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said before, where the rows were looked through
        records = [record for path in paths for record in read_records(path)]
    gpus = [gpu for gpu in summarize_gpus(records) if gpu.energy_wh is not None]
    if not gpus:
        return None
    times = [record.time_unix_s for record in records if record.kind == "gpu"]
    energy = sum(gpu.energy_wh or 0.0 for gpu in gpus) / 1000
    timeline.add(facts["project"], min(times), max(times), energy)
    return RunEnergy(
        **facts,
        started_unix_s=min(times),
        ended_unix_s=max(times),
        duration_s=max(gpu.duration_s for gpu in gpus),
        energy_kwh=energy,
        measured_kwh=energy,
        samples=max(sum(file.epoch_samples.values()) for file in files) or None,
        note=GPU_ALONE,
    )
