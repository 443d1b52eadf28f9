"""The files beside a world's log by which its job is known, and the lines of a script that write them.

Nobody has to ask the scheduler how a world ended, and nobody has to wait for its end: the script writes down
when its processes began, when they ended, and their exit code.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.launch.world import World

TIMED_OUT = 124  # timeout(1)
_KILL_AFTER_S = 30


@dataclass(frozen=True, kw_only=True)
class ScriptEnd:
    """What a script wrote about the end of its world.

    Args:
        code: exit code.
        unix_s: when; None where it says nothing of it.
    """

    code: int
    unix_s: float | None = None


def slurm_script_file(world: World) -> Path:
    """Give the script that sbatch took."""
    return world.log.with_suffix(".sbatch").absolute()


def condor_file(world: World) -> Path:
    """Give the submit description that HTCondor took."""
    return world.log.with_suffix(".sub").absolute()


def began_file(world: World) -> Path:
    """Give the file in which the script writes when its processes began."""
    return world.log.with_suffix(".began").absolute()


def exit_file(world: World) -> Path:
    """Give the file in which the script writes how the world ended."""
    return world.log.with_suffix(".exit").absolute()


def clear(world: World) -> None:
    """Remove what the script of an earlier job wrote."""
    for path in (began_file(world), exit_file(world)):
        path.unlink(missing_ok=True)


def script_end(world: World) -> ScriptEnd | None:
    """Read how the world ended; None where it has not, or not by itself."""
    try:
        code, *when = exit_file(world).read_text(encoding="utf-8").split()
        return ScriptEnd(code=int(code), unix_s=float(when[0]) if when else None)
    except (OSError, ValueError):
        return None


def began_unix_s(world: World) -> float | None:
    """Read when the processes of the world began; None where they have not."""
    try:
        return float(began_file(world).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def ended_unix_s(world: World) -> float | None:
    """Give when the world ended: as its script wrote, else the last sign of it in its log."""
    end = script_end(world)
    if end is not None and end.unix_s is not None:
        return end.unix_s
    try:
        return world.log.stat().st_mtime
    except OSError:
        return None


def exports(world: World) -> list[str]:
    """Give the lines that set the variables of a world."""
    values = {"PYTHONUNBUFFERED": "1", **world.environment}
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]


def limited(world: World, command: Sequence[str]) -> list[str]:
    """Give a command that is ended when the world's time is over, with an exit code that says so."""
    if world.timeout_s is None:
        return list(command)
    return ["timeout", f"--kill-after={_KILL_AFTER_S}", f"{world.timeout_s:g}", *command]


def lines_around(world: World, command: Sequence[str]) -> list[str]:
    """Give the lines that run a command, no longer than the world may, and write down how that went.

    Args:
        world: that the command starts.
        command: such as an srun.
    """
    began, end = shlex.quote(str(began_file(world))), shlex.quote(str(exit_file(world)))
    return [
        f"date +%s.%N > {began}",
        shlex.join(limited(world, command)),
        "code=$?",
        f"echo $code $(date +%s.%N) > {end}.part && mv {end}.part {end}",
        "exit $code",
    ]
