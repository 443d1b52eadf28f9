"""A world of processes, and what a launcher promises. A scheduler is one more file with a Launcher in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_TAIL_LINES = 30
_TAIL_CHARACTERS = 4000
_LAUNCHER_NOISE = (
    "ChildFailedError",
    "CalledProcessError",
    "SystemExit",
    "Horovod detected",
    "RuntimeError: Gloo",
)
_EXCEPTION = re.compile(r"\b((?:\w+\.)*\w*(?:Error|Exception|Interrupt|Warning|Exit))\b: ?(.*)")


@dataclass(frozen=True, kw_only=True)
class World:
    """Processes that train together.

    Args:
        command: what each of them runs after the interpreter, such as ``("-m", "package.module", "file")``.
        workers: their number.
        starter: ``"torchrun"`` or ``"horovodrun"``.
        log: file that takes the output of all of them.
        environment: variables beside those of this process.
        timeout_s: when it is ended by force; None for never.
    """

    command: tuple[str, ...]
    workers: int
    starter: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class WorldEnd:
    """How a world ended.

    Args:
        status: ``"ok"``, ``"failed"`` or ``"timeout"``.
        wall_s: from its start to its end.
        reason: why it failed, one line.
        log_tail: the last lines of its log, if it failed.
    """

    status: str
    wall_s: float
    reason: str = ""
    log_tail: str = ""


class RunningWorld(Protocol):
    """A world that has been started."""

    def wait(self) -> WorldEnd:
        """Wait for its end, or for its timeout, and leave no process of it behind."""

    def stop(self) -> None:
        """End every process of it now."""


class Launcher(Protocol):
    """Starts worlds."""

    def start(self, world: World) -> RunningWorld:
        """Start a world and come back at once."""

    def describe(self, world: World) -> str:
        """Give the command line or script that ``start`` would run."""


def log_tail(log: Path) -> str:
    """Give the last lines of a log; empty where there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]


def failure_reason(log: Path, exit_code: int) -> str:
    """Say in one line why a world failed: its first exception, else its exit code.

    The first traceback is the cause; what the other ranks and the starter raise after it are consequences.

    Args:
        log: the world's log.
        exit_code: of the starter; negative for a signal.
    """
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    if re.search(r"Signal 9 \(SIGKILL\)|exitcode\s*:\s*-9|exit code: 137", text) or exit_code in (-9, 137):
        killed = "a worker was killed (signal 9); the usual cause is that the machine ran out of memory"
    else:
        killed = ""
    in_traceback = False
    for line in text.splitlines():
        if "Traceback (most recent call last)" in line:
            in_traceback = True
        elif in_traceback:
            found = _EXCEPTION.match(re.sub(r"^\[[^\]]*\](?:<\w+>)?:?", "", line))
            if found and not any(noise in line for noise in _LAUNCHER_NOISE):
                return found.group(0).strip()[:300]
    return killed or f"exit code {exit_code}; see the log"
