"""Who drives a study: one main driver, any number that joined, and one of them at a time that asks."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.launch.local import process_start
from lightning_itwin.meters import host
from lightning_itwin.records.manifest import write_json

BEAT_EVERY_S = 10.0
STALE_S = 90.0
_DRIVERS = "drivers"


class DriverIdentity:
    """The name of a driver, and the file by which others see that it lives.

    A driver of this machine is looked up by process and time of its start, one of another machine by the age
    of its file.

    Args:
        folder: of the study, on a file system that all machines see.
    """

    def __init__(self, folder: Path) -> None:
        pid = os.getpid()
        self.name = f"{platform.node()}.{host.machine_number():x}-{pid}-{process_start(pid)}"
        self._folder = folder / _DRIVERS
        self._beaten_s = -BEAT_EVERY_S

    def beat(self) -> None:
        """Show that this driver lives; most calls do nothing."""
        if time.monotonic() - self._beaten_s >= BEAT_EVERY_S:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / self.name).touch()
            self._beaten_s = time.monotonic()

    def leave(self) -> None:
        """Take the file away."""
        (self._folder / self.name).unlink(missing_ok=True)

    def lives(self, name: str) -> bool:
        """Say whether a driver lives, as far as this machine can see."""
        if self.is_here(name):
            pid, started = name.rsplit("-", 2)[1:]
            return process_start(int(pid)) == started
        return fresh(self._folder / name)

    def is_here(self, name: str) -> bool:
        """Say whether a driver's machine is this one."""
        return name.rsplit("-", 2)[0] == self.name.rsplit("-", 2)[0]


def fresh(path: Path, within_s: float = STALE_S) -> bool:
    """Say whether a file was touched lately."""
    try:
        return time.time() - path.stat().st_mtime < within_s
    except OSError:
        return False


@contextlib.contextmanager
def driving(folder: Path) -> Iterator[None]:
    """Be the one main driver of a study; the kernel ends it with the process.

    Raises:
        StudyError: another process drives it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "driver.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = _read(folder / "driver.json")
            raise StudyError(
                f"{folder} is being driven by process {who.get('pid', '?')} on {who.get('node', '?')}. Wait "
                "for its end, or share its work: python -m lightning_itwin.hpo worker --study "
                f"{who.get('url', 'URL')}"
            ) from None
        yield
    finally:
        os.close(descriptor)


def sign_lease(folder: Path, url: str) -> None:
    """Write down who drives, for whoever is refused."""
    write_json(folder / "driver.json", {"pid": os.getpid(), "node": platform.node(), "url": url})


@contextlib.contextmanager
def asking(folder: Path) -> Iterator[None]:
    """Be the only one that asks, tells and settles rows of a study; waits for the others.

    Policies decide by what they read: two that ask at once would resume one configuration twice, and SQLite
    hands one queued row to both.
    """
    descriptor = os.open(folder / "ask.lock", os.O_RDWR | os.O_CREAT, 0o664)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
