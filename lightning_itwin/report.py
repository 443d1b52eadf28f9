"""``python -m lightning_itwin.report DIR``: the report of a sweep, or of any trainings, from records."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.optional import MissingExtraError
from lightning_itwin.reports.comparability import FIELDS
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.forecast_options import add_forecast_options
from lightning_itwin.reports.make import make_report

_NO_REPORT = 2


def parser() -> argparse.ArgumentParser:
    """Give the parser of the command line."""
    command_line = argparse.ArgumentParser(
        prog="python -m lightning_itwin.report",
        description=(
            "Make the scalability report of every training at or below DIR from its records alone: "
            "results.json, results.csv, summary.json, forecast.json, report.html (one page that opens "
            "offline), figures/ and tensorboard/. Trainings are grouped by strategy and number of workers. "
            "Needs no torch."
        ),
        epilog=(
            "exit code: 0 a report was made; 2 there is nothing to report, the trainings cannot be compared, "
            "or an extra is missing."
        ),
    )
    command_line.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        help="what `python -m lightning_itwin.bench --output DIR` left, or any folder with logs of trainings "
        "that had one of our callbacks",
    )
    command_line.add_argument(
        "--output", type=Path, metavar="DIR", help="where the report goes (default: into DIR itself)"
    )
    command_line.add_argument(
        "--allow-mixed",
        "--allow_mixed",
        default="",
        metavar="FIELDS",
        help="report trainings together although they differ in these fields, comma-separated: "
        + ", ".join(FIELDS),
    )
    command_line.add_argument("--title", help="heading of the page (default: the workload's name)")
    add_forecast_options(command_line)
    return command_line


def main(argv: Sequence[str] | None = None) -> int:
    """Make the report, print its table and where it lies; give the exit code."""
    options = parser().parse_args(argv)
    allowed = [field.strip() for field in options.allow_mixed.split(",") if field.strip()]
    try:
        report = make_report(
            options.folder,
            options.output,
            allow_mixed=allowed,
            title=options.title,
            forecast=options.forecast,
            worker_hour_price=options.worker_hour_price,
        )
    except (ReportError, MissingExtraError) as error:
        print(f"no report: {error}", file=sys.stderr)
        return _NO_REPORT
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(report.table)
    print()
    for line in report.recommendation:
        print(line)
    if report.forecast_lines:
        print("\nforecast, with 90 % intervals:")
        for line in report.forecast_lines:
            print(f"  {line}")
    print(f"\nreport       {report.html}")
    print(f"tensorboard  tensorboard --logdir {report.tensorboard}")
    if all(row.status == "failed" for row in report.rows):
        print("nothing was measured: every training failed; the page tells why", file=sys.stderr)
        return _NO_REPORT
    return 0


if __name__ == "__main__":
    sys.exit(main())
