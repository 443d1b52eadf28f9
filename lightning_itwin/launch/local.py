"""Worlds on this machine: torchrun for torch.distributed, horovodrun with Gloo for Horovod, bare ranks."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from lightning_itwin.launch.world import World, WorldEnd, failure_reason, log_tail

_MARK = "LIGHTNING_ITWIN_WORLD"
_GRACE_S = 5.0
_STARTERS = {
    "torchrun": lambda workers: (
        "-m",
        "torch.distributed.run",
        "--nnodes=1",
        f"--nproc-per-node={workers}",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
        "--local-addr=127.0.0.1",
        "--no-python",
        sys.executable,
    ),
    "horovodrun": lambda workers: (
        "-m",
        "horovod.runner.launch",
        "--gloo",
        "--network-interfaces",
        "lo",
        "-np",
        str(workers),
        sys.executable,
    ),
    "ranks": lambda workers: ("-m", "lightning_itwin.launch.ranks", str(workers), sys.executable),
}


class LocalLauncher:
    """Starts worlds as processes of this machine.

    Every process of a world bears a mark in its environment, by which all of them are found and ended, also
    those that a starter has put into sessions of their own.
    """

    def describe(self, world: World) -> str:
        return shlex.join(self.command(world))

    def command(self, world: World) -> list[str]:
        """Give what starts a world.

        Raises:
            ValueError: its starter is not known, or cannot do what the world asks for.
        """
        if world.nodes != 1:
            raise ValueError(f"a world on this machine has 1 node, not {world.nodes}")
        return _command(world)

    def start(self, world: World) -> LocalWorld:
        """Start a world; its output goes to its log.

        Raises:
            ValueError: the world's starter is not known.
        """
        return LocalWorld(world, self.command(world))

    def adopt(self, world: World) -> LocalWorld | None:
        """Take over a world of this machine that another process started; None where nothing of it lives.

        Args:
            world: what was started, with its mark.
        """
        starts = {pid: process_start(pid) for pid in _marked(world.mark)} if world.mark else {}
        living = [(int(start), pid) for pid, start in starts.items() if start is not None]
        return LocalWorld(world, [], adopted=_Adopted(*min(living))) if living else None


class _Adopted:
    """A process that is no child of this one: known by its id and the time of its start.

    Its exit code is unknown: 1 stands for it.
    """

    def __init__(self, started: int, pid: int) -> None:
        self.pid = pid
        self._started = str(started)

    def poll(self) -> int | None:
        return None if process_start(self.pid) == self._started else 1

    def wait(self, timeout: float | None = None) -> int:
        deadline_s = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.1)
        return code


class LocalWorld:
    """A world that runs on this machine.

    Args:
        world: what to start.
        command: that starts it.
        adopted: its starter, where it runs already.
    """

    def __init__(self, world: World, command: list[str], adopted: _Adopted | None = None) -> None:
        self._world = world
        self._mark = world.mark or f"{os.getpid()}-{secrets.token_hex(8)}"
        self._started_s = time.monotonic()
        self._process: subprocess.Popen[bytes] | _Adopted
        if adopted is not None:
            self._process = adopted
            return
        world.log.parent.mkdir(parents=True, exist_ok=True)
        with open(world.log, "wb") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **world.environment, _MARK: self._mark},
                start_new_session=True,
            )

    def poll(self) -> WorldEnd | None:
        """Give the world's end, or None while it runs; a world past its timeout is ended."""
        if self._process.poll() is None:
            late_s = time.monotonic() - self._started_s - (self._world.timeout_s or math.inf)
            return None if late_s < 0 else self.wait()
        return self.wait()

    def wait(self) -> WorldEnd:
        """Wait for the world's end, or for its timeout; no process of it is left behind."""
        status = "ok"
        left_s = None
        if self._world.timeout_s is not None:
            left_s = max(0.0, self._world.timeout_s - (time.monotonic() - self._started_s))
        try:
            exit_code = self._process.wait(left_s)
        except subprocess.TimeoutExpired:
            status = "timeout"
            exit_code = -signal.SIGKILL
        finally:
            self.stop()
        wall_s = time.monotonic() - self._started_s
        if status == "timeout":
            reason = f"no end after {self._world.timeout_s:.0f} s (--timeout); it may hang"
        elif exit_code != 0:
            status = "failed"
            reason = failure_reason(self._world.log, exit_code)
        else:
            return WorldEnd(status="ok", wall_s=wall_s)
        return WorldEnd(status=status, wall_s=wall_s, reason=reason, log_tail=log_tail(self._world.log))

    def stop(self) -> None:
        """End every process of the world: a polite signal first, then by force."""
        deadline_s = time.monotonic() + _GRACE_S
        asked: set[int] = set()
        while living := _marked(self._mark):
            force = time.monotonic() > deadline_s
            for pid in living if force else set(living) - asked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if force else signal.SIGTERM)
            asked.update(living)
            self._process.poll()
            time.sleep(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)


def process_start(pid: int) -> str | None:
    """Give when a process of this machine started, in ticks since boot; None where it does not live."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _command(world: World) -> list[str]:
    if world.starter not in _STARTERS:
        raise ValueError(f"starter {world.starter!r} is not known; there are {', '.join(_STARTERS)}")
    return [sys.executable, *_STARTERS[world.starter](world.workers), *world.command]


def _marked(mark: str) -> list[int]:
    """Give the processes whose environment bears the mark; dead ones that wait to be reaped do not count."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # it ended meanwhile, or is another user's
                continue
    return found
