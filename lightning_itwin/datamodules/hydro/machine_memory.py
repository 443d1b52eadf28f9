"""How much of the machine's memory data may take, and giving back what is not needed."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_SHARE = 0.5


def memory_for_data(processes: int) -> int:
    """Give half of the memory of the machine, or of this container's limit, over its processes, in bytes.

    It goes by what there is, not by what is free, so that all processes come to the same answer.

    Args:
        processes: of this training on this machine.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = Path(path)
        if limit.is_file():
            text = limit.read_text(encoding="utf-8").strip()
            if text.isdigit():
                there = min(there, int(text))
    return int(_SHARE * there / max(1, processes))


def return_freed_memory() -> None:
    """Have the C library give memory back that has been freed in small pieces; nothing where it cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
