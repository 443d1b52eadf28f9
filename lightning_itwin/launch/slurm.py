"""Worlds inside an allocation of SLURM: each is a step of its own, started by srun.

``--exact`` lets steps run side by side, each on the processors that it asks for; SLURM queues those that do
not fit. A rank learns its place from the variables of the step, not of the job, which all steps share.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence

from lightning_itwin.launch.local import LocalLauncher
from lightning_itwin.launch.world import World

ADDRESS = "LIGHTNING_ITWIN_ADDRESS"
_ANY_PORT = 9


class SlurmLauncher(LocalLauncher):
    """Starts worlds as steps of the allocation that this process runs in.

    A step is known here by its srun: ending that ends the step, on all its nodes.

    Raises:
        RuntimeError: this process runs in no allocation, or there is no srun.
    """

    def __init__(self) -> None:
        if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
            raise RuntimeError(
                "this process runs in no allocation of SLURM; start it in one: "
                "salloc -n 8 python -m ..., or in the script of sbatch"
            )

    def command(self, world: World) -> list[str]:
        if world.starter != "ranks":
            raise ValueError(f"inside SLURM the starter {world.starter} is not known; there is ranks")
        if world.workers % world.nodes:
            raise ValueError(f"{world.workers} workers cannot be shared evenly by {world.nodes} nodes")
        threads = world.environment.get("OMP_NUM_THREADS", "1")
        return [
            "srun",
            "--exact",
            "--kill-on-bad-exit=1",
            "--unbuffered",
            "--export=ALL",
            f"--nodes={world.nodes}",
            f"--ntasks={world.workers}",
            f"--ntasks-per-node={world.workers // world.nodes}",
            f"--cpus-per-task={threads}",
            *(["--gpus-per-task=1"] if world.gpus else []),
            sys.executable,
            "-m",
            "lightning_itwin.launch.slurm",
            sys.executable,
            *world.command,
        ]


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
        ADDRESS: "127.0.0.1" if nodes == 1 else _own_address(step.get("SLURM_LAUNCH_NODE_IPADDR", "")),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Become the command that is given, with a rank's variables."""
    command = list(sys.argv[1:] if arguments is None else arguments)
    os.execvpe(command[0], command, {**os.environ, **rank_environment(os.environ)})


def _own_address(other: str) -> str:
    """Give the address by which this machine reaches another one; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((other or "192.0.2.1", _ANY_PORT))
        return str(probe.getsockname()[0])


if __name__ == "__main__":
    main()
