"""The launcher of a study, and what its trials look like to a scheduler."""

from __future__ import annotations

from pathlib import Path

from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from lightning_itwin.launch import Launcher, World, by_name, job_settings


def make_launcher(plan: StudyPlan, folder: Path) -> Launcher:
    """Make the launcher of a study, and see whether its scheduler takes such trials.

    Args:
        plan: of the study.
        folder: of the study.

    Raises:
        StudyError: it cannot be used here, or the scheduler refuses the trials.
        MissingExtraError: what it needs is not installed.
    """
    try:
        return by_name.make_launcher(plan.launcher, job_settings(plan.job), [_shape(plan, folder)])
    except by_name.LauncherError as error:
        raise StudyError(str(error)) from None


def _shape(plan: StudyPlan, folder: Path) -> World:
    """Give a world as large as a trial's."""
    return World(
        command=("-m", "a.trial"),
        workers=plan.workers_per_trial,
        nodes=plan.nodes_per_trial,
        starter="ranks",
        log=folder / "check" / "job.log",
        environment={"OMP_NUM_THREADS": str(plan.threads_per_worker or 1)},
        mark=f"{folder.name}-check",
        gpus=plan.asks_for_gpus if by_name.submits_jobs(plan.launcher) else plan.accelerator == "gpu",
    )
