"""The trainings of a sweep as jobs of a scheduler: found again, submitted, followed by a report, awaited."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lightning_itwin.bench.job_list import CellJob, JobList, read_jobs
from lightning_itwin.bench.plan import Cell
from lightning_itwin.bench.run import Sweep, write_outcome
from lightning_itwin.bench.settle import settle
from lightning_itwin.launch import JobLauncher, RunningJob, Submitted, World
from lightning_itwin.records import RunOutcome

_EVERY_S = 1.0


class SweepJobs:
    """The jobs of one sweep.

    ``living`` holds those that wait or run, as far as this process has found or submitted them.

    Args:
        sweep: whose trainings they are.
        launcher: that submits them.
        name: of the launcher.
        report: world that makes the report.
        report_launcher: that submits it.
    """

    def __init__(
        self,
        sweep: Sweep,
        launcher: JobLauncher,
        name: str,
        report: World,
        report_launcher: JobLauncher,
    ) -> None:
        self.sweep = sweep
        self._launcher = launcher
        self._report = report
        self._report_launcher = report_launcher
        self._list = dataclasses.replace(read_jobs(sweep.folder) or JobList(launcher=name), launcher=name)
        self.living: dict[Cell, RunningJob] = {}

    @property
    def waiting(self) -> int:
        """How many of the jobs wait for their turn, as far as is known."""
        return sum(job.waits for job in self.living.values())

    def find(self) -> list[RunOutcome]:
        """Find the jobs of an earlier call: those that live are known from now on, the others' ends written.

        Returns:
            how those ended that did not end well.

        Raises:
            SchedulerError: the scheduler does not answer, so that nobody can tell.
        """
        folder = self.sweep.folder
        missing = {self.sweep.world(cell).log: cell for cell in self.sweep.missing()}
        worlds = [self.sweep.world(cell) for cell in missing.values()]
        for job in self._launcher.living(worlds):
            cell = missing.pop(job.submitted.world.log)
            self.living[cell] = job
            self._remember(cell, job)
        gone = {name: job for name, job in self._list.cells.items() if job.cell in missing.values()}
        return settle(folder, dataclasses.replace(self._list, cells=gone), self._launcher)

    def scripts(self, cells: Iterable[Cell]) -> Iterator[tuple[str, str]]:
        """Yield the name and the script of every job that ``submit`` would submit.

        Args:
            cells: to be trained.
        """
        jobs = [job.submitted for job in self.living.values()]
        for cell in cells:
            world = self.sweep.world(cell)
            jobs.append(Submitted(job=f"JOB_OF_{cell.name}", world=world))
            yield cell.name, self._launcher.script(world)
        if jobs:
            yield "report", self._report_launcher.script(self._report, jobs)

    def submit(self, cells: Iterable[Cell]) -> Iterator[tuple[Cell, RunOutcome | None]]:
        """Submit the jobs of cells, then that of the report; yield each cell, and how it ended if at once.

        Raises:
            SchedulerError: the scheduler takes no more; what it has taken stays, and the report follows that.
        """
        new = False
        try:
            for cell in cells:
                world = self.sweep.prepare(cell)
                if isinstance(world, RunOutcome):
                    yield cell, world
                    continue
                self.living[cell] = self._launcher.start(world)
                self._remember(cell, self.living[cell])
                new = True
                yield cell, None
        finally:
            if self.living and (new or self._report_launcher.adopt(self._report) is None):
                self._submit_report()

    def wait(self, announce: Callable[[str], None]) -> Iterator[tuple[Cell, RunOutcome]]:
        """Wait for the jobs; yield how each training ended, as it has ended.

        Args:
            announce: told how many wait and run, when that changes.
        """
        told = ""
        while self.living:
            for cell, job in list(self.living.items()):
                if (end := job.poll()) is not None:
                    del self.living[cell]
                    yield cell, write_outcome(self.sweep.folder, cell, end)
            now = f"{self.waiting} wait, {len(self.living) - self.waiting} run"
            if now != told:
                announce(told := now)
            if self.living:
                time.sleep(_EVERY_S)

    def withdraw_report(self) -> None:
        """Withdraw the job of the report: who has waited makes it at once."""
        if (job := self._report_launcher.adopt(self._report)) is not None:
            job.stop()
        self._list = dataclasses.replace(self._list, report="")
        self._list.write(self.sweep.folder)

    def cancel_command(self) -> str:
        """Give the command line that ends the jobs that live."""
        jobs = [job.submitted for job in self.living.values()]
        return self._launcher.cancel_command(jobs)

    @property
    def report_follows(self) -> bool:
        """Whether a job was submitted that makes the report."""
        return bool(self._list.report)

    @property
    def report_log(self) -> Path:
        """Where the job of the report says what it found."""
        return self._report.log

    def _remember(self, cell: Cell, job: RunningJob) -> None:
        submitted = job.submitted
        known = CellJob(job=submitted.job, cell=cell, timeout_s=submitted.world.timeout_s)
        self._list = self._list.with_cell(known)
        self._list.write(self.sweep.folder)

    def _submit_report(self) -> None:
        """Have the report follow all jobs that live, in the place of one that follows fewer."""
        self.withdraw_report()
        jobs = [job.submitted for job in self.living.values()]
        job = self._report_launcher.start(self._report, jobs)
        self._list = dataclasses.replace(self._list, report=job.submitted.job)
        self._list.write(self.sweep.folder)


def living_jobs(folder: Path) -> tuple[JobLauncher, list[Submitted]] | None:
    """Give the jobs of a sweep that wait or run, whatever the sweep; None where there are none.

    Args:
        folder: of the sweep.

    Raises:
        SchedulerError: its scheduler does not answer, so that nobody can tell.
        ValueError: its list of jobs cannot be read.
    """
    jobs = read_jobs(folder)
    if jobs is None:
        return None
    launcher = jobs.job_launcher()
    known = [one.submitted(folder) for one in jobs.cells.values()]
    found = [job.submitted for job in launcher.living([one.world for one in known])]
    return (launcher, found) if found else None
