"""The command line of a study."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_itwin import presets, strategy_names
from lightning_itwin.hpo.policies import POLICIES
from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.launch.job_options import add_job_options, add_launcher_option, take_job_options

STUDIES = Path(presets.__file__).parent / "studies"
DEFAULT_STUDY = STUDIES / "drought.yaml"
_STRATEGIES = tuple(entry.name for entry in strategy_names.STRATEGY_NAMES)
_FILE = """\
the study's file:
  config: virgo                 # preset, path of a LightningCLI config, or its keys
  objective: val/loss           # or {metric: ..., direction: maximize}
  space:
    model.learning_rate: {low: 1.0e-4, high: 0.1, log: true}
    data.batch_size: [16, 32, 64]
  max_epochs: 40                # of a whole training (default: the config's)
  budget: {trials: 28}          # and/or epochs (of all together), hours
  policy: promotion             # or sampler: and pruner:
Any option below, with _ for -, may stand there too; the command line has the last word.
"""


def parser() -> argparse.ArgumentParser:
    """Make the parser of a study that this process drives."""
    made = argparse.ArgumentParser(
        prog="python -m lightning_itwin.hpo",
        description=(
            "Search the hyperparameters of a LightningCLI config: many trials at once, each over several\n"
            "workers; what does badly is paused early. Ctrl-C is safe: the same command goes on.\n\n"
            "Further machines join with: python -m lightning_itwin.hpo worker --study URL"
        ),
        epilog=(
            f"{_FILE}\npresets: {', '.join(presets.names())}\n\n"
            "exit code: 0 done, 1 no trial gave a value, 2 wrong usage, 130 interrupted"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--config",
        type=study_file,
        default=DEFAULT_STUDY,
        metavar="FILE",
        help="YAML of the study, see below, or the name of one that comes with the package: "
        f"{', '.join(study_names())} (default: {DEFAULT_STUDY.stem}, six hyperparameters of a drought "
        "model on a small simulated region)",
    )
    made.add_argument("--output", type=Path, metavar="DIR", help="folder of the study (default: hpo_<file>)")
    budget = made.add_argument_group("budget")
    budget.add_argument("--trials", type=int, metavar="N", help="configurations, the baseline included")
    budget.add_argument("--epochs", type=int, metavar="N", help="epochs of all trainings together")
    budget.add_argument("--hours", type=float, metavar="H", help="wall clock; what runs is let end")
    budget.add_argument("--max-epochs", type=int, metavar="N", help="of a whole training")
    budget.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="trainings of the winner and of the baseline with other seeds, beyond the budget (default: 3)",
    )
    how = made.add_argument_group("how it searches")
    how.add_argument("--policy", choices=POLICIES, help="what is started, paused and stopped")
    how.add_argument("--seed", type=int, metavar="N", help="of the search (default: 0)")
    how.add_argument("--storage", metavar="URL", help="of Optuna's storage (default: a journal file in DIR)")
    how.add_argument("--name", metavar="NAME", help="of the study in its storage (default: DIR's name)")
    how.add_argument(
        "--metric-check",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="train one batch first to see that the objective is logged (default: yes)",
    )
    _places(made)
    return made


def worker_parser() -> argparse.ArgumentParser:
    """Make the parser of a machine that joins a study."""
    made = argparse.ArgumentParser(
        prog="python -m lightning_itwin.hpo worker",
        description="Run trials of a study that another machine drives, in the slots of this one.",
        allow_abbrev=False,
    )
    made.add_argument("--study", required=True, metavar="URL", help="storage that the driver printed")
    made.add_argument("--name", metavar="NAME", help="of the study, where the storage holds several")
    made.add_argument(
        "--output", type=Path, metavar="DIR", help="the study's folder, where it is mounted elsewhere here"
    )
    _places(made)
    return made


def study_names() -> tuple[str, ...]:
    """Give the names of the studies that come with the package."""
    return tuple(sorted(path.stem for path in STUDIES.glob("*.yaml")))


def study_file(name: str) -> Path:
    """Give the file of a study that comes with the package, or the path itself where it is another.

    >>> study_file("drought") == DEFAULT_STUDY, study_file("my.yaml").name
    (True, 'my.yaml')

    Args:
        name: of such a study, or a path. A file of that name in the current folder goes first.
    """
    path = Path(name)
    return STUDIES / f"{name}.yaml" if name in study_names() and not path.is_file() else path


def given(options: argparse.Namespace, *but: str) -> dict[str, Any]:
    """Give the options that were set, but for some; those of a job together as ``job``."""
    found = {name: value for name, value in vars(options).items() if value is not None and name not in but}
    job = take_job_options(found)
    return {**found, "job": job} if job else found


def together(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Give the plan's arguments of a file with those of the command line over them.

    Args:
        values: of the file, or of the study as it was begun.
        given: of :func:`given`.

    Raises:
        StudyError: a job is described, and the trials are none.
    """
    found = {**values, **given}
    if "job" in given:
        if found.get("launcher", "local") == "local":
            raise StudyError(
                f"{', '.join(given['job'])}: options of a job; say --launcher slurm_jobs or htcondor too"
            )
        found["job"] = {**(values.get("job") or {}), **given["job"]}
    return found


def _places(made: argparse.ArgumentParser) -> None:
    where = made.add_argument_group("where it runs")
    where.add_argument("--parallel-trials", type=int, metavar="N", help="trials at once (default: 1)")
    where.add_argument("--workers-per-trial", type=int, metavar="N", help="processes of a trial (default: 1)")
    where.add_argument("--strategy", choices=_STRATEGIES, help="of trials of several workers (default: ddp)")
    where.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), help="default: GPUs if there are any")
    where.add_argument(
        "--threads-per-worker", type=int, metavar="N", help="default: the cores, shared evenly"
    )
    where.add_argument("--timeout-s", type=float, metavar="S", help="when a trial counts as hung")
    where.add_argument("--nodes-per-trial", type=int, metavar="N", help="of a cluster (default: 1)")
    add_launcher_option(where, "trial")
    add_job_options(made)
