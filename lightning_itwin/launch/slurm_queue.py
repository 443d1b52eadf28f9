"""What SLURM says about jobs: asked rarely, for all of them at once, and with a limit on every call.

Without accounting SLURM forgets a job minutes after its end (``MinJobAge``), and who asks ``sacct`` alone
waits for ever. Here ``squeue`` is asked first, which knows how a job of the last minutes ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightning_itwin.launch.world import SchedulerError

CALL_S = 60.0
_EVERY_S = 10.0
_WAITING = (
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
)
_GOING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
_TAKEN = ("TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "REVOKED")
GONE = "GONE"
# Reasons of a waiting job that no waiting mends (squeue(1), "JOB REASON CODES").
_NEVER = (
    "AccountNotAllowed",
    "BadConstraints",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "QOSNotAllowed",
    "launch failed requeued held",
)


@dataclass(frozen=True, kw_only=True)
class JobState:
    """Where a job stands.

    Args:
        name: state as SLURM calls it, such as ``"RUNNING"``; ``"GONE"`` where SLURM knows it no more.
        reason: why it waits, as SLURM calls it.
    """

    name: str
    reason: str = ""

    @property
    def waits(self) -> bool:
        """Whether it has not begun."""
        return self.name in _WAITING

    @property
    def goes_on(self) -> bool:
        """Whether it has begun and not ended."""
        return self.name in _GOING

    @property
    def never(self) -> bool:
        """Whether it waits for what will not come."""
        return self.waits and self.reason in _NEVER

    @property
    def taken(self) -> bool:
        """Whether SLURM took its machines away: their time was over, another job's turn, or they broke."""
        return self.name in _TAKEN


class SlurmQueue:
    """The jobs of one process, asked about together.

    Args:
        every_s: least time between two questions.
    """

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._lock = threading.Lock()
        self._watched: set[str] = set()
        self._states: dict[str, JobState] = {}
        self._asked_s = -every_s

    def watch(self, job: str) -> None:
        """Ask about this job too, from now on."""
        with self._lock:
            self._watched.add(job)

    def forget(self, job: str) -> None:
        """Ask about it no more."""
        with self._lock:
            self._watched.discard(job)
            self._states.pop(job, None)

    def state(self, job: str, within_s: float | None = None) -> JobState | None:
        """Give where a job stands; None where that is not known: not asked yet, or SLURM does not answer.

        Args:
            job: its number, watched.
            within_s: how old the answer may be; None for the queue's own pace.
        """
        with self._lock:
            every_s = self._every_s if within_s is None else min(within_s, self._every_s)
            if time.monotonic() - self._asked_s >= every_s:
                found = _ask(sorted(self._watched))
                self._asked_s = time.monotonic()
                self._states = {} if found is None else found
            return self._states.get(job)


def find_jobs(names: Iterable[str]) -> dict[str, str]:
    """Give the number of the newest job of each name that has not ended, by name.

    Raises:
        SchedulerError: SLURM does not answer.
    """
    wanted = ",".join(names)
    if not wanted:
        return {}
    told = slurm("squeue", "-h", "-o", "%i|%j", "-n", wanted)
    if told.returncode:
        raise SchedulerError(f"squeue: {told.stderr.strip()}")
    found = [line.partition("|") for line in told.stdout.splitlines()]
    return {name: job for job, _, name in sorted(found, key=lambda one: int(one[0].partition("_")[0]))}


def slurm(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's programs; it knows nothing of an allocation that this process may run in.

    Raises:
        SchedulerError: it is not here, or does not end.
    """
    if shutil.which(program) is None:
        raise SchedulerError(
            f"there is no {program} on this machine; jobs are submitted where SLURM's programs are"
        )
    try:
        return subprocess.run(
            [program, *arguments],
            env=outside_of_jobs(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{program} has not ended within {CALL_S:.0f} s") from None


def outside_of_jobs() -> dict[str, str]:
    """Give this process's variables but for those of a job, which a new job would take for its own."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM", "SRUN_", "SBATCH_", "SALLOC_"))
    }


def _ask(jobs: Sequence[str]) -> dict[str, JobState] | None:
    """Ask about jobs; None where SLURM does not answer."""
    if not jobs:
        return {}
    try:
        told = slurm("squeue", "-h", "-t", "all", "-o", "%i|%T|%r", "-j", ",".join(jobs))
        if told.returncode and "Invalid job id" not in told.stderr:
            return None
        found = {}
        for line in told.stdout.splitlines():
            job, state, reason = line.split("|", 2)
            found[job] = JobState(name=state, reason=reason)
        for job in set(jobs) - set(found):
            found[job] = _from_accounting(job)
    except SchedulerError:
        return None
    return found


def _from_accounting(job: str) -> JobState:
    """Give the end of a job that the controller has forgotten; unknown where there is no accounting."""
    if shutil.which("sacct") is None:
        return JobState(name=GONE)
    told = slurm("sacct", "-n", "-X", "-P", "-o", "State", "-j", job)
    words = told.stdout.split()  # such as "CANCELLED by 1000"
    return JobState(name=words[0] if words and not told.returncode else GONE)
