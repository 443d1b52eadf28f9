"""What the rows of a GPU add up to: energy and means of every physical device of a run, counted once.

Rows bear the energy since their process began to monitor. Two things keep a plain sum from being true:

* several ranks may have written of one device: those rows overlap in time, and one rank's count;
* a training that a second process resumed has rows whose energy starts over: they follow in time, and add up.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lightning_itwin.records.schema import GPURecord, Record


@dataclass(frozen=True, kw_only=True)
class GPUSummary:
    """One physical GPU over a whole run.

    Args:
        node: host name.
        index: index of the device on its node as the driver counts.
        uuid: the driver's UUID.
        name: product name.
        duration_s: time under monitoring.
        energy_wh: energy in that time; None where neither counter nor power could be read.
        energy_source: ``"counter"`` or ``"trapezoid"``, both joined by ``+`` where it changed.
        utilization_percent: mean over time, 0-100.
        sm_active_percent: mean over time, 0-100.
        power_w: mean over time.
        memory_gib: largest reading.
        temperature_c: largest reading.
        throttle_reasons: every reason that was seen, joined by ``+``; None where they could not be read.
    """

    node: str
    index: int
    uuid: str
    name: str
    duration_s: float
    energy_wh: float | None
    energy_source: str | None
    utilization_percent: float | None
    sm_active_percent: float | None
    power_w: float | None
    memory_gib: float | None
    temperature_c: float | None
    throttle_reasons: str | None


def summarize_gpus(records: Iterable[Record]) -> tuple[GPUSummary, ...]:
    """Summarise every physical GPU of one run.

    A reading tells of the time before it, so it weighs as long as the time since the reading before.

    Args:
        records: rows of one run, those of a rank in the order in which they were written; rows of other
            kinds are passed over.

    Returns:
        one summary a device, by node and index; empty where no GPU was read.

    >>> row = dict(rank=0, node="n", index=0, uuid="GPU-1", name="H200", memory_gib=2.0,
    ...            memory_total_gib=140.0, temperature_c=50.0, energy_source="counter")
    >>> rows = [
    ...     GPURecord(time_unix_s=0.0, power_w=300.0, utilization_percent=0.0, energy_wh=0.0, **row),
    ...     GPURecord(time_unix_s=60.0, power_w=300.0, utilization_percent=80.0, energy_wh=5.0, **row),
    ... ]
    >>> summary, = summarize_gpus(rows)
    >>> summary.energy_wh, summary.power_w, summary.utilization_percent
    (5.0, 300.0, 80.0)
    """
    devices: dict[str, dict[int, list[GPURecord]]] = {}
    for record in records:
        if isinstance(record, GPURecord):
            devices.setdefault(record.uuid, {}).setdefault(record.rank, []).append(record)
    summaries = [
        _summarize(_counted_once([part for rows in ranks.values() for part in _segments(rows)]))
        for ranks in devices.values()
    ]
    return tuple(sorted(summaries, key=lambda gpu: (gpu.node, gpu.index, gpu.uuid)))


def gpu_energy_wh(records: Iterable[Record]) -> float | None:
    """Give the energy of all GPUs of one run; None where there is none, or where that of one is unknown."""
    energies = [gpu.energy_wh for gpu in summarize_gpus(records)]
    known = [energy for energy in energies if energy is not None]
    return sum(known) if energies and len(known) == len(energies) else None


def gpu_utilization_percent(records: Iterable[Record]) -> float | None:
    """Give the utilisation of one run: mean over its GPUs of the mean over time; None where it is unknown."""
    known = [
        gpu.utilization_percent for gpu in summarize_gpus(records) if gpu.utilization_percent is not None
    ]
    return sum(known) / len(known) if known else None


def _segments(rows: Sequence[GPURecord]) -> list[list[GPURecord]]:
    """Part one rank's rows of one device where the energy starts over."""
    parts: list[list[GPURecord]] = []
    last_wh: float | None = None
    for row in rows:
        starts_over = row.energy_wh is not None and last_wh is not None and row.energy_wh < last_wh
        if not parts or starts_over:
            parts.append([])
        parts[-1].append(row)
        if row.energy_wh is not None:
            last_wh = row.energy_wh
    return parts


def _counted_once(segments: list[list[GPURecord]]) -> list[list[GPURecord]]:
    """Of segments that overlap in time keep one rank's: those of the most energy, then of the most rows."""
    groups: list[list[list[GPURecord]]] = []
    end_s = float("-inf")
    for segment in sorted(segments, key=lambda part: part[0].time_unix_s):
        if segment[0].time_unix_s >= end_s:
            groups.append([])
        groups[-1].append(segment)
        end_s = max(end_s, segment[-1].time_unix_s)
    kept: list[list[GPURecord]] = []
    for group in groups:
        ranks: dict[int, list[list[GPURecord]]] = {}
        for segment in group:
            ranks.setdefault(segment[0].rank, []).append(segment)
        kept += max(ranks.values(), key=lambda parts: (_energy_wh(parts) or 0.0, sum(map(len, parts))))
    return kept


def _energy_wh(segments: Iterable[Sequence[GPURecord]]) -> float | None:
    known = [
        max(row.energy_wh for row in segment if row.energy_wh is not None)
        for segment in segments
        if any(row.energy_wh is not None for row in segment)
    ]
    return sum(known) if known else None


def _summarize(segments: list[list[GPURecord]]) -> GPUSummary:
    rows = [row for segment in segments for row in segment]
    duration_s = sum(segment[-1].time_unix_s - segment[0].time_unix_s for segment in segments)
    reasons = [row.throttle_reasons for row in rows if row.throttle_reasons is not None]
    sources = {row.energy_source for row in rows if row.energy_source is not None}
    energy_wh = _energy_wh(segments)
    power_w = _mean_over_time(segments, lambda row: row.power_w)
    if energy_wh is not None and duration_s > 0:
        power_w = energy_wh * 3600 / duration_s
    return GPUSummary(
        node=rows[-1].node,
        index=rows[-1].index,
        uuid=rows[-1].uuid,
        name=rows[-1].name,
        duration_s=duration_s,
        energy_wh=energy_wh,
        energy_source="+".join(sorted(sources)) or None,
        utilization_percent=_mean_over_time(segments, lambda row: row.utilization_percent),
        sm_active_percent=_mean_over_time(segments, lambda row: row.sm_active_percent),
        power_w=power_w,
        memory_gib=max((row.memory_gib for row in rows if row.memory_gib is not None), default=None),
        temperature_c=max((row.temperature_c for row in rows if row.temperature_c is not None), default=None),
        throttle_reasons="+".join(sorted(set("+".join(reasons).split("+")) - {""})) if reasons else None,
    )


def _mean_over_time(
    segments: Iterable[Sequence[GPURecord]], field: Callable[[GPURecord], float | None]
) -> float | None:
    weighted, weights, plain = 0.0, 0.0, []
    for segment in segments:
        known = [(row.time_unix_s, value) for row in segment if (value := field(row)) is not None]
        plain += [value for _, value in known]
        for (before_s, _), (now_s, value) in itertools.pairwise(known):
            weighted += value * max(now_s - before_s, 0.0)
            weights += max(now_s - before_s, 0.0)
    if weights > 0:
        return weighted / weights
    return sum(plain) / len(plain) if plain else None
