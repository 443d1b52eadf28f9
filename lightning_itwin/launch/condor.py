"""Worlds as jobs of HTCondor: each is submitted, waits its turn, and may be taken away.

Where a job stands is read from its event log; HTCondor itself is asked for nothing but to take and to remove
jobs: by its programs, or by its Python bindings where they alone are there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_itwin.launch.condor_events import CondorState, read_state
from lightning_itwin.launch.condor_script import (
    events_file,
    node_log,
    script_text,
    submit_text,
    write_files,
)
from lightning_itwin.launch.job_end import bad_end, ended
from lightning_itwin.launch.job_files import TIMED_OUT, clear, condor_file, script_end
from lightning_itwin.launch.job_settings import JobSettings
from lightning_itwin.launch.world import SchedulerError, Submitted, World, WorldEnd
from lightning_itwin.optional import available, require

_CALL_S = 60.0
_SETTLE_S = 20.0  # a file of another machine may be seen late
_STOP_S = 90.0
_WAIT_S = 1.0


class CondorLauncher:
    """Submits each world as a job of HTCondor; all its files have to lie where every machine sees them.

    Args:
        settings: what each job asks for.

    Raises:
        ValueError: the settings name a partition, which HTCondor does not have.
    """

    def __init__(self, settings: JobSettings | None = None) -> None:
        self.settings = settings or JobSettings()
        if self.settings.partition is not None:
            raise ValueError(
                f"partition {self.settings.partition!r}: HTCondor has none; choose machines with "
                "--condor requirements=..."
            )

    def describe(self, world: World) -> str:
        return self.script(world)

    def script(self, world: World, after: Sequence[Submitted] = ()) -> str:
        description = submit_text(world, self.settings, after)
        return f"{description}\n# the script that it names\n{script_text(world, self.settings, after)}"

    def check(self, world: World) -> None:
        """See whether HTCondor understands the description of such a job; nothing is submitted.

        Raises:
            SchedulerError: it does not, or is not here.
        """
        with tempfile.TemporaryDirectory() as place:
            placed = dataclasses.replace(world, log=Path(place) / "job.log")
            text = submit_text(placed, self.settings)
            path = write_files(placed, text, script_text(placed, self.settings))
            if shutil.which("condor_submit") is None:
                _description(text)
            elif (told := _run("condor_submit", "-dry-run", "/dev/null", str(path))).returncode:
                raise SchedulerError(f"HTCondor refuses the job: {_words(told.stderr)}")

    def start(self, world: World, after: Sequence[Submitted] = ()) -> CondorWorld:
        """Submit a world.

        Args:
            world: that is started.
            after: jobs that have to end before, well or not.

        Raises:
            ValueError: its starter is not known, or its nodes cannot share the workers evenly.
            SchedulerError: HTCondor refuses it, or is not here.
        """
        text = submit_text(world, self.settings, after)
        path = write_files(world, text, script_text(world, self.settings, after))
        clear(world)
        events_file(world).unlink(missing_ok=True)
        world.log.write_text(f"$ condor_submit {path}\n", encoding="utf-8")
        return self.attach(Submitted(job=_submit(str(path), text), world=world))

    def adopt(self, world: World) -> CondorWorld | None:
        """Take over a job that waits or runs, as its event log tells; None where there is none."""
        state = read_state(events_file(world)) if condor_file(world).exists() else None
        if state is None or not state.lives or script_end(world) is not None:
            return None
        return self.attach(Submitted(job=state.job, world=world))

    def living(self, worlds: Sequence[World]) -> Sequence[CondorWorld]:
        """Take over those of these worlds' jobs that wait or run."""
        return [job for world in worlds if (job := self.adopt(world)) is not None]

    def attach(self, submitted: Submitted) -> CondorWorld:
        """Take over a job by its number, even if it has ended meanwhile."""
        return CondorWorld(submitted, self.settings)

    def cancel_command(self, jobs: Sequence[Submitted]) -> str:
        return shlex.join(["condor_rm", *(one.job for one in jobs)])


class CondorWorld:
    """A world that was submitted to HTCondor.

    Args:
        submitted: the world, and the number of its job's cluster.
        settings: what the job asked for.

    ``waits`` says whether it waits for its turn, ``lives`` whether it waits or runs.
    """

    def __init__(self, submitted: Submitted, settings: JobSettings) -> None:
        self.submitted = submitted
        self.waits = True
        self.lives: bool | None = None
        self._world = submitted.world
        self._settings = settings
        self._submitted_s = time.monotonic()
        self._began_s: float | None = None
        self._over_s: float | None = None
        self._end: WorldEnd | None = None

    def poll(self) -> WorldEnd | None:
        """Give the world's end, or None while its job waits or runs.

        A job past the world's timeout, which counts from its beginning, is removed, as is one that waits too
        long or is held.
        """
        if self._end is None:
            self._end = self._look()
        return self._end

    def wait(self) -> WorldEnd:
        """Wait for the world's end, or for its timeout."""
        while (end := self.poll()) is None:
            time.sleep(_WAIT_S)
        return end

    def stop(self) -> None:
        """Remove the job, and wait until its event log says so; not for ever."""
        deadline_s = time.monotonic() + _STOP_S
        removed = False
        while time.monotonic() < deadline_s:
            with contextlib.suppress(SchedulerError):
                removed = removed or _remove(self.submitted.job)
            state = self._state()
            if removed and state is not None and not state.lives:
                return
            time.sleep(_WAIT_S)

    def _state(self) -> CondorState | None:
        state = read_state(events_file(self._world))
        return state if state is not None and state.job == self.submitted.job else None

    def _look(self) -> WorldEnd | None:
        end, state = script_end(self._world), self._state()
        self.lives = None if state is None else state.lives and end is None
        self.waits = end is None and (state is None or state.name == "waiting")
        if end is not None:
            if end.code:
                self._gather_logs()
            return ended(self._world, end.code, self._seen_s())
        if state is None or state.name == "waiting":
            return self._waiting()
        if state.name == "running":
            self._began_s = self._began_s or time.monotonic()
            late = self._seen_s() > (self._world.timeout_s or math.inf)
            return self._stopped(TIMED_OUT) if late else None
        if state.name == "held":
            self.stop()
            return self._bad("failed", f"job {state.job} was held: {state.reason}")
        if state.name == "taken":
            self.stop()
            return self._bad("lost", f"job {state.job} was taken from its machine", taken=True)
        if state.name == "removed":
            return self._bad("lost", f"job {state.job} was removed: {state.reason}")
        self._over_s = self._over_s or time.monotonic()
        if time.monotonic() - self._over_s <= _SETTLE_S:  # the file of its end is not seen here yet
            return None
        return self._bad("failed", f"job {state.job} ended without a word: {state.reason}")

    def _waiting(self) -> WorldEnd | None:
        waited_s = time.monotonic() - self._submitted_s
        if waited_s <= (self._settings.pending_s or math.inf):
            return None
        self.stop()
        reason = f"job {self.submitted.job} had waited for {waited_s:.0f} s and was withdrawn"
        return self._bad("lost", reason)

    def _stopped(self, code: int) -> WorldEnd:
        self.stop()
        return ended(self._world, code, self._seen_s())

    def _gather_logs(self) -> None:
        """Bring what the other machines of the world said into its log."""
        for node in range(1, self._world.nodes):
            other = node_log(self._world, node)
            if other.exists():
                with open(self._world.log, "a", encoding="utf-8") as log:
                    log.write(other.read_text(encoding="utf-8", errors="replace"))
                other.unlink()

    def _bad(self, status: str, reason: str, *, taken: bool = False) -> WorldEnd:
        self._gather_logs()
        return bad_end(self._world, status, reason, self._seen_s(), taken=taken)

    def _seen_s(self) -> float:
        return time.monotonic() - (self._submitted_s if self._began_s is None else self._began_s)


def _submit(path: str, text: str) -> str:
    """Submit a description; give the number of its cluster."""
    if shutil.which("condor_submit") is not None:
        told = _run("condor_submit", "-terse", path)
        if told.returncode:
            raise SchedulerError(f"HTCondor refuses the job: {_words(told.stderr)}")
        return told.stdout.strip().partition(".")[0]
    bindings, description = _bindings(), _description(text)
    try:
        return str(bindings.Schedd().submit(description).cluster())
    except bindings.HTCondorException as error:
        raise SchedulerError(f"HTCondor refuses the job: {error}") from None


def _remove(job: str) -> bool:
    """Remove a job; say whether HTCondor has heard it."""
    if shutil.which("condor_rm") is not None:
        return not _run("condor_rm", job).returncode
    bindings = _bindings()
    try:
        bindings.Schedd().act(bindings.JobAction.Remove, f"ClusterId == {int(job)}")
    except bindings.HTCondorException:
        return False
    return True


def _description(text: str) -> Any:
    """Read a submit description as HTCondor's own bindings do."""
    try:
        return _bindings().Submit(text)
    except ValueError as error:
        raise SchedulerError(f"HTCondor does not understand the submit description: {error}") from None


def _bindings() -> Any:
    if not available("htcondor2"):
        raise SchedulerError(
            "there is no condor_submit on this machine; jobs are submitted where HTCondor's programs are, or "
            "with its Python bindings alone: pip install 'lightning-itwin[htcondor]'"
        )
    return require("htcondor2", extra="htcondor")


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{program} has not ended within {_CALL_S:.0f} s") from None


def _words(text: str) -> str:
    return "; ".join(text.strip().splitlines()[-3:]) or "without a word"
