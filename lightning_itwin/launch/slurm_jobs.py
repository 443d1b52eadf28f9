"""Worlds as jobs of SLURM: each is submitted, waits its turn, and may be taken away by the scheduler.

A job is known by its name, which is the world's mark: whoever comes after a killed driver finds it again,
from any machine.
"""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.launch.job_end import bad_end, ended
from lightning_itwin.launch.job_files import TIMED_OUT, clear, script_end
from lightning_itwin.launch.job_settings import JobSettings
from lightning_itwin.launch.slurm_queue import GONE, JobState, SlurmQueue, find_jobs, slurm
from lightning_itwin.launch.slurm_script import job_name, script_text, write_script
from lightning_itwin.launch.world import KILLED, SchedulerError, Submitted, World, WorldEnd
from lightning_itwin.optional import require

_SETTLE_S = 20.0  # a file of another machine may be seen late, and a job's end too
_STOP_S = 90.0
_WAIT_S = 0.2
_TRIES, _PAUSE_S = 4, 5.0
# What SLURM writes into the log of a job that it ends: slurmstepd.c, "CANCELLED AT ... DUE TO ...".
_CANCELLED = re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+(?: DUE TO ([A-Z ]+?))? \*\*\*")
_WHY = {
    "TIMEOUT": "reached its time limit",
    "TIME LIMIT": "reached its time limit",
    "PREEMPTED": "was preempted",
    "PREEMPTION": "was preempted",
    "NODE_FAIL": "lost a node",
    "NODE FAILURE": "lost a node",
    "CANCELLED": "was cancelled",
    GONE: "is gone without a trace",
}


class SlurmJobLauncher:
    """Submits each world as a job of its own; this process needs no allocation, only SLURM's programs.

    A job is never requeued by SLURM itself: what was preempted or lost with its node is reported as lost, and
    whoever started it decides where it goes on.

    Args:
        settings: what each job asks for.
        queue: that tells where the jobs stand.

    Raises:
        ValueError: the settings hold commands of another scheduler.
        MissingExtraError: submitit is not installed.
    """

    def __init__(self, settings: JobSettings | None = None, queue: SlurmQueue | None = None) -> None:
        self.settings = settings or JobSettings()
        self._queue = queue or SlurmQueue()
        require("submitit", extra="slurm")

    def describe(self, world: World) -> str:
        return self.script(world)

    def script(self, world: World, after: Sequence[Submitted] = ()) -> str:
        return script_text(world, self.settings, after)

    def check(self, world: World) -> None:
        """Have SLURM look at a job without submitting it.

        Raises:
            SchedulerError: it refuses it; the message is its own.
        """
        with tempfile.TemporaryDirectory() as place:
            script = Path(place) / "job.sbatch"
            script.write_text(self.script(world), encoding="utf-8")
            told = slurm("sbatch", "--test-only", str(script))
        if told.returncode:
            raise SchedulerError(f"SLURM refuses the job: {_words(told.stderr)}")

    def start(self, world: World, after: Sequence[Submitted] = ()) -> SlurmJobWorld:
        """Submit a world.

        Args:
            world: that is started.
            after: jobs that have to end before, well or not.

        Raises:
            ValueError: its starter is not known, or its nodes cannot share the workers evenly.
            SchedulerError: SLURM refuses it or does not answer.
        """
        script = write_script(world, self.script(world, after))
        clear(world)
        world.log.write_text(f"$ sbatch {script}\n", encoding="utf-8")
        return self._running(world, _submit(script, job_name(world)))

    def adopt(self, world: World) -> SlurmJobWorld | None:
        """Take over a job that waits or runs, from any machine of the cluster; None where there is none.

        Raises:
            SchedulerError: SLURM does not answer, so that nobody can tell.
        """
        return next(iter(self.living([world])), None)

    def living(self, worlds: Sequence[World]) -> Sequence[SlurmJobWorld]:
        """Take over those of these worlds' jobs that wait or run; SLURM is asked once for all.

        Raises:
            SchedulerError: SLURM does not answer, so that nobody can tell.
        """
        named = {job_name(world): world for world in worlds if world.mark}
        return [self._running(named[name], job) for name, job in find_jobs(named).items()]

    def attach(self, submitted: Submitted) -> SlurmJobWorld:
        """Take over a job by its number, even if it has ended meanwhile."""
        return self._running(submitted.world, submitted.job)

    def cancel_command(self, jobs: Sequence[Submitted]) -> str:
        return shlex.join(["scancel", *(one.job for one in jobs)])

    def _running(self, world: World, job: str) -> SlurmJobWorld:
        self._queue.watch(job)
        return SlurmJobWorld(Submitted(job=job, world=world), self.settings, self._queue)


class SlurmJobWorld:
    """A world that was submitted.

    Args:
        submitted: the world, and the number of its job.
        settings: what it asked for.
        queue: that tells where it stands.

    ``waits`` says whether it waits for its turn, as far as is known; ``lives`` whether it waits or runs.
    """

    def __init__(self, submitted: Submitted, settings: JobSettings, queue: SlurmQueue) -> None:
        self.submitted = submitted
        self.job = submitted.job
        self._world = submitted.world
        self._settings = settings
        self._queue = queue
        self._submitted_s = time.monotonic()
        self._began_s: float | None = None
        self._over_s: float | None = None
        self._end: WorldEnd | None = None
        self.waits = True
        self.lives: bool | None = None

    def poll(self) -> WorldEnd | None:
        """Give the world's end, or None while its job waits or runs.

        A job past the world's timeout, which counts from its beginning, is cancelled; one that waits too long
        or for ever is withdrawn.
        """
        if self._end is None:
            self._end = self._look()
            if self._end is not None:
                self._queue.forget(self.job)
        return self._end

    def wait(self) -> WorldEnd:
        """Wait for the world's end, or for its timeout."""
        while (end := self.poll()) is None:
            time.sleep(_WAIT_S)
        return end

    def stop(self) -> None:
        """Cancel the job, and wait until nothing of it runs; not for ever."""
        deadline_s = time.monotonic() + _STOP_S
        cancelled = False
        while time.monotonic() < deadline_s:
            with contextlib.suppress(SchedulerError):
                cancelled = cancelled or not slurm("scancel", self.job).returncode
            state = self._queue.state(self.job, within_s=1.0)
            if cancelled and state is not None and not (state.waits or state.goes_on):
                return
            time.sleep(_WAIT_S)

    def _look(self) -> WorldEnd | None:
        end = script_end(self._world)
        code = None if end is None else end.code
        self.waits = False
        if code == 0:
            return self._ended(code)
        state = self._queue.state(self.job, within_s=None if code is None else 1.0)
        self.lives = None if state is None else state.waits or state.goes_on
        over = code is not None or (state is not None and not state.waits and not state.goes_on)
        if over and self._over_s is None:
            self._over_s = time.monotonic()
        self.waits = code is None and (self._began_s is None if state is None else state.waits)
        if state is None:  # SLURM does not answer: the script's own word counts after a while
            return self._ended(code) if code is not None and self._has_settled() else None
        if state.waits:
            return self._waiting(state)
        if state.goes_on:
            if self._began_s is None:
                self._began_s = time.monotonic()
            if code is not None:
                return self._ended(code) if self._has_settled() else None
            late = self._wall_s() > (self._world.timeout_s or math.inf)
            return self._too_late() if late else None
        if state.taken or state.name in ("CANCELLED", "OUT_OF_MEMORY"):
            return self._lost(state)
        if code is None and not self._has_settled():  # the file of its end is not seen here yet
            return None
        if code is None and state.name == GONE:
            return self._lost(state)
        return self._ended((0 if state.name == "COMPLETED" else 1) if code is None else code)

    def _waiting(self, state: JobState) -> WorldEnd | None:
        waited_s = time.monotonic() - self._submitted_s
        if state.never:
            self.stop()
            return self._bad("failed", f"job {self.job} would never start: SLURM says {state.reason}")
        if waited_s > (self._settings.pending_s or math.inf):
            self.stop()
            reason = f"job {self.job} had waited for {waited_s:.0f} s ({state.reason}) and was withdrawn"
            return self._bad("lost", reason)
        return None

    def _too_late(self) -> WorldEnd:
        self.stop()
        return self._ended(TIMED_OUT)

    def _lost(self, state: JobState) -> WorldEnd:
        if state.name == "OUT_OF_MEMORY":
            return self._bad("lost", KILLED)
        said = _said_in_log(self._world.log) if state.name == GONE else ""
        how = _WHY.get(said or state.name, f"ended as {state.name}")
        taken = state.taken or said in ("TIME LIMIT", "PREEMPTION", "NODE FAILURE")
        return self._bad("lost", f"job {self.job} {how}", taken=taken)

    def _ended(self, code: int) -> WorldEnd:
        return ended(self._world, code, self._wall_s())

    def _bad(self, status: str, reason: str, *, taken: bool = False) -> WorldEnd:
        return bad_end(self._world, status, reason, self._wall_s(), taken=taken)

    def _has_settled(self) -> bool:
        return self._over_s is not None and time.monotonic() - self._over_s > _SETTLE_S

    def _wall_s(self) -> float:
        return time.monotonic() - (self._submitted_s if self._began_s is None else self._began_s)


def _submit(script: Path, name: str) -> str:
    """Submit a script, once: where SLURM's answer was lost, the job is looked for by its name."""
    words = ""
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE_S)
            if (found := find_jobs([name]).get(name)) is not None:
                return found
        told = slurm("sbatch", "--parsable", str(script))
        if not told.returncode:
            return told.stdout.strip().partition(";")[0]
        words = _words(told.stderr)
        if not any(sign in words for sign in ("Socket timed out", "Unable to contact", "try again")):
            break
    raise SchedulerError(f"SLURM refuses the job: {words}")


def _said_in_log(log: Path) -> str:
    """Give what SLURM's daemon on the node wrote about the end of a job that SLURM has forgotten."""
    try:
        found = _CANCELLED.search(log.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return "" if found is None else found.group(1) or "CANCELLED"


def _words(text: str) -> str:
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in text.strip().splitlines()]
    return "; ".join(lines[-3:]) or "without a word"
