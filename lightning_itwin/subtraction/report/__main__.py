"""``python -m lightning_itwin.subtraction.report``: report on any cleaned strain, ours or another's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.subtraction.report.from_files import report_on_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, measure, say where the page is.

    Returns:
        Status of the process: 0, or 1 where the files cannot be compared.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lightning_itwin.subtraction.report",
        description="Compare a cleaned strain with the strain it came from: spectra, BNS range, glitches, "
        "signals, coherence with witnesses. Writes report.html.",
    )
    parser.add_argument("path", nargs="+", help="GWF or HDF5 files of strain and witnesses")
    parser.add_argument("--cleaned", required=True, help="GWF or HDF5 file of the cleaned strain")
    parser.add_argument(
        "--channels",
        required=True,
        nargs="+",
        help="a channel list file; or names, the strain first, then witnesses",
    )
    parser.add_argument("--cleaned_channel", help="name in the cleaned file (default: that of the strain)")
    parser.add_argument("--vetoes", help="veto list: GPS start, end, probability a line")
    parser.add_argument(
        "--sample_rate_hz", type=float, default=1024.0, help="of the comparison (default: %(default)s)"
    )
    parser.add_argument("--model", default="", help="what cleaned it, in words")
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        report_on_files(
            given.path,
            given.channels,
            given.cleaned,
            given.output,
            cleaned_channel=given.cleaned_channel,
            vetoes=given.vetoes,
            sample_rate_hz=given.sample_rate_hz,
            model=given.model,
        )
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.output / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
