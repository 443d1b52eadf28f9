"""``jobs.json``: which jobs a sweep has submitted, so that any process finds them again, on any machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightning_itwin.bench.plan import Cell
from lightning_itwin.bench.run import elsewhere, log_of
from lightning_itwin.launch import JobLauncher, JobSettings, Submitted, World
from lightning_itwin.launch.by_name import job_launcher
from lightning_itwin.records.manifest import write_json

JOBS = "jobs.json"


@dataclass(frozen=True, kw_only=True)
class CellJob:
    """The job of a cell.

    Args:
        job: its number.
        cell: that it trains.
        timeout_s: when it is ended by force.
    """

    job: str
    cell: Cell
    timeout_s: float | None = None

    def submitted(self, folder: Path) -> Submitted:
        """Give the job as its launcher knows it.

        Args:
            folder: of the sweep.
        """
        world = World(
            command=(),
            workers=self.cell.workers,
            starter="ranks",
            log=log_of(folder, self.cell),
            timeout_s=self.timeout_s,
        )
        return Submitted(job=self.job, world=elsewhere(world, folder))


@dataclass(frozen=True, kw_only=True)
class JobList:
    """The jobs of a sweep.

    Args:
        launcher: name of what submitted them.
        cells: newest job of each cell, by the cell's name.
        report: number of the job that makes the report after them; empty for none.
    """

    launcher: str
    cells: Mapping[str, CellJob] = field(default_factory=dict)
    report: str = ""

    def job_launcher(self) -> JobLauncher:
        """Make what asks about these jobs."""
        return job_launcher(self.launcher, JobSettings())

    def with_cell(self, job: CellJob) -> JobList:
        """Give the list with the newest job of a cell."""
        return dataclasses.replace(self, cells={**self.cells, job.cell.name: job})

    def write(self, folder: Path) -> None:
        """Write it into the folder of the sweep."""
        write_json(folder / JOBS, dataclasses.asdict(self))


def read_jobs(folder: Path) -> JobList | None:
    """Read the jobs of a sweep; None where it has submitted none.

    Raises:
        ValueError: the file is none of ours.
    """
    path = folder / JOBS
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        cells = {
            name: CellJob(job=one["job"], cell=Cell(**one["cell"]), timeout_s=one["timeout_s"])
            for name, one in found["cells"].items()
        }
        return JobList(launcher=found["launcher"], cells=cells, report=found["report"])
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} does not tell the jobs of a sweep: {error!r}; remove it") from None
