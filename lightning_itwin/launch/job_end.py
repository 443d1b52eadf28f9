"""How the world of a job ended, from what its script and its log say."""

from __future__ import annotations

from lightning_itwin.launch.job_files import TIMED_OUT, began_unix_s, ended_unix_s
from lightning_itwin.launch.world import World, WorldEnd, failure_reason, log_tail


def ended(world: World, code: int, seen_s: float) -> WorldEnd:
    """Give the end of a world that ended by itself, or at its own limit.

    Args:
        world: what was submitted.
        code: exit code of its script.
        seen_s: how long it ran as far as was seen, where its script has not written that.
    """
    if code == 0:
        return WorldEnd(status="ok", wall_s=_wall_s(world, seen_s), started_unix_s=began_unix_s(world))
    if code == TIMED_OUT and world.timeout_s is not None:
        reason = f"no end after {world.timeout_s:.0f} s (--timeout); it may hang"
        return bad_end(world, "timeout", reason, seen_s)
    return bad_end(world, "failed", failure_reason(world.log, code), seen_s)


def bad_end(world: World, status: str, reason: str, seen_s: float, *, taken: bool = False) -> WorldEnd:
    """Give a bad end of a world, with the last lines of its log.

    Args:
        world: what was submitted.
        status: of :class:`~lightning_itwin.launch.WorldEnd`.
        reason: in one line.
        seen_s: how long it ran as far as was seen, where its script has not written that.
        taken: whether its machines were taken away.
    """
    return WorldEnd(
        status=status,
        wall_s=_wall_s(world, seen_s),
        reason=reason,
        log_tail=log_tail(world.log),
        taken=taken,
        started_unix_s=began_unix_s(world),
    )


def _wall_s(world: World, seen_s: float) -> float:
    began, end = began_unix_s(world), ended_unix_s(world)
    return seen_s if began is None or end is None else max(0.0, end - began)
