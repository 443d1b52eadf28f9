"""Children that end with their parent, however that ends; on Linux the kernel sees to it."""

from __future__ import annotations

import ctypes
import functools
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(by: signal.Signals) -> Callable[[], None] | None:
    """Give the ``preexec_fn`` of a child that gets a signal when the thread that started it is gone.

    None where the system knows no such thing.

    >>> end_with_parent(signal.SIGKILL) is None or sys.platform == "linux"
    True
    """
    if sys.platform != "linux":
        return None
    prctl = _prctl()
    return lambda: prctl(_PR_SET_PDEATHSIG, int(by))


@functools.cache
def _prctl() -> Callable[[int, int], None]:
    found: Callable[[int, int], None] = ctypes.CDLL(None).prctl
    return found
