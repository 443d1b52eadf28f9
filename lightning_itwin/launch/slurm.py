"""Worlds inside an allocation of SLURM: each is a step of its own, started by srun.

``--exact`` lets steps run side by side, each on the processors that it asks for; SLURM queues those that do
not fit. A rank learns its place from the variables of the step, not of the job, which all steps share.
"""

from __future__ import annotations

import os
import shutil
import sys

from lightning_itwin.launch.local import LocalLauncher
from lightning_itwin.launch.world import World, each_node


class SlurmLauncher(LocalLauncher):
    """Starts worlds as steps of the allocation that this process runs in.

    A step is known here by its srun: ending that ends the step, on all its nodes.

    Raises:
        RuntimeError: this process runs in no allocation, or there is no srun.
    """

    def __init__(self) -> None:
        if not in_allocation():
            raise RuntimeError(
                "this process runs in no allocation of SLURM; start it in one: "
                "salloc -n 8 python -m ..., or in the script of sbatch"
            )

    def command(self, world: World) -> list[str]:
        return step_command(world, "--exact")


def in_allocation() -> bool:
    """Say whether this process runs in an allocation of SLURM."""
    return "SLURM_JOB_ID" in os.environ and shutil.which("srun") is not None


def step_command(world: World, *options: str) -> list[str]:
    """Give the srun that starts a world within an allocation.

    Every task of a node sees all GPUs that the step has there, and takes the one of its local rank, as
    Lightning expects it: bound to one GPU each, they would all look for a device that they cannot see.

    Args:
        world: whose workers find each other by themselves.
        options: of srun, beside those of every step.

    Raises:
        ValueError: the world's starter is another one, or its nodes cannot share the workers evenly.
    """
    if world.starter != "ranks":
        raise ValueError(f"inside SLURM the starter {world.starter} is not known; there is ranks")
    each = each_node(world)
    return [
        "srun",
        *options,
        "--kill-on-bad-exit=1",
        "--unbuffered",
        "--export=ALL",
        f"--nodes={world.nodes}",
        f"--ntasks={world.workers}",
        f"--ntasks-per-node={each}",
        f"--cpus-per-task={threads_of(world)}",
        *([f"--gpus-per-node={each}"] if world.gpus else []),
        sys.executable,
        "-m",
        "lightning_itwin.launch.slurm_rank",
        sys.executable,
        *world.command,
    ]


def threads_of(world: World) -> str:
    """Give the processors that each worker asks for."""
    return world.environment.get("OMP_NUM_THREADS", "1")
