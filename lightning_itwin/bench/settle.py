"""``python -m lightning_itwin.bench.settle DIR``: the job that follows the trainings of a sweep.

It writes down how those ended that nobody waited for, and makes the report.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning_itwin.bench.closing import ReportOptions, report
from lightning_itwin.bench.job_list import CellJob, JobList, read_jobs
from lightning_itwin.bench.run import outcome_of, write_outcome
from lightning_itwin.launch import JobLauncher, RunningJob, WorldEnd
from lightning_itwin.launch.world import log_tail
from lightning_itwin.records import RunOutcome
from lightning_itwin.reports.forecast_options import add_forecast_options

_LIMIT_S = 120.0
_EVERY_S = 1.0


def settle(
    folder: Path,
    jobs: JobList,
    launcher: JobLauncher,
    limit_s: float = _LIMIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[RunOutcome]:
    """Write down how every job of a sweep ended that nobody has seen end; those that still live are awaited.

    Args:
        folder: of the sweep.
        jobs: of it.
        launcher: that asks about them.
        limit_s: how long the scheduler may leave open how one ended; then it is said so.
        sleep: how time passes.

    Returns:
        how those ended that did not end well, whoever saw it.
    """
    open_jobs: list[tuple[CellJob, RunningJob]] = [
        (one, launcher.attach(one.submitted(folder)))
        for one in jobs.cells.values()
        if outcome_of(folder, one.cell) is None
    ]
    known_s = time.monotonic()
    while open_jobs:
        left = []
        for one, running in open_jobs:
            end = running.poll()
            if running.lives:
                known_s = time.monotonic()
            elif end is None and time.monotonic() - known_s > limit_s:
                end = _unknown(one, running)
            if end is None:
                left.append((one, running))
            else:
                write_outcome(folder, one.cell, end)
        open_jobs = left
        if open_jobs:
            sleep(_EVERY_S)
    outcomes = [outcome_of(folder, one.cell) for one in jobs.cells.values()]
    return [one for one in outcomes if one is not None and one.status != "ok"]


def main(argv: Sequence[str] | None = None) -> int:
    """Settle a sweep and report it; give the exit code."""
    command_line = argparse.ArgumentParser(
        prog="python -m lightning_itwin.bench.settle",
        description="Write down how the jobs of a sweep ended, and make its report.",
    )
    command_line.add_argument("folder", type=Path, metavar="DIR", help="folder of the sweep")
    add_forecast_options(command_line)
    options = command_line.parse_args(argv)
    jobs = read_jobs(options.folder)
    failed = [] if jobs is None else settle(options.folder, jobs, jobs.job_launcher())
    return report(
        options.folder,
        failed,
        ReportOptions(forecast=options.forecast, worker_hour_price=options.worker_hour_price),
    )


def _unknown(one: CellJob, running: RunningJob) -> WorldEnd:
    log = running.submitted.world.log
    reason = f"job {one.job} ended without a word, and its scheduler does not tell how"
    return WorldEnd(status="failed", wall_s=0.0, reason=reason, log_tail=log_tail(log))


if __name__ == "__main__":
    sys.exit(main())
