"""A world of processes, and what a launcher promises. A scheduler is one more file with a Launcher in it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_TAIL_LINES = 30
_TAIL_CHARACTERS = 4000
_RANK_PREFIX = re.compile(r"^\[[^\]]*\](?:<\w+>)?:? ?")  # "[rank1]: ", "[1]<stderr>:"
_EXCEPTION = re.compile(r"((?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit))\b(?:: ?(.*))?$")
KILLED = "a worker was killed (signal 9); the usual cause is that the machine ran out of memory"
_KILLED = re.compile(
    r"SIGKILL|exitcode\s*:\s*-9|exit with status code 137|ended with exit code -9\b|task \d+: Killed"
)
# What torchrun says after its workers have spoken: its own traceback would push theirs out of sight.
_STARTER_SPEAKS = re.compile(r"^[EW]\d{4} .*torch/distributed/elastic/.*(failed \(exitcode|Sending process)")


@dataclass(frozen=True, kw_only=True)
class World:
    """Processes that train together.

    Args:
        command: what each of them runs after the interpreter, such as ``("-m", "package.module", "file")``.
        workers: their number.
        starter: ``"torchrun"``, ``"horovodrun"`` or ``"ranks"`` (each told its rank, nothing else).
        log: file that takes the output of all of them.
        environment: variables beside those of this process.
        timeout_s: when it is ended by force; None for never.
        mark: name that its processes bear in their environment, by which another process can take it over;
            empty for one of the launcher's own.
        nodes: machines that share the workers evenly; for schedulers.
        gpus: whether each worker has a GPU of its own; for schedulers.
    """

    command: tuple[str, ...]
    workers: int
    starter: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    mark: str = ""
    nodes: int = 1
    gpus: bool = False


@dataclass(frozen=True, kw_only=True)
class WorldEnd:
    """How a world ended.

    Args:
        status: ``"ok"``, ``"failed"``, ``"timeout"``, or ``"lost"`` where it ended through no fault of its
            workers: cancelled, preempted, out of its job's time.
        wall_s: from its start to its end.
        reason: why it failed, one line.
        log_tail: the last lines of its log, if it failed.
        taken: whether it was lost because a scheduler took its machines away.
        started_unix_s: when its processes began, where that is known better than by who started it.
    """

    status: str
    wall_s: float
    reason: str = ""
    log_tail: str = ""
    taken: bool = False
    started_unix_s: float | None = None


class SchedulerError(OSError):
    """A scheduler refuses a job, or cannot be reached; the message says what it said."""


class RunningWorld(Protocol):
    """A world that has been started."""

    def poll(self) -> WorldEnd | None:
        """Give its end, or None while it runs; a world past its timeout is ended."""

    def wait(self) -> WorldEnd:
        """Wait for its end, or for its timeout, and leave no process of it behind."""

    def stop(self) -> None:
        """End every process of it now."""


class Launcher(Protocol):
    """Starts worlds."""

    def start(self, world: World) -> RunningWorld:
        """Start a world and come back at once."""

    def adopt(self, world: World) -> RunningWorld | None:
        """Take over a world that another process started, by its mark; None where nothing of it lives."""

    def describe(self, world: World) -> str:
        """Give the command line or script that ``start`` would run."""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A world that a scheduler has taken.

    Args:
        job: number of its job, as the scheduler has it.
        world: what was submitted.
    """

    job: str
    world: World


class RunningJob(RunningWorld, Protocol):
    """A world that was submitted as a job.

    ``waits`` says whether it waits for its turn, ``lives`` whether it waits or runs; None while nobody tells.
    """

    submitted: Submitted
    waits: bool
    lives: bool | None


class JobLauncher(Launcher, Protocol):
    """Submits each world as a job of its own."""

    def check(self, world: World) -> None:
        """Have the scheduler look at a job without submitting it.

        Raises:
            SchedulerError: it refuses it; the message is its own.
        """

    def script(self, world: World, after: Sequence[Submitted] = ()) -> str:
        """Give everything that ``start`` would hand over.

        Args:
            world: that is started.
            after: jobs that have to end before, well or not.
        """

    def start(self, world: World, after: Sequence[Submitted] = ()) -> RunningJob:
        """Submit a world and come back at once.

        Args:
            world: that is started.
            after: jobs that have to end before, well or not.

        Raises:
            SchedulerError: the scheduler refuses it or does not answer.
        """

    def adopt(self, world: World) -> RunningJob | None:
        """Take over a job that waits or runs; None where there is none."""

    def living(self, worlds: Sequence[World]) -> Sequence[RunningJob]:
        """Take over those of these worlds' jobs that wait or run.

        Raises:
            SchedulerError: the scheduler does not answer, so that nobody can tell.
        """

    def attach(self, submitted: Submitted) -> RunningJob:
        """Take over a job by its number, even if it has ended meanwhile."""

    def cancel_command(self, jobs: Sequence[Submitted]) -> str:
        """Give the command line by which a user ends these jobs."""


def import_path() -> str:
    """Give a ``PYTHONPATH`` with which a job can import what lies beside the user's script."""
    return os.pathsep.join(dict.fromkeys(filter(None, [sys.path[0], os.environ.get("PYTHONPATH")])))


def each_node(world: World) -> int:
    """Give how many workers of a world each of its nodes has.

    Raises:
        ValueError: the nodes cannot share the workers evenly.
    """
    if world.workers % world.nodes:
        raise ValueError(f"{world.workers} workers cannot be shared evenly by {world.nodes} nodes")
    return world.workers // world.nodes


def log_tail(log: Path) -> str:
    """Give the last lines that the workers wrote to a log; empty where there is none."""
    lines = _read(log).rstrip().splitlines()
    return "\n".join((_workers_part(lines) or lines)[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]


def failure_reason(log: Path, exit_code: int) -> str:
    """Say in one line why a world failed: its first exception, else a killed worker, else its exit code.

    The first traceback is the cause; what the other ranks and the starter raise after it are consequences.

    Args:
        log: the world's log.
        exit_code: of the starter; negative for a signal.
    """
    text = _read(log)
    in_traceback = False
    for line in _workers_part(text.splitlines()):
        spoken = _RANK_PREFIX.sub("", line)
        if spoken.startswith("Traceback (most recent call last)"):
            in_traceback = True
        elif in_traceback and (found := _EXCEPTION.match(spoken)):
            return found.group(0).strip()[:300]
    if exit_code in (-9, 137) or _KILLED.search(text):
        return KILLED
    return f"exit code {exit_code}; see the log"


def was_killed(log: Path) -> bool:
    """Say whether a log tells that a worker was killed (signal 9), whatever the others raised then."""
    return bool(_KILLED.search(_read(log)))


def _workers_part(lines: list[str]) -> list[str]:
    for number, line in enumerate(lines):
        if _STARTER_SPEAKS.match(line):
            return lines[:number]
    return lines


def _read(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
