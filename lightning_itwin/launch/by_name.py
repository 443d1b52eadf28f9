"""The launchers that a command line can ask for by name, the same for every tool."""

from __future__ import annotations

import os
from collections.abc import Iterable

from lightning_itwin.launch.condor import CondorLauncher
from lightning_itwin.launch.job_files import condor_file, slurm_script_file
from lightning_itwin.launch.job_settings import JobSettings
from lightning_itwin.launch.local import LocalLauncher
from lightning_itwin.launch.slurm import SlurmLauncher, in_allocation
from lightning_itwin.launch.slurm_jobs import SlurmJobLauncher
from lightning_itwin.launch.world import JobLauncher, Launcher, RunningWorld, SchedulerError, World

LAUNCHERS = ("local", "slurm", "slurm_jobs", "htcondor", "ray")


class LauncherError(ValueError):
    """A launcher cannot be used here, or its scheduler refuses such worlds; the message says why."""


def submits_jobs(name: str) -> bool:
    """Say whether a launcher submits each world as a job of its own.

    ``"slurm"`` means steps of the allocation that this process runs in, and jobs where it runs in none.

    >>> submits_jobs("slurm_jobs"), submits_jobs("htcondor"), submits_jobs("local")
    (True, True, False)

    Args:
        name: of the launcher.
    """
    return name in ("slurm_jobs", "htcondor") or (name == "slurm" and not in_allocation())


def default_threads(name: str, workers: int, cores: int) -> int:
    """Give the threads of a worker where nobody says: what this machine has is told of this machine alone.

    >>> default_threads("local", 2, 8), default_threads("slurm_jobs", 2, 8)
    (4, 1)

    Args:
        name: of the launcher.
        workers: that share this machine.
        cores: of this machine.
    """
    if name == "local":
        return max(1, cores // workers)
    return 1 if submits_jobs(name) else int(os.environ.get("SLURM_CPUS_PER_TASK", "1"))


def job_launcher(name: str, settings: JobSettings) -> JobLauncher:
    """Make a launcher that submits jobs; nothing is asked of its scheduler yet.

    Args:
        name: of the launcher, one that submits jobs.
        settings: what each job asks for.

    Raises:
        LauncherError: the settings mean nothing to its scheduler.
        MissingExtraError: what it needs is not installed.
    """
    try:
        return CondorLauncher(settings) if name == "htcondor" else SlurmJobLauncher(settings)
    except ValueError as error:
        raise LauncherError(f"launcher {name}: {error}") from None


def make_launcher(name: str, settings: JobSettings, worlds: Iterable[World]) -> Launcher:
    """Make a launcher, and see whether its scheduler takes such worlds.

    Args:
        name: of the launcher.
        settings: what each job asks for, where it submits jobs.
        worlds: such as will be started; nothing of them is started here.

    Raises:
        LauncherError: it is not known, cannot be used here, or its scheduler refuses such worlds.
        MissingExtraError: what it needs is not installed.
    """
    if name == "local":
        return LocalLauncher()
    try:
        if submits_jobs(name):
            jobs = job_launcher(name, settings)
            for world in worlds:
                jobs.check(world)
            return jobs
        if name == "slurm":
            return SlurmLauncher()
        if name == "ray":
            from lightning_itwin.launch.ray import RayLauncher

            ray = RayLauncher()
            for world in worlds:
                ray.check(world)
            return ray
    except (SchedulerError, ValueError, RuntimeError) as error:
        if isinstance(error, LauncherError):
            raise
        hint = " (this process runs in no allocation)" if name == "slurm" and submits_jobs(name) else ""
        raise LauncherError(f"launcher {name}{hint}: {error}") from None
    raise LauncherError(f"launcher {name!r}: it has to be one of {', '.join(LAUNCHERS)}")


def adopt(launcher: Launcher, world: World) -> RunningWorld | None:
    """Take over a world, whichever launcher started it; None where nothing of it lives.

    Args:
        launcher: of this process.
        world: what was started.

    Raises:
        SchedulerError: it was a job, and from here nobody can tell whether that waits or runs.
    """
    found = launcher.adopt(world)
    if found is not None:
        return found
    if slurm_script_file(world).exists():
        return None if isinstance(launcher, SlurmJobLauncher) else SlurmJobLauncher().adopt(world)
    if condor_file(world).exists():
        return None if isinstance(launcher, CondorLauncher) else CondorLauncher().adopt(world)
    return LocalLauncher().adopt(world) if isinstance(launcher, (SlurmJobLauncher, CondorLauncher)) else None
