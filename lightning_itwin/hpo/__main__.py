"""``python -m lightning_itwin.hpo``: from a LightningCLI config and a space to the best of many trials."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.hpo.options import given, parser, together, worker_parser
from lightning_itwin.hpo.study_plan import PLAN, StudyError, StudyPlan, read_study
from lightning_itwin.optional import MissingExtraError, require
from lightning_itwin.records.manifest import from_json

_BROKEN, _USAGE, _INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Drive a study or join one; give the exit code.

    0: the budget is spent and the best is written; 1: no trial gave a value, or the disk is full; 2: the
    study cannot run as asked for; 130: interrupted (the same command goes on).
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        require("optuna", extra="hpo")
        return _join(argv[1:]) if argv[:1] == ["worker"] else _drive(argv)
    except (StudyError, MissingExtraError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    except OSError as error:  # a full disk, a file system that is gone
        print(f"error: {error}; the same command goes on when that is mended", file=sys.stderr)
        return _BROKEN
    except KeyboardInterrupt:
        print("\ninterrupted: finished trials are kept; the same command goes on", file=sys.stderr)
        return _INTERRUPTED


def _drive(argv: list[str]) -> int:
    from lightning_itwin.hpo.tuning import NothingFoundError, run

    options = parser().parse_args(argv)
    values = together(read_study(options.config), given(options, "config", "output"))
    plan = StudyPlan(**values)
    folder = options.output or Path(f"hpo_{options.config.stem}")
    try:
        best = run(plan, folder)
    except NothingFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{best}\n")
    print(f"config      {best.config}")
    if best.checkpoint:
        print(f"checkpoint  {best.checkpoint}")
    print(f"trials      {best.folder / 'trials.csv'}")
    if best.report:
        print(f"report      {best.report}")
    print(f"study       {best.study.url}")
    return 0


def _join(argv: list[str]) -> int:
    from lightning_itwin.hpo.open_study import find_folder
    from lightning_itwin.hpo.tuning import join

    options = worker_parser().parse_args(argv)
    folder = options.output or find_folder(options.study, options.name)
    if not (folder / PLAN).exists():
        raise StudyError(f"{folder} holds no study: there is no {PLAN} in it")
    begun: StudyPlan = from_json(StudyPlan, folder / PLAN)
    plan = StudyPlan(**together(vars(begun), given(options, "study", "name", "output")))
    if differing := plan.differences(begun):
        raise StudyError(f"the study was begun otherwise: {'; '.join(differing)}")
    join(plan, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
