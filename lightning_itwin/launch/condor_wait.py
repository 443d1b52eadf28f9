"""``python -m lightning_itwin.launch.condor_wait LOG...``: waits until the jobs of event logs have ended.

What stands in for a dependency between jobs, which HTCondor has in DAGs alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning_itwin.launch.condor_events import read_state

_EVERY_S = 2.0


def main(
    arguments: Sequence[str] | None = None,
    every_s: float = _EVERY_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait; a log that is not there counts as one whose job has not been seen yet.

    Args:
        arguments: paths of the event logs; None for those of the command line.
        every_s: time between two looks.
        sleep: how time passes.
    """
    waiting = [Path(one) for one in (sys.argv[1:] if arguments is None else arguments)]
    while waiting := [log for log in waiting if (state := read_state(log)) is None or state.lives]:
        sleep(every_s)


if __name__ == "__main__":
    main()
