"""What HTCondor writes about a job into its event log, a text file that every machine can read.

Reference: HTCondor's manual, "Job event log codes"; the bindings read the same with ``JobEventLog``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(r"^(\d{3}) \((-?\d+)\.(-?\d+)\.(-?\d+)\) ")
_END_OF_EVENT = "..."
_WAITING, _RUNNING, _ENDED, _WAS_HELD, _TAKEN = "waiting", "running", "ended", "held", "taken"
_STATES = {
    0: _WAITING,  # submitted
    1: _RUNNING,
    2: _ENDED,  # the executable cannot be run
    4: _TAKEN,  # evicted
    5: _ENDED,
    7: _TAKEN,  # shadow exception
    9: "removed",
    12: _WAS_HELD,
    13: _WAITING,  # released
    14: _RUNNING,  # on a machine of the parallel universe
    24: _TAKEN,  # its machine did not come back
}


@dataclass(frozen=True, kw_only=True)
class CondorState:
    """Where a job stands.

    Args:
        job: number of its cluster.
        name: ``"waiting"``, ``"running"``, ``"ended"``, ``"held"``, ``"removed"``, or ``"taken"`` where its
            machine was taken away.
        reason: the event's first line of explanation; empty where it has none.
    """

    job: str
    name: str
    reason: str = ""

    @property
    def lives(self) -> bool:
        """Whether it waits or runs; what was taken is not let run again."""
        return self.name in (_WAITING, _RUNNING)


def read_state(log: Path) -> CondorState | None:
    """Read where the newest job of an event log stands; None where there is no event yet.

    What happened first counts: a job that was taken from its machine stays taken, although HTCondor would
    start it again.

    Args:
        log: the event log of one world.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    state: CondorState | None = None
    for number, line in enumerate(lines):
        head = _HEAD.match(line)
        name = _STATES.get(int(head.group(1))) if head else None
        if head is None or name is None:
            continue
        job = str(int(head.group(2)))
        if state is None or state.job != job or state.lives or state.name == _WAS_HELD:
            following = lines[number + 1].strip() if number + 1 < len(lines) else ""
            reason = "" if following == _END_OF_EVENT else following
            state = CondorState(job=job, name=name, reason=reason)
    return state
