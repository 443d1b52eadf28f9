"""``python -m lightning_itwin.bench``: from one LightningCLI config to a scalability report."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from lightning_itwin import presets
from lightning_itwin.bench.by_jobs import run_jobs, show_jobs
from lightning_itwin.bench.closing import ReportOptions, report
from lightning_itwin.bench.job_list import JOBS
from lightning_itwin.bench.jobs import living_jobs
from lightning_itwin.bench.launching import open_sweep, read_plan
from lightning_itwin.bench.options import parser
from lightning_itwin.bench.plan import PLAN, PlanError, check_resumable, read_config, write_workload
from lightning_itwin.bench.run import Sweep, unavailable
from lightning_itwin.launch import SchedulerError
from lightning_itwin.launch.by_name import LauncherError
from lightning_itwin.optional import MissingExtraError, require
from lightning_itwin.records import RunOutcome
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.forecast_reach import check_reach

_INTERRUPTED, _USAGE = 130, 2
_REPORT_FILES = ("results.json", "results.csv", "summary.json", "forecast.json", "report.html")
_ERRORS = (PlanError, ReportError, FileNotFoundError, MissingExtraError, LauncherError, SchedulerError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sweep and make its report; give the exit code.

    0: every training ended well, or was submitted as a job and not waited for; 1: some did not (the report
    names them); 2: the sweep cannot run as asked for; 130: interrupted (the same command goes on).
    """
    command_line = parser()
    options, rest = command_line.parse_known_args(argv)
    report_options = ReportOptions(forecast=options.forecast, worker_hour_price=options.worker_hour_price)
    try:
        config = read_config(presets.find(options.config))
        plan, settings = read_plan(options, rest, config)
        check_reach(options.forecast or (), max(options.workers))
        folder = options.output or Path(f"bench_{plan.workload.name}")
        sweep, jobs = open_sweep(plan, config, folder, options, settings, report_options)
        if options.dry_run:
            return _show(sweep) if jobs is None else show_jobs(sweep, jobs)
        _needs_report()
        if not options.resume or jobs is None:
            _check_no_job_lives(folder)
        if not options.resume:
            _clear(folder)
        check_resumable(folder, plan.workload)
        write_workload(folder, plan.workload)
        for number in (signal.SIGINT, signal.SIGTERM):  # a background job inherits that SIGINT is ignored
            signal.signal(number, _interrupt)
        for ended in [] if jobs is None else jobs.find():
            print(f"{ended.strategy}, {ended.workers} workers, repeat {ended.repeat}: {ended.reason}")
        missing = [cell for cell in sweep.missing() if jobs is None or cell not in jobs.living]
        if any(not unavailable(cell.strategy) for cell in missing):
            print(f"checking that the workload {plan.workload.name!r} can be built ...", flush=True)
            sweep.check()
    except _ERRORS as error:
        command_line.exit(_USAGE, f"error: {error}\n")
    except KeyboardInterrupt:
        print("\ninterrupted before anything was started", file=sys.stderr)
        return _INTERRUPTED
    if jobs is not None:
        return run_jobs(sweep, jobs, missing, report_options, wait=options.wait)
    try:
        failed = _run(sweep, len(missing))
    except KeyboardInterrupt:
        left = len(sweep.missing())
        print(
            f"\ninterrupted: {len(plan.cells()) - left} of {len(plan.cells())} trainings are finished in "
            f"{folder}; the same command goes on with the rest",
            file=sys.stderr,
        )
        return _INTERRUPTED
    return report(folder, failed, report_options)


def _run(sweep: Sweep, missing: int) -> list[RunOutcome]:
    cells = sweep.missing()
    finished = len(sweep.plan.cells()) - missing
    if finished:
        print(f"{finished} trainings are finished already; {missing} to go (--no-resume begins anew)")
    failed = []
    with tqdm(total=len(sweep.plan.cells()), initial=finished, unit="run", dynamic_ncols=True) as bar:
        for cell, outcome in zip(cells, sweep.run(cells, bar.set_postfix_str)):
            bar.update()
            if outcome.status != "ok":
                failed.append(outcome)
                bar.write(f"{cell.name}: {outcome.status}: {outcome.reason}")
    return failed


def _show(sweep: Sweep) -> int:
    cells, missing = sweep.plan.cells(), set(sweep.missing())
    print(f"{len(cells)} trainings in {sweep.folder}, {len(missing)} of them to run:")
    for cell in cells:
        state = "to run" if cell in missing else "finished"
        reason = unavailable(cell.strategy)
        print(f"  {cell.name:28s} {reason or state}")
    print("\nthe first one's processes:")
    print(f"  {sweep.describe(cells[0])}")
    return 0


def _needs_report() -> None:
    """Find out before the trainings that the report at their end cannot be made."""
    for module in ("altair", "vl_convert", "tensorboard"):
        require(module, extra="report")


def _check_no_job_lives(folder: Path) -> None:
    """Refuse to begin anew, or to train here, what waits or runs as jobs.

    Raises:
        PlanError: there are such jobs.
    """
    found = living_jobs(folder)
    if found is not None:
        launcher, jobs = found
        raise PlanError(
            f"{len(jobs)} jobs of the sweep in {folder} wait or run; go on with the launcher that submitted "
            f"them, give another --output, or end them first: {launcher.cancel_command(jobs)}"
        )


def _clear(folder: Path) -> None:
    """Remove what an earlier sweep left in a folder, and nothing else."""
    if not (folder / PLAN).exists():
        return
    for name in ("records", "tensorboard", "logs", "figures"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (PLAN, JOBS, *_REPORT_FILES):
        (folder / name).unlink(missing_ok=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
