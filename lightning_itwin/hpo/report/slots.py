"""Who worked when: rows packed into slots, machine by machine."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_itwin.hpo.study_reading import StudyRecord, StudyRow


@dataclass(frozen=True, kw_only=True)
class Work:
    """One row in a slot.

    Args:
        row: that was trained.
        slot: its name, such as ``"node07 3"``; without the machine where there is one alone.
        place: number of the slot, from 0 at the top.
        start_s, end_s: since the first row began.
    """

    row: StudyRow
    slot: str
    place: int
    start_s: float
    end_s: float


def work(study: StudyRecord, now_unix_s: float) -> tuple[Work, ...]:
    """Pack the rows of a study into as few slots of each machine as rows ran at once.

    Args:
        study: the rows.
        now_unix_s: end of the rows that still run.
    """
    rows = sorted(
        (row for row in study.rows if row.started_unix_s is not None),
        key=lambda row: (row.started_unix_s or 0.0, row.number),
    )
    if not rows:
        return ()
    first = rows[0].started_unix_s or 0.0
    free: dict[str, list[float]] = {}
    packed: list[tuple[StudyRow, str, int]] = []
    for row in rows:
        start = row.started_unix_s or 0.0
        end = max(row.ended_unix_s or now_unix_s, start)
        ends = free.setdefault(machine(row.driver), [])
        slot = next((number for number, until in enumerate(ends) if until <= start), len(ends))
        ends[slot : slot + 1] = [end]
        packed.append((row, machine(row.driver), slot))
    alone, names = len(free) == 1, _names(list(free))
    below, total = {}, 0
    for name, ends in free.items():
        below[name], total = total, total + len(ends)
    return tuple(
        Work(
            row=row,
            slot=str(slot + 1) if alone else f"{names[name]} {slot + 1}",
            place=below[name] + slot,
            start_s=(row.started_unix_s or 0.0) - first,
            end_s=max(row.ended_unix_s or now_unix_s, row.started_unix_s or 0.0) - first,
        )
        for row, name, slot in packed
    )


def machine(driver: str) -> str:
    """Give the machine of a driver's name, with the number that tells it from others of its name.

    >>> machine("node07.3fa2-4711-1764099")
    'node07.3fa2'
    """
    return driver.rsplit("-", 2)[0]


def _names(machines: list[str]) -> dict[str, str]:
    """Leave the machines' numbers out where their names tell them apart."""
    bare = {name: name.rpartition(".")[0] or name or "unknown" for name in machines}
    names = list(bare.values())
    return {name: short if names.count(short) == 1 else name for name, short in bare.items()}


def busy_percent(found: tuple[Work, ...]) -> float | None:
    """Give the share of the slots' time in which they trained; None where there was no time."""
    if not found:
        return None
    slots = len({one.place for one in found})
    whole = max(one.end_s for one in found) * slots
    return 100.0 * sum(one.end_s - one.start_s for one in found) / whole if whole else None
