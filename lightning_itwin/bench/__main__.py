"""``python -m lightning_itwin.bench``: from one LightningCLI config to a scalability report."""

from __future__ import annotations

import argparse
import importlib
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from lightning_itwin import presets
from lightning_itwin.bench.options import overrides, parser
from lightning_itwin.bench.plan import Plan, PlanError, Workload, check_resumable, read_config, write_workload
from lightning_itwin.bench.run import Sweep, unavailable
from lightning_itwin.launch import LocalLauncher
from lightning_itwin.meters import host
from lightning_itwin.optional import MissingExtraError, require
from lightning_itwin.records import RunOutcome
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.forecast_reach import check_reach

_INTERRUPTED, _USAGE = 130, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sweep and make its report; give the exit code.

    0: every training ended well; 1: some did not (the report names them); 2: the sweep cannot run as asked
    for; 130: interrupted (the same command goes on).
    """
    command_line = parser()
    options, rest = command_line.parse_known_args(argv)
    try:
        config = read_config(presets.find(options.config))
        accelerator = _accelerator(options.accelerator, max(options.workers))
        workload = Workload(
            name=options.config if options.config in presets.names() else config.path.stem,
            config=str(config.path),
            config_sha256=config.sha256,
            overrides=overrides(rest),
            epochs=options.epochs,
            scaling=options.scaling,
            batch_size_key=options.batch_size_key,
            accelerator=accelerator,
            threads_per_worker=options.threads_per_worker or max(1, host.cpu_cores() // max(options.workers)),
            country_iso_code=options.country,
        )
        plan = Plan(
            workload=workload,
            strategies=options.strategies,
            workers=options.workers,
            repeats=options.repeats,
        )
        check_reach(options.forecast or (), max(options.workers))
        folder = options.output or Path(f"bench_{workload.name}")
        sweep = Sweep(plan, config, folder, LocalLauncher(), options.timeout)
        if options.dry_run:
            return _show(sweep)
        _needs_report()
        if not options.resume:
            _clear(folder)
        check_resumable(folder, workload)
        write_workload(folder, workload)
        missing = sweep.missing()
        for number in (signal.SIGINT, signal.SIGTERM):  # a background job inherits that SIGINT is ignored
            signal.signal(number, _interrupt)
        if any(not unavailable(cell.strategy) for cell in missing):
            print(f"checking that the workload {workload.name!r} can be built ...", flush=True)
            sweep.check()
    except (PlanError, ReportError, FileNotFoundError, MissingExtraError) as error:
        command_line.exit(_USAGE, f"error: {error}\n")
    except KeyboardInterrupt:
        print("\ninterrupted before the first training", file=sys.stderr)
        return _INTERRUPTED
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
    return _report(folder, failed, options)


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


def _report(folder: Path, failed: list[RunOutcome], options: argparse.Namespace) -> int:
    from lightning_itwin.reports import make_report

    try:
        report = make_report(folder, forecast=options.forecast, worker_hour_price=options.worker_hour_price)
    except ReportError as error:
        print(f"no report: {error}", file=sys.stderr)
        for outcome in failed:
            print(
                f"{outcome.strategy} on {outcome.workers}: {outcome.reason}\n{outcome.log_tail}",
                file=sys.stderr,
            )
        return 1
    print()
    print(report.table)
    print()
    for line in (*report.recommendation, *(f"note: {warning}" for warning in report.warnings)):
        print(line)
    if report.forecast_lines:
        print("\nforecast, with 90 % intervals:")
        for line in report.forecast_lines:
            print(f"  {line}")
    print(f"\nreport       {report.html}")
    print(f"tensorboard  tensorboard --logdir {folder / 'tensorboard'}")
    if failed:
        print(f"\n{len(failed)} trainings failed; the same command tries them again:", file=sys.stderr)
        for outcome in failed:
            print(
                f"  {outcome.strategy}, {outcome.workers} workers, repeat {outcome.repeat}: {outcome.reason}"
                + (f" ({folder / outcome.log})" if outcome.log else ""),
                file=sys.stderr,
            )
    return 1 if failed else 0


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


def _clear(folder: Path) -> None:
    """Remove what an earlier sweep left in a folder, and nothing else."""
    if not (folder / "plan.json").exists():
        return
    for name in ("records", "tensorboard", "logs", "figures"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("plan.json", "results.json", "results.csv", "summary.json", "forecast.json", "report.html"):
        (folder / name).unlink(missing_ok=True)


def _accelerator(wanted: str, most_workers: int) -> str:
    if wanted == "cpu":
        return "cpu"
    cuda = importlib.import_module("torch").cuda
    devices = cuda.device_count() if cuda.is_available() else 0
    if wanted == "auto":
        wanted = "gpu" if devices else "cpu"
    if wanted == "gpu" and devices < most_workers:
        raise PlanError(
            f"{most_workers} workers were asked for and {devices} GPUs can be seen; "
            f"ask for at most {devices} workers, or --accelerator cpu"
        )
    return wanted


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
