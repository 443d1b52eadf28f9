"""The launchers that a study can be asked for by name, and how a trial of another driver is found."""

from __future__ import annotations

from pathlib import Path

from lightning_itwin.hpo.study_plan import LAUNCHERS, StudyError, StudyPlan
from lightning_itwin.launch import (
    Launcher,
    LocalLauncher,
    RunningWorld,
    SlurmJobLauncher,
    SlurmLauncher,
    World,
    job_settings,
)
from lightning_itwin.launch.slurm import in_allocation
from lightning_itwin.launch.slurm_queue import SchedulerError
from lightning_itwin.launch.slurm_script import submitted


def submits_jobs(plan: StudyPlan) -> bool:
    """Say whether each trial of a study is a job of its own.

    ``"slurm"`` means steps of the allocation that the driver runs in, and jobs where it runs in none.
    """
    return plan.launcher == "slurm_jobs" or (plan.launcher == "slurm" and not in_allocation())


def make_launcher(plan: StudyPlan, folder: Path) -> Launcher:
    """Make the launcher of a study, and see whether its scheduler takes such trials.

    Args:
        plan: of the study.
        folder: of the study.

    Raises:
        StudyError: it cannot be used here, or the scheduler refuses the trials.
        MissingExtraError: what it needs is not installed.
    """
    if plan.launcher == "local":
        return LocalLauncher()
    if submits_jobs(plan):
        return _jobs(plan, folder)
    if plan.launcher == "slurm":
        return SlurmLauncher()
    if plan.launcher == "ray":
        return _ray(plan, folder)
    raise StudyError(f"launcher {plan.launcher!r}: it has to be one of {', '.join(LAUNCHERS)}")


def adopt(launcher: Launcher, world: World) -> RunningWorld | None:
    """Take over the world of a trial, whichever launcher started it; None where nothing of it lives.

    Args:
        launcher: of this driver.
        world: what was started.

    Raises:
        SchedulerError: it was a job, and from here nobody can tell whether that waits or runs.
    """
    found = launcher.adopt(world)
    if found is None and submitted(world) and not isinstance(launcher, SlurmJobLauncher):
        return SlurmJobLauncher().adopt(world)
    if found is None and not submitted(world) and isinstance(launcher, SlurmJobLauncher):
        return LocalLauncher().adopt(world)
    return found


def _shape(plan: StudyPlan, folder: Path, *, gpus: bool = False) -> World:
    """Give a world as large as a trial's."""
    return World(
        command=("-m", "a.trial"),
        workers=plan.workers_per_trial,
        nodes=plan.nodes_per_trial,
        starter="ranks",
        log=folder / "check" / "job.log",
        environment={"OMP_NUM_THREADS": str(plan.threads_per_worker or 1)},
        mark=f"{folder.name}-check",
        gpus=gpus,
    )


def _ray(plan: StudyPlan, folder: Path) -> Launcher:
    from lightning_itwin.launch.ray import RayLauncher

    try:
        made = RayLauncher()
        made.check(_shape(plan, folder, gpus=plan.accelerator == "gpu"))
    except (RuntimeError, ValueError) as error:
        raise StudyError(f"launcher ray: {error}") from None
    return made


def _jobs(plan: StudyPlan, folder: Path) -> SlurmJobLauncher:
    try:
        made = SlurmJobLauncher(job_settings(plan.job))
        made.check(_shape(plan, folder))
    except (SchedulerError, ValueError) as error:
        hint = "" if plan.launcher == "slurm_jobs" else " (this process runs in no allocation)"
        raise StudyError(f"launcher {plan.launcher}{hint}: {error}") from None
    return made
