"""``python -m lightning_itwin.launch.ranks N COMMAND...``: starts a world's ranks and keeps them together.

A starter for worlds whose processes find each other by themselves: each is told its rank and the world's
size, nothing else. It needs neither torch nor a port, so a world begins as fast as an interpreter does. The
first rank that fails ends the others, and all end with their starter, however that ends. On several machines
there is one such process on each; the variables ``LIGHTNING_ITWIN_NODE`` and ``LIGHTNING_ITWIN_NODES`` tell
it which one it is, and ``LIGHTNING_ITWIN_ADDRESS`` where the others reach it, if that is not its way out.
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

from lightning_itwin.launch.leash import end_with_parent
from lightning_itwin.launch.rendezvous import ADDRESS, NODE, NODES, own_address

_GRACE_S = 5.0
_POLL_S = 0.05


def rank_environment(local_rank: int, workers: int, node: int = 0, nodes: int = 1) -> dict[str, str]:
    """Give the variables that tell a process its place in the world.

    Args:
        local_rank: of the process on this machine.
        workers: processes of the world on each machine.
        node: number of this machine.
        nodes: machines of the world.

    >>> rank_environment(1, 2)["RANK"], rank_environment(1, 2)["WORLD_SIZE"]
    ('1', '2')
    >>> rank_environment(1, 2, node=3, nodes=4)["RANK"]
    '7'
    """
    return {
        "RANK": str(node * workers + local_rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(nodes * workers),
        "LOCAL_WORLD_SIZE": str(workers),
        "GROUP_RANK": str(node),
        "NODE_RANK": str(node),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the world; give the exit code of the first rank that failed, as a shell has it, else 0."""
    workers, *command = sys.argv[1:] if arguments is None else arguments
    place = int(os.environ.get(NODE, "0")), int(os.environ.get(NODES, "1"))
    if place[1] > 1 and ADDRESS not in os.environ:
        os.environ[ADDRESS] = own_address()
    signal.signal(signal.SIGTERM, _interrupt)
    ranks: list[subprocess.Popen[bytes]] = []
    failed = 0
    try:
        for rank in range(int(workers)):
            variables = rank_environment(rank, int(workers), *place)
            leash = end_with_parent(signal.SIGKILL)
            ranks.append(subprocess.Popen(command, env={**os.environ, **variables}, preexec_fn=leash))
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
