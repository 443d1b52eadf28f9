"""Worlds inside an allocation of SLURM: each is a step of its own, started by srun.

``--exact`` lets steps run side by side, each on the processors that it asks for; SLURM queues those that do
not fit. A rank learns its place from the variables of the step, not of the job, which all steps share.
"""

from __future__ import annotations

import os
import shutil
import sys

from lightning_itwin.launch.local import LocalLauncher
from lightning_itwin.launch.world import World


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
            "lightning_itwin.launch.slurm_rank",
            sys.executable,
            *world.command,
        ]
