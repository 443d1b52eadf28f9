"""The batch script of a world: SLURM's options, the variables, the user's own lines, and one srun.

submitit writes it, which needs nothing of it where it runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.launch.job_files import exports, lines_around, slurm_script_file
from lightning_itwin.launch.job_settings import JobSettings
from lightning_itwin.launch.slurm import step_command, threads_of
from lightning_itwin.launch.world import Submitted, World, each_node
from lightning_itwin.optional import require


def script_text(world: World, settings: JobSettings, after: Sequence[Submitted] = ()) -> str:
    """Give the script that sbatch takes.

    Args:
        world: that it starts.
        settings: what the job asks for.
        after: jobs that have to end before, well or not.

    Raises:
        MissingExtraError: submitit is not installed.
        ValueError: the world's starter is not known, or its nodes cannot share the workers evenly.
    """
    slurm = require("submitit.slurm.slurm", extra="slurm")
    known = slurm.SlurmExecutor._valid_parameters()
    more = {key.replace("-", "_"): value for key, value in settings.more.items() if value is not None}
    each = each_node(world)
    gpus = settings.gpus_per_node
    # Not by an executor: that wants an srun, and a script can be shown where there is none.
    text: str = slurm._make_sbatch_string(
        command="\n".join(lines_around(world, step_command(world))),
        folder=world.log.parent.absolute(),
        job_name=job_name(world),
        partition=settings.partition,
        account=settings.account,
        time=settings.time,
        nodes=world.nodes,
        ntasks_per_node=each,
        cpus_per_task=int(threads_of(world)),
        gpus_per_node=min(gpus, each) if gpus and world.gpus else gpus,
        mem=more.pop("mem", settings.memory),
        wckey=more.pop("wckey", None),
        dependency="afterany:" + ":".join(one.job for one in after) if after else None,
        use_srun=False,  # submitit's own would write one log a task
        stderr_to_stdout=True,
        setup=[*exports(world), *settings.setup_lines],
        **{key: value for key, value in more.items() if key in known},
        additional_parameters={
            "no_requeue": True,
            "output": str(world.log.absolute()),
            **{key: value for key, value in more.items() if key not in known},
        },
    )
    return text


def write_script(world: World, text: str) -> Path:
    """Write the script beside the world's log."""
    script = slurm_script_file(world)
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(text, encoding="utf-8")
    return script


def job_name(world: World) -> str:
    """Give the name of a world's job."""
    return f"itwin-{world.mark or f'{world.log.parent.name}-{os.getpid()}'}"
