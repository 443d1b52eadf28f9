"""The command line of the bench."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin import presets, strategy_names
from lightning_itwin.bench.plan import PlanError
from lightning_itwin.launch.job_options import add_job_options, add_launcher_option
from lightning_itwin.reports.forecast_options import add_forecast_options

_OVERRIDABLE = ("model", "data", "trainer", "optimizer", "lr_scheduler", "seed_everything")
_OWN = ("strategy", "devices", "num_nodes", "accelerator", "max_epochs", "logger")
_STRATEGIES = {entry.name: entry for entry in strategy_names.STRATEGY_NAMES}


def overrides(rest: Sequence[str]) -> tuple[str, ...]:
    """Check the arguments that go on to LightningCLI, and write each as ``--key=value``.

    Raises:
        PlanError: an argument is neither an option of the bench nor a key of the config.
    """
    checked: list[str] = []
    arguments = list(rest)
    while arguments:
        argument = arguments.pop(0)
        key = argument.removeprefix("--").partition("=")[0]
        if not argument.startswith("--") or key.partition(".")[0] not in _OVERRIDABLE:
            raise PlanError(
                f"argument {argument!r} is not known; see --help. Beside the options there, keys of the "
                f"LightningCLI config can be overridden: --{', --'.join(_OVERRIDABLE)}"
            )
        if key.partition(".")[0] == "trainer" and key.partition(".")[2] in _OWN:
            raise PlanError(
                f"--{key} is set by the sweep; use --strategies, --workers, --epochs, --accelerator"
            )
        if "=" not in argument:
            if not arguments:
                raise PlanError(f"--{key} needs a value")
            argument = f"{argument}={arguments.pop(0)}"
        checked.append(argument)
    return tuple(checked)


def parser() -> argparse.ArgumentParser:
    """Make the parser of the bench's own options; what it does not know goes to :func:`overrides`."""
    strategies = "\n".join(f"  {entry.name:18s} {entry.description}" for entry in _STRATEGIES.values())
    made = argparse.ArgumentParser(
        prog="python -m lightning_itwin.bench",
        description=(
            "Train one workload with several strategies and numbers of workers, and report where time,\n"
            "energy and carbon go, how it scales, and which strategy and how many workers to use."
        ),
        epilog=(
            f"strategies:\n{strategies}\n\n"
            f"presets:\n  {', '.join(presets.names())}\n\n"
            "overrides: any key of the LightningCLI config, as LightningCLI takes it, for example\n"
            "  --model.init_args.learning_rate 0.01 --data.init_args.batch_size=64\n\n"
            "exit code: 0 all trainings ended well, 1 some failed, 2 wrong usage, 130 interrupted"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = made.add_argument_group("what is trained")
    what.add_argument(
        "--config",
        default="virgo",
        metavar="NAME|FILE",
        help="preset, or any LightningCLI config with class paths of model and data (default: virgo)",
    )
    what.add_argument(
        "--epochs",
        type=_positive,
        default=3,
        metavar="N",
        help="of each training; the first one is the warm-up where there are others (default: 3)",
    )
    what.add_argument(
        "--scaling",
        choices=("strong", "weak"),
        default="strong",
        help="strong: the workers share one data set; weak: every worker does the same number of steps "
        "(default: strong)",
    )
    what.add_argument(
        "--batch-size-key",
        metavar="KEY",
        help="key of the config that holds a worker's batch size, such as data.init_args.batch_size: it is "
        "divided by the number of workers, so that the global batch stays (default: a worker's batch stays)",
    )
    cells = made.add_argument_group("what is compared")
    cells.add_argument(
        "--strategies",
        type=_strategies,
        default=("ddp", "deepspeed", "horovod"),
        metavar="A,B,...",
        help="see the list below (default: ddp,deepspeed,horovod)",
    )
    cells.add_argument(
        "--workers",
        type=_workers,
        default=(1, 2),
        metavar="N,M,...",
        help="numbers of workers; 1 is the base of every speedup (default: 1,2)",
    )
    cells.add_argument(
        "--repeats", type=_positive, default=3, metavar="N", help="trainings of each kind (default: 3)"
    )
    add_forecast_options(made.add_argument_group("what is forecast"))
    where = made.add_argument_group("where and how it runs")
    add_launcher_option(where, "training")
    where.add_argument(
        "--workers-per-node",
        type=_positive,
        metavar="N",
        help="most workers of a training on one machine of a cluster (default: --gpus-per-node, else all)",
    )
    where.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="wait for the jobs, or return when they are submitted: the report is a job that follows them "
        "(default: wait; Ctrl-C leaves the jobs)",
    )
    where.add_argument(
        "--accelerator", choices=("auto", "cpu", "gpu"), default="auto", help="default: GPUs if there are any"
    )
    where.add_argument(
        "--threads-per-worker",
        type=_positive,
        metavar="N",
        help="the same for every number of workers; a job asks for as many processors "
        "(default: cores / largest number of workers; 1 in jobs)",
    )
    where.add_argument(
        "--timeout",
        type=_seconds,
        default=3600.0,
        metavar="S",
        help="seconds after which a training counts as hung and is ended (default: 3600)",
    )
    where.add_argument(
        "--country",
        metavar="ISO",
        help="three-letter code of the country whose grid counts, such as ITA (default: detected)",
    )
    where.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the sweep (default: bench_<workload>)"
    )
    where.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with the sweep in the folder, or begin anew (default: go on)",
    )
    where.add_argument(
        "--dry-run", action="store_true", help="say what would run, with every script of a job; run nothing"
    )
    add_job_options(made)
    made.add_argument(
        "--report-partition", metavar="NAME", help="of the job that makes the report (default: --partition)"
    )
    made.set_defaults(launcher="local")
    return made


def _strategies(text: str) -> tuple[str, ...]:
    names = _unique(text)
    for name in names:
        if name not in _STRATEGIES:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not a strategy; there are {', '.join(_STRATEGIES)}"
            )
    return names


def _workers(text: str) -> tuple[int, ...]:
    try:
        workers = tuple(sorted(int(number) for number in _unique(text)))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 1,2,4") from None
    if not workers or workers[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a training needs at least 1 worker")
    return workers


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _unique(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise argparse.ArgumentTypeError("the list is empty")
    return names
