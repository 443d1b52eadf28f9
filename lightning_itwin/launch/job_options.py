"""The options of a command line that say where worlds run; the same for every tool."""

from __future__ import annotations

import argparse
from typing import Any

from lightning_itwin.launch.by_name import LAUNCHERS

_JOB = ("partition", "account", "time", "gpus_per_node", "memory", "setup", "pending_s")


def add_launcher_option(group: argparse._ArgumentGroup, what: str) -> None:
    """Add ``--launcher``.

    Args:
        group: of the parser.
        what: a launcher starts, such as ``"training"``.
    """
    group.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        help=f"what starts the processes (default: local). slurm: each {what} is a step of the allocation "
        "that this runs in, or a job where it runs in none; slurm_jobs: always a job; htcondor: a job of "
        "HTCondor; ray: on the cluster of RAY_ADDRESS",
    )


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add what a job can ask for, as a group of its own."""
    job = parser.add_argument_group("what each job asks for")
    job.add_argument("--partition", metavar="NAME", help="of SLURM (default: the cluster's)")
    job.add_argument("--account", metavar="NAME", help="that is charged; HTCondor's accounting group")
    job.add_argument("--time", metavar="T", help="limit of a job: minutes, h:mm:ss or d-hh:mm:ss")
    job.add_argument("--gpus-per-node", type=int, metavar="N", help="GPUs that each node of a job has")
    job.add_argument("--memory", metavar="M", help="on each node, such as 16GB")
    job.add_argument(
        "--setup", metavar="LINE|FILE", help="shell lines before the workers start, such as module load ..."
    )
    job.add_argument(
        "--pending-s", type=float, metavar="S", help="when a waiting job is withdrawn (default: never)"
    )
    job.add_argument(
        "--sbatch", action="append", metavar="KEY=VALUE", help="any other option of sbatch; may be repeated"
    )
    job.add_argument(
        "--condor",
        action="append",
        metavar="KEY=VALUE",
        help="any other command of HTCondor's submit description; may be repeated",
    )


def take_job_options(values: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a job out of a command line's, and give those that were set.

    >>> values = {"epochs": 3, "partition": "gpu", "sbatch": ["qos=debug", "exclusive"], "time": None}
    >>> take_job_options(values), values
    ({'partition': 'gpu', 'qos': 'debug', 'exclusive': True}, {'epochs': 3})

    Args:
        values: name and value of every option; those of a job are taken out.
    """
    given = {name: values.pop(name, None) for name in _JOB}
    job = {name: value for name, value in given.items() if value is not None}
    for name in ("sbatch", "condor"):
        for text in values.pop(name, None) or ():
            key, separator, value = text.partition("=")
            job[key.strip()] = value.strip() if separator else True
    return job
