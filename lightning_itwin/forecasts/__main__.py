"""``python -m lightning_itwin.forecasts``: verify any forecast file of this layout against what came."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.forecasts.verify_files import verify_files
from lightning_itwin.forecasts.warning_levels import WarningRule


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, verify, say where the page is.

    Returns:
        Status of the process: 0, or 1 where the files cannot be compared.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lightning_itwin.forecasts",
        description="Verify quantile forecasts of soil moisture (time, lead, quantile, lat, lon) against "
        "what came; write a page of skill, reliability, calibration and maps.",
    )
    parser.add_argument("forecast", type=Path, help="NetCDF or Zarr with soil_moisture")
    parser.add_argument(
        "--truth", type=Path, required=True, help="NetCDF or Zarr with (time, lat, lon), daily"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("verification"), help="folder (default: %(default)s)"
    )
    parser.add_argument("--variable", help="of the truth (default: soil_moisture, or the only one)")
    parser.add_argument(
        "--climatology",
        type=int,
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="years of the truth that say what is usual (default: all before the first day of issue)",
    )
    for name, below in (("watch", 20), ("warning", 10), ("alert", 5)):
        parser.add_argument(
            f"--{name}",
            type=float,
            default=0.5,
            help=f"least probability of values below P{below} (default: 0.5)",
        )
    given = parser.parse_args(arguments)
    try:
        rule = WarningRule(watch=given.watch, warning=given.warning, alert=given.alert)
        years = tuple(given.climatology) if given.climatology else None
        verify_files(given.forecast, given.truth, given.output, given.variable, years, rule)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.output / 'verification.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
