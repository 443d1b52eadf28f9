"""``python -m lightning_itwin.launch.slurm_rank COMMAND...``: a task of a step becomes a rank of a world."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence

from lightning_itwin.launch.rendezvous import ADDRESS, own_address


def rank_environment(step: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that tell a rank its place, from those of its step.

    >>> step = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
    >>> found = rank_environment({**step, "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "1"})
    >>> found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"], found["LIGHTNING_ITWIN_ADDRESS"]
    ('3', '4', '1', '127.0.0.1')

    Args:
        step: the variables of the process.
    """
    nodes = int(step.get("SLURM_STEP_NUM_NODES", "1"))
    workers = step.get("SLURM_STEP_NUM_TASKS", step["SLURM_NTASKS"])
    return {
        "RANK": step["SLURM_PROCID"],
        "WORLD_SIZE": workers,
        "LOCAL_RANK": step["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(int(workers) // nodes),
        "GROUP_RANK": step["SLURM_NODEID"],
        "NODE_RANK": step["SLURM_NODEID"],
        ADDRESS: "127.0.0.1" if nodes == 1 else own_address(step.get("SLURM_LAUNCH_NODE_IPADDR", "")),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Become the command that is given, with a rank's variables.

    ``SIGUSR2``, by which a job is told that its time is nearly over, does not end a rank that knows no use
    for it.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    command = list(sys.argv[1:] if arguments is None else arguments)
    os.execvpe(command[0], command, {**os.environ, **rank_environment(os.environ)})


if __name__ == "__main__":
    main()
