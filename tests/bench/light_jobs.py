"""Sweeps as jobs whose workers train nothing: what is submitted, found again and judged, in seconds."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from lightning_itwin.bench import run
from lightning_itwin.bench.jobs import SweepJobs
from lightning_itwin.bench.plan import Plan, read_config
from lightning_itwin.bench.run import Sweep, elsewhere
from lightning_itwin.launch import JobLauncher, World
from lightning_itwin.records import RunOutcome

WORKER = """
import os, sys, time
from pathlib import Path
order = Path(sys.argv[1])
folder = order.parents[1]
with open(folder / f"trained-{order.stem}", "a") as file:
    file.write(os.environ["RANK"] + "\\n")
while (folder / f"hold-{order.stem}").exists():
    time.sleep(0.05)
if (folder / f"fail-{order.stem}").exists():
    raise FloatingPointError("the loss is NaN")
"""
REPORT = """
import sys
from pathlib import Path
Path(sys.argv[1], "reported").touch()
"""


class LightSweep:
    """A sweep whose workers wait, fail or end as files in its folder tell them.

    Args:
        folder: of the sweep.
        plan: of it.
        monkeypatch: by which the worker is put in the place of the real one.
    """

    def __init__(self, folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.plan = plan
        folder.mkdir(exist_ok=True)
        for name, text in (("worker", WORKER), ("report", REPORT)):
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        monkeypatch.setattr(run, "_worker", lambda order: (str(folder / "worker.py"), str(order.absolute())))
        monkeypatch.setattr(run, "unavailable", lambda strategy: "")

    def open(self, launcher: JobLauncher, name: str, timeout_s: float | None = 60.0) -> SweepJobs:
        """Give its jobs, as a new call of the command sees them."""
        config = read_config(Path(self.plan.workload.config))
        sweep = Sweep(self.plan, config, self.folder, launcher, timeout_s, local=False)
        report = World(
            command=(str(self.folder / "report.py"), str(self.folder)),
            workers=1,
            starter="ranks",
            log=self.folder / "logs" / "report.log",
            environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        jobs = SweepJobs(sweep, launcher, name, elsewhere(report, self.folder), launcher)
        jobs.find()
        return jobs

    def submit(self, jobs: SweepJobs) -> list[str]:
        """Submit what is missing; give the names of these cells."""
        missing = [cell for cell in jobs.sweep.missing() if cell not in jobs.living]
        return [cell.name for cell, _ in jobs.submit(missing)]

    def wait(self, jobs: SweepJobs) -> dict[str, RunOutcome]:
        """Wait for all; give how each ended, by its name."""
        return {cell.name: outcome for cell, outcome in jobs.wait(lambda text: None)}

    def hold(self, *names: str) -> None:
        """Let these cells train until they are let go."""
        for name in names:
            (self.folder / f"hold-{name}").touch()

    def let_go(self) -> None:
        """Let all cells end."""
        for path in self.folder.glob("hold-*"):
            path.unlink()

    def trains(self, name: str, workers: int) -> bool:
        """Say whether all workers of a cell have begun."""
        path = self.folder / f"trained-{name}"
        return path.exists() and len(path.read_text().splitlines()) >= workers


def small(plan: Plan, strategies: Sequence[str] = ("ddp",), workers: Sequence[int] = (2,)) -> Plan:
    """Give a plan of few cells, a worker a machine."""
    workload = dataclasses.replace(plan.workload, workers_per_node=1)
    return dataclasses.replace(
        plan, workload=workload, strategies=tuple(strategies), workers=tuple(workers), repeats=1
    )
