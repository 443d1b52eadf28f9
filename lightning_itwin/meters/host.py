"""What the host is: processor, memory, libraries, the working folder's commit."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_GIB = 2**30
_IMPORTED_UNIX_S = time.time()
LIBRARIES = ("lightning-itwin", "lightning", "torch", "deepspeed", "horovod", "codecarbon", "numpy")


def cpu_name() -> str:
    """Give the processor's model name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def cpu_cores() -> int:
    """Give the number of logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_start_unix_s() -> float:
    """Give the wall clock at the start of this process, or of this module's import where no system tells."""
    now_s = time.time()
    try:
        started = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        uptime_s = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
        age_s = uptime_s - int(started) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return _IMPORTED_UNIX_S
    # In a container the two may count from different moments.
    return now_s - age_s if now_s - _IMPORTED_UNIX_S <= age_s < uptime_s else _IMPORTED_UNIX_S


def machine_number() -> int:
    """Give a number of 48 bits that the processes of one machine share, containers on it included."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        name = platform.node()
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big")


def memory_gib() -> float:
    """Give the node's memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB


def library_versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Give the versions of those of the named distributions that are installed."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path | None = None) -> str | None:
    """Give the commit of ``folder`` (default: the working folder), ``+`` appended if it has changes.

    None where there is no git, no repository or no commit.
    """
    where = ["git", "-C", str(folder or Path.cwd())]
    try:
        commit = subprocess.run(
            [*where, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        changes = subprocess.run(
            [*where, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changes.strip() else "")
