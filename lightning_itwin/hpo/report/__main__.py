"""``python -m lightning_itwin.hpo.report DIR``: makes the report of a study, while it runs or afterwards."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.hpo.report.make import make_report
from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.optional import MissingExtraError, require

_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Make the report; give the exit code: 0 made, 2 no study or wrong usage."""
    made = argparse.ArgumentParser(
        prog="python -m lightning_itwin.hpo.report",
        description=(
            "Make report.html, figures/ and tensorboard/ of a study from what its folder holds. The study "
            "may still run: its page says so."
        ),
        allow_abbrev=False,
    )
    made.add_argument("folder", type=Path, metavar="DIR", help="folder of the study")
    made.add_argument("--output", type=Path, metavar="DIR", help="where it goes (default: there)")
    options = made.parse_args(argv)
    try:
        optuna = require("optuna", extra="hpo")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        report = make_report(options.folder, options.output)
    except (StudyError, MissingExtraError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    print(f"report       {report.html}")
    print(f"tensorboard  {report.tensorboard.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
