"""Optuna's journal file, with a lock that dies with its holder and a last line that is always whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

_HELD = b"held"
_LOCAL = ("ext4", "ext3", "xfs", "btrfs", "zfs", "f2fs", "overlay", "tmpfs")


class JournalLock(JournalFileSymlinkLock):
    """Optuna's lock for a journal, which outsiders such as its dashboard respect, behind one of the kernel.

    Optuna's alone stays when its holder is killed, and stops everybody for its grace period. The kernel's is
    let go of with the process; what it guards says whether the last holder of ours was killed, and Optuna's
    lock is then stale.

    Args:
        path: of the journal, absolute.
        grace_s: after which an outsider's lock counts as left behind.
    """

    def __init__(self, path: str, grace_s: int = 30) -> None:
        super().__init__(path, grace_s)
        self._mine = f"{path}.flock"
        self._descriptor = -1

    def acquire(self) -> bool:
        descriptor = os.open(self._mine, os.O_RDWR | os.O_CREAT, 0o664)
        try:
            with contextlib.suppress(OSError):  # a file system without such locks: Optuna's alone then
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.pread(descriptor, len(_HELD), 0) == _HELD:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._lock_file)
            super().acquire()
            with contextlib.suppress(OSError):  # no room for four bytes: the grace period then
                os.pwrite(descriptor, _HELD, 0)
        except BaseException:
            _let_go(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor < 0:  # called by Optuna's acquire, for a lock past its grace
            return super().release()
        descriptor, self._descriptor = self._descriptor, -1
        try:
            super().release()
            os.ftruncate(descriptor, 0)
        finally:
            _let_go(descriptor)
        return None


class WholeJournal(JournalFileBackend):
    """A journal file whose writers never leave, nor go on behind, half a line.

    Args:
        path: the file; made absolute, as Optuna's lock needs it.
    """

    def __init__(self, path: Path | str) -> None:
        where = str(Path(path).absolute())
        super().__init__(where, JournalLock(where))
        self._local = file_system(Path(where)) in _LOCAL

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with open(self._file_path, "r+b", buffering=0) as file:
            with self._locked():
                end = _whole_end(file.fileno())
                file.truncate(end)
                file.seek(end)
                try:
                    while text:
                        text = text[file.write(text) :]
                    if not self._local:  # other machines see it when it has left this one
                        os.fsync(file.fileno())
                except OSError:  # a full disk: nobody is to find the half that went in
                    file.truncate(end)
                    raise
            if self._local:  # several writers share the disk's one pause
                os.fsync(file.fileno())

    def mend(self) -> int:
        """Take out what a killed writer left before the line that another one glued to it.

        The bytes become spaces, so that the other lines stay where their readers know them; a line without
        anything whole is dropped.

        Returns:
            the number of lines that were mended.
        """
        with self._locked():
            whole, mended = [], 0
            path = Path(self._file_path)
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    mended += 1
                    continue
                good = _salvaged(line)
                mended += good != line
                whole.append(good)
            if mended:
                beside = path.with_name(f"{path.name}.mended")
                beside.write_bytes(b"".join(whole))
                os.replace(beside, path)
        return mended

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()


def file_system(path: Path) -> str:
    """Give the kind of a path's file system, such as ``"ext4"`` or ``"nfs4"``; empty where it is unknown."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    where = path.resolve()
    kinds = {}
    for line in mounts:
        _, place, kind = line.split()[:3]
        if where.is_relative_to(place.replace("\\040", " ")):
            kinds[len(place)] = kind
    return kinds[max(kinds)] if kinds else ""


def _let_go(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # said aloud: a forked child may hold the descriptor too
    os.close(descriptor)


def _whole_end(descriptor: int, block: int = 4096) -> int:
    """Give the position behind the last newline."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - block)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _salvaged(line: bytes) -> bytes:
    start = 0
    while start >= 0:
        try:
            if "op_code" in json.loads(line[start:]):
                return b" " * start + line[start:]
        except (ValueError, TypeError):
            pass
        start = line.find(b'{"op_code"', start + 1)
    return b""
