"""Launch: worlds of processes, started on this machine or by a cluster's own scheduler."""

from lightning_itwin.launch.condor import CondorLauncher
from lightning_itwin.launch.job_settings import JobSettings, job_settings
from lightning_itwin.launch.local import LocalLauncher
from lightning_itwin.launch.slurm import SlurmLauncher
from lightning_itwin.launch.slurm_jobs import SlurmJobLauncher
from lightning_itwin.launch.world import (
    JobLauncher,
    Launcher,
    RunningJob,
    RunningWorld,
    SchedulerError,
    Submitted,
    World,
    WorldEnd,
)

__all__ = [
    "CondorLauncher",
    "JobLauncher",
    "JobSettings",
    "Launcher",
    "LocalLauncher",
    "RunningJob",
    "RunningWorld",
    "SchedulerError",
    "SlurmJobLauncher",
    "SlurmLauncher",
    "Submitted",
    "World",
    "WorldEnd",
    "job_settings",
]
