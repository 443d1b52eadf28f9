"""``python -m lightning_itwin.sustainability LOGDIR...``: energy and carbon of all runs on one page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.sustainability.equivalents import EQUIVALENTS
from lightning_itwin.reports.sustainability.make import write_sustainability
from lightning_itwin.reports.sustainability.totals import add_up
from lightning_itwin.reports.sustainability.units import energy, mass
from lightning_itwin.reports.table import number

_NO_PAGE = 2
_WARNINGS_SHOWN = 20


def parser() -> argparse.ArgumentParser:
    """Give the parser of the command line."""
    command_line = argparse.ArgumentParser(
        prog="python -m lightning_itwin.sustainability",
        description=(
            "Make one page, which opens offline, of the energy and carbon of every run at or below the "
            "folders: "
            "trainings with CarbonTracker or GPUMonitor, sweeps, studies of hyperparameters, and "
            "emissions.csv "
            "files that codecarbon wrote for other tools. Needs neither torch nor an extra."
        ),
        epilog="exit code: 0 a page was made; 2 there is no energy to show, or the page cannot be written.",
    )
    command_line.add_argument("folders", metavar="LOGDIR", nargs="+", type=Path, help="folder of logs")
    command_line.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the page (default: sustainability.html in the first LOGDIR)",
    )
    command_line.add_argument("--title", help="heading of the page (default: Energy and carbon)")
    return command_line


def main(argv: Sequence[str] | None = None) -> int:
    """Make the page, print what it comes to and where it lies; give the exit code."""
    options = parser().parse_args(argv)
    output = options.output or options.folders[0] / "sustainability.html"
    if output.is_dir():
        output = output / "sustainability.html"
    try:
        found = write_sustainability(options.folders, output, options.title)
    except ReportError as error:
        print(f"no page: {error}", file=sys.stderr)
        return _NO_PAGE
    except OSError as error:
        print(f"no page: {output} cannot be written: {error.strerror}", file=sys.stderr)
        return _NO_PAGE
    for warning in found.warnings[:_WARNINGS_SHOWN]:
        print(f"warning: {warning}", file=sys.stderr)
    if len(found.warnings) > _WARNINGS_SHOWN:
        print(f"warning: and {len(found.warnings) - _WARNINGS_SHOWN} more; see the page", file=sys.stderr)
    total = add_up(found.runs)
    print(f"runs         {total.runs}")
    print(f"net energy   {number(total.energy_kwh)} kWh ({energy(total.energy_kwh)})")
    if total.emissions_kg is None:
        print("net carbon   n/a: no grid is known")
    else:
        print(f"net carbon   {number(total.emissions_kg)} kg ({mass(total.emissions_kg)})")
        for item in EQUIVALENTS:
            print(f"             = {number(item.amount(total.emissions_kg))} {item.unit} {item.title}")
    print(f"page         {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
