"""Where the wall time of a run went: a ledger whose shares sum to all of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from lightning_itwin.records import CommunicationRecord, Run, RunOutcome, WallTimeRecord


@dataclass(frozen=True, kw_only=True)
class GoodputLedger:
    """The wall time of a run, each part the mean over its ranks, in seconds.

    Args:
        computation_s: training steps, but for what follows; all of a step where nothing was profiled.
        exposed_communication_s: communication that no computation covers, and no straggler explains.
        straggler_wait_s: exposed communication beyond that of the rank that exposes least.
        data_wait_s: waiting for the next batch.
        validation_and_checkpoint_s: validation, and saving checkpoints.
        start_up_s: from the launch, or the start of the process, to its first training epoch.
        idle_s: the rest: hooks, logging, gaps within steps and between epochs, leaving the world.

    Reference:
        The split follows Google's ml-goodput-measurement: productive time, and each kind of badput.

    >>> ledger = GoodputLedger(
    ...     computation_s=6.0, exposed_communication_s=1.0, straggler_wait_s=0.0, data_wait_s=1.0,
    ...     validation_and_checkpoint_s=1.0, start_up_s=0.5, idle_s=0.5,
    ... )
    >>> ledger.wall_s, ledger.goodput_percent, sum(ledger.percent().values())
    (10.0, 60.0, 100.0)
    """

    computation_s: float
    exposed_communication_s: float
    straggler_wait_s: float
    data_wait_s: float
    validation_and_checkpoint_s: float
    start_up_s: float
    idle_s: float

    @property
    def wall_s(self) -> float:
        """The sum of all parts."""
        return sum(asdict(self).values())

    @property
    def goodput_percent(self) -> float:
        """The share of computation."""
        return self.percent()["computation"]

    def percent(self) -> dict[str, float]:
        """Give each part as a share of the wall time, by its name without the unit."""
        wall_s = self.wall_s
        return {
            name.removesuffix("_s"): 100 * value / wall_s if wall_s > 0 else 0.0
            for name, value in asdict(self).items()
        }


def goodput_ledger(run: Run) -> GoodputLedger | None:
    """Draw up the ledger of a run.

    The wall time is that which the launcher saw, where one did; else that of the processes up to their last
    row. What the profiled windows say of a training step holds for all steps of their rank; of a rank without
    windows, the mean over the others holds.

    Args:
        run: the run, read back.

    Returns:
        The ledger; None where no rank told of its wall time, as records of older versions do not.
    """
    last: dict[int, WallTimeRecord] = {}
    for record in sorted(run.of(WallTimeRecord), key=lambda one: one.time_unix_s):
        last[record.rank] = record
    if not last:
        return None
    windows: dict[int, list[CommunicationRecord]] = {}
    for window in run.of(CommunicationRecord):
        windows.setdefault(window.rank, []).append(window)
    everywhere = [window for of_rank in windows.values() for window in of_rank]
    outcome = run.outcome if run.outcome is not None and run.outcome.status == "ok" else None
    return mean_ledger(_of_rank(wall, windows.get(rank, everywhere), outcome) for rank, wall in last.items())


def mean_ledger(ledgers: Iterable[GoodputLedger]) -> GoodputLedger:
    """Give the mean of at least one ledger."""
    rows = [asdict(ledger) for ledger in ledgers]
    return GoodputLedger(**{name: statistics.fmean(row[name] for row in rows) for name in rows[0]})


def _of_rank(
    wall: WallTimeRecord, windows: Sequence[CommunicationRecord], outcome: RunOutcome | None
) -> GoodputLedger:
    stepping_s = max(0.0, wall.epochs_s - wall.data_wait_s)
    communication, wait, gap = _shares_of_steps(windows)
    spent_s = wall.epochs_s + wall.validation_s + wall.checkpoint_s
    launch_s, end_s = _outside(wall, outcome) if outcome is not None else (0.0, 0.0)
    return GoodputLedger(
        computation_s=stepping_s * (1 - communication - wait - gap),
        exposed_communication_s=stepping_s * communication,
        straggler_wait_s=stepping_s * wait,
        data_wait_s=wall.data_wait_s,
        validation_and_checkpoint_s=wall.validation_s + wall.checkpoint_s,
        start_up_s=launch_s + wall.start_up_s,
        idle_s=stepping_s * gap + max(0.0, wall.training_s - spent_s) + end_s,
    )


def _outside(wall: WallTimeRecord, outcome: RunOutcome) -> tuple[float, float]:
    """Give what the launcher saw before the process of a rank began, and after its last row."""
    inside_s = wall.start_up_s + wall.training_s
    outside_s = max(0.0, outcome.wall_s - inside_s)
    if outcome.started_unix_s is None:
        return 0.0, outside_s
    launch_s = wall.time_unix_s - inside_s - outcome.started_unix_s
    launch_s = min(max(0.0, launch_s), outside_s)
    return launch_s, outside_s - launch_s


def _shares_of_steps(windows: Sequence[CommunicationRecord]) -> tuple[float, float, float]:
    """Give exposed communication, waiting for stragglers, and idling, as shares of a step with its batch."""
    stepping_s = sum(window.wall_s - window.data_wait_s for window in windows)
    if stepping_s <= 0:
        return 0.0, 0.0, 0.0
    exposed_s = sum(window.exposed_s for window in windows)
    wait_s = min(exposed_s, sum(window.wait_s or 0.0 for window in windows))
    shares = [(exposed_s - wait_s) / stepping_s, wait_s / stepping_s]
    idle = min(sum(window.idle_s for window in windows) / stepping_s, max(0.0, 1.0 - sum(shares)))
    return shares[0], shares[1], max(0.0, idle)
