"""``python -m lightning_itwin.launch.ranks N COMMAND...``: starts a world's ranks and keeps them together.

A starter for worlds whose processes find each other by themselves: each is told its rank and the world's
size, nothing else. It needs neither torch nor a port, so a world begins as fast as an interpreter does. The
first rank that fails ends the others.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

_GRACE_S = 5.0
_POLL_S = 0.05


def rank_environment(rank: int, workers: int) -> dict[str, str]:
    """Give the variables that tell a process of one machine its place in the world.

    Args:
        rank: of the process.
        workers: processes of the world.

    >>> rank_environment(1, 2)["RANK"], rank_environment(1, 2)["WORLD_SIZE"]
    ('1', '2')
    """
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(workers),
        "LOCAL_WORLD_SIZE": str(workers),
        "GROUP_RANK": "0",
        "NODE_RANK": "0",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the world; give the exit code of the first rank that failed, as a shell has it, else 0."""
    workers, *command = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _interrupt)
    ranks: list[subprocess.Popen[bytes]] = []
    failed = 0
    try:
        for rank in range(int(workers)):
            ranks.append(
                subprocess.Popen(command, env={**os.environ, **rank_environment(rank, int(workers))})
            )
        while not failed and any(one.poll() is None for one in ranks):
            time.sleep(_POLL_S)
            failed = _failed(ranks)
        failed = failed or _failed(ranks)
    except KeyboardInterrupt:
        failed = -signal.SIGTERM
    finally:
        _end(ranks)
    if failed:
        which = [rank for rank, one in enumerate(ranks) if one.returncode == failed]
        print(f"rank {which[0] if which else '?'} ended with exit code {failed}", file=sys.stderr, flush=True)
    return 128 - failed if failed < 0 else failed


def _failed(ranks: Sequence[subprocess.Popen[bytes]]) -> int:
    """Give an exit code that is not 0, a signal's first: the others raise when one of them is killed."""
    return min((code for one in ranks if (code := one.poll())), default=0)


def _end(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    living = [one for one in ranks if one.poll() is None]
    for one in living:
        one.terminate()
    deadline_s = time.monotonic() + _GRACE_S
    for one in living:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.wait(max(0.0, deadline_s - time.monotonic()))
        if one.poll() is None:
            one.kill()
            one.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
