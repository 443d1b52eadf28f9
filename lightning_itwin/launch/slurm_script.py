"""The batch script of a world, and the files beside its log that a job is known by.

submitit writes the script, which needs nothing of it where it runs: SLURM's options, the variables, the
user's own lines, and one srun. Its last lines write down how the world ended: nobody has to ask SLURM.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from lightning_itwin.launch.job_settings import JobSettings
from lightning_itwin.launch.slurm import step_command, threads_of
from lightning_itwin.launch.world import World
from lightning_itwin.optional import require

_SCRIPT, _EXIT = ".sbatch", ".exit"


def script_text(world: World, settings: JobSettings) -> str:
    """Give the script that sbatch takes.

    Args:
        world: that it starts.
        settings: what the job asks for.

    Raises:
        MissingExtraError: submitit is not installed.
        ValueError: the world's starter is not known, or its nodes cannot share the workers evenly.
    """
    submitit = require("submitit", extra="hpo")
    executor = submitit.SlurmExecutor(folder=world.log.parent.absolute())
    known = executor._valid_parameters()
    more = {key.replace("-", "_"): value for key, value in settings.more.items() if value is not None}
    executor.update_parameters(
        job_name=job_name(world),
        partition=settings.partition,
        account=settings.account,
        time=settings.time,
        nodes=world.nodes,
        ntasks_per_node=world.workers // world.nodes,
        cpus_per_task=int(threads_of(world)),
        gpus_per_node=settings.gpus_per_node,
        wckey=more.pop("wckey", None),
        use_srun=False,  # submitit's own would write one log a task
        stderr_to_stdout=True,
        setup=[*_exports(world), *settings.setup_lines],
        **{key: value for key, value in more.items() if key in known},
        additional_parameters={
            "no_requeue": True,
            "output": str(world.log.absolute()),
            **{key: value for key, value in more.items() if key not in known},
        },
    )
    text: str = executor._make_submission_file_text(_command(world), "")
    return text


def write_script(world: World, text: str) -> Path:
    """Write the script beside the world's log."""
    world.log.parent.mkdir(parents=True, exist_ok=True)
    script = world.log.with_suffix(_SCRIPT).absolute()
    script.write_text(text, encoding="utf-8")
    return script


def submitted(world: World) -> bool:
    """Say whether a world was meant to be a job, by the script that is left of it."""
    return world.log.with_suffix(_SCRIPT).exists()


def exit_file(world: World) -> Path:
    """Give the file in which the script writes how the world ended."""
    return world.log.with_suffix(_EXIT)


def exit_code(world: World) -> int | None:
    """Read how the world ended; None where it has not, or not by itself."""
    try:
        return int(exit_file(world).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def job_name(world: World) -> str:
    """Give the name of a world's job."""
    return f"itwin-{world.mark or f'{world.log.parent.name}-{os.getpid()}'}"


def _command(world: World) -> str:
    end = shlex.quote(str(exit_file(world).absolute()))
    lines = [
        shlex.join(step_command(world)),
        "code=$?",
        f"echo $code > {end}.part && mv {end}.part {end}",
        "exit $code",
    ]
    return "\n".join(lines)


def _exports(world: World) -> list[str]:
    values = {"PYTHONUNBUFFERED": "1", **world.environment}
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
