"""A sweep as jobs, as the terminal sees it: what is submitted, what waits and runs, how each ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tqdm import tqdm

from lightning_itwin.bench.closing import ReportOptions, report
from lightning_itwin.bench.jobs import SweepJobs
from lightning_itwin.bench.plan import Cell
from lightning_itwin.bench.run import Sweep
from lightning_itwin.launch import SchedulerError
from lightning_itwin.records import RunOutcome

_INTERRUPTED, _USAGE = 130, 2


def run_jobs(
    sweep: Sweep, jobs: SweepJobs, missing: Sequence[Cell], options: ReportOptions, *, wait: bool
) -> int:
    """Submit what is missing, wait for it or not, and report; give the exit code.

    Args:
        sweep: whose trainings they are.
        jobs: of it; those that live have been found.
        missing: cells that have no job yet.
        options: of the report.
        wait: whether to wait for the jobs.
    """
    failed: list[RunOutcome] = []
    found = len(jobs.living)
    finished = len(sweep.plan.cells()) - found - len(missing)
    try:
        for cell, outcome in jobs.submit(missing):
            if outcome is not None:
                print(f"{cell.name}: {outcome.reason}")
                failed.append(outcome)
        new = len(jobs.living) - found
        print(f"{new} trainings were submitted as jobs, {found} wait or run already, {finished} are finished")
        if not wait and jobs.living:
            _say_what_stays(jobs)
            return 0
        with tqdm(total=len(sweep.plan.cells()), initial=finished, unit="run", dynamic_ncols=True) as bar:
            for cell, outcome in jobs.wait(bar.set_postfix_str):
                bar.update()
                if outcome.status != "ok":
                    failed.append(outcome)
                    bar.write(f"{cell.name}: {outcome.status}: {outcome.reason}")
    except SchedulerError as error:
        print(f"error: {error}", file=sys.stderr)
        _say_what_stays(jobs)
        return _USAGE
    except KeyboardInterrupt:
        print("\nno longer waiting", file=sys.stderr)
        _say_what_stays(jobs)
        return _INTERRUPTED
    jobs.withdraw_report()
    return report(sweep.folder, failed, options)


def show_jobs(sweep: Sweep, jobs: SweepJobs) -> int:
    """Print every script that would be submitted; give the exit code."""
    missing = sweep.missing()
    cells = sweep.plan.cells()
    print(f"# {len(cells)} trainings in {sweep.folder}, {len(missing)} of them to submit")
    for name, script in jobs.scripts(missing):
        print(f"\n# ---- {name}\n{script}")
    return 0


def _say_what_stays(jobs: SweepJobs) -> None:
    if not jobs.living:
        return
    print(
        f"{len(jobs.living)} jobs wait or run, and stay; to end them: {jobs.cancel_command()}",
        file=sys.stderr,
    )
    print("the same command waits for them, and tries again what failed", file=sys.stderr)
    if jobs.report_follows:
        print(f"the report follows them as a job, which writes to {jobs.report_log}", file=sys.stderr)
