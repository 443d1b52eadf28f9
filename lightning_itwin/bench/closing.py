"""The end of a sweep: its report made, and said on the terminal or in the log of the job that made it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.records import RunOutcome


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What a report is asked for.

    Args:
        forecast: numbers of workers to forecast; None for twice and four times what was measured.
        worker_hour_price: what one worker costs for one hour; None where that does not matter.
    """

    forecast: tuple[int, ...] | None = None
    worker_hour_price: float | None = None

    def arguments(self) -> list[str]:
        """Give them as a command line has them.

        >>> ReportOptions(forecast=(16, 32)).arguments(), ReportOptions(forecast=()).arguments()
        (['--forecast=16,32'], ['--forecast=none'])
        """
        forecast = [] if self.forecast is None else [",".join(map(str, self.forecast)) or "none"]
        price = [] if self.worker_hour_price is None else [self.worker_hour_price]
        return [*(f"--forecast={one}" for one in forecast), *(f"--worker-hour-price={one}" for one in price)]


def report(folder: Path, failed: Sequence[RunOutcome], options: ReportOptions) -> int:
    """Make the report of a sweep and print it; give the exit code: 0, or 1 where trainings failed.

    Args:
        folder: of the sweep.
        failed: how the trainings ended that failed.
        options: of the report.
    """
    from lightning_itwin.reports import make_report
    from lightning_itwin.reports.error import ReportError

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
