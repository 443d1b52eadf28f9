"""A rank's rows, read for their energy alone: what a million rows tell is found in seconds.

Rows of other kinds are recognised by their first characters and not parsed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_itwin.records.schema import RECORD_TYPES

_CARBON = b'{"kind": "carbon"'
_GPU = b'{"kind": "gpu"'
_EPOCH = b'{"kind": "epoch"'
_OTHER = tuple(f'{{"kind": "{kind}"'.encode() for kind in RECORD_TYPES if kind != "carbon")
_NEEDED = ("time_unix_s", "duration_s", "energy_kwh")

Warn = Callable[[str], None]
Drawn = Callable[[float, float, float], None]


@dataclass(kw_only=True, slots=True)
class Segment:
    """The account of one node, from one start of its meter to the last row before it starts over.

    Args:
        last: the last row.
        begun_unix_s: when it began.
    """

    last: Mapping[str, Any]
    begun_unix_s: float


@dataclass(kw_only=True, slots=True)
class RankFile:
    """What a rank's file tells of energy.

    Args:
        segments: every account of every node.
        has_gpu_rows: whether GPUs were monitored.
        epoch_samples: samples of the whole world by epoch, newest row of each.
    """

    segments: list[Segment] = field(default_factory=list)
    has_gpu_rows: bool = False
    epoch_samples: dict[int, int] = field(default_factory=dict)


def read_rank_file(path: Path, drawn: Drawn, warn: Warn) -> RankFile:
    """Read a rank's file.

    Args:
        path: the file.
        drawn: takes start, end (seconds since 1970) and energy (kWh) between two rows of a node.
        warn: takes a warning that names file and line.
    """
    found = RankFile()
    nodes: dict[str, Segment] = {}
    epochs: list[bytes] = []
    try:
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.startswith(_CARBON):
                    if line.startswith(_OTHER) and line.endswith(b"}\n"):
                        if line.startswith(_GPU):
                            found.has_gpu_rows = True
                        elif line.startswith(_EPOCH):
                            epochs.append(line)
                        continue
                    if not line.strip():
                        continue
                try:
                    row = _row(line)
                except ValueError as error:
                    warn(f"{path}:{number}: row passed over: {error}")
                    continue
                if row is not None:
                    _enter(row, nodes, found.segments, drawn)
    except OSError as error:
        warn(f"{path} was passed over: {error.strerror}")
    found.segments += nodes.values()
    if not any(segment.last.get("samples") for segment in found.segments):
        found.epoch_samples = _samples(epochs)
    return found


def _row(line: bytes) -> dict[str, Any] | None:
    """Give a row of energy; None for a row of another kind."""
    row = json.loads(line)
    kind = row.get("kind") if isinstance(row, dict) else None
    if kind not in RECORD_TYPES:
        raise ValueError(f"not a record of a known kind ({', '.join(RECORD_TYPES)})")
    if kind != "carbon":
        return None
    for name in _NEEDED:
        value = row.get(name)
        if type(value) not in (float, int) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value!r}")
    for name in ("emissions_kg", "measured_percent", "samples", "intensity_g_per_kwh"):
        value = row.get(name)
        if value is not None and (type(value) not in (float, int) or not math.isfinite(value)):
            raise ValueError(f"{name} is {value!r}")
    return row


def _enter(row: dict[str, Any], nodes: dict[str, Segment], ended: list[Segment], drawn: Drawn) -> None:
    node, now, energy = str(row.get("node")), row["time_unix_s"], row["energy_kwh"]
    segment = nodes.get(node)
    if segment is not None and row["duration_s"] < segment.last["duration_s"]:  # a second process goes on
        ended.append(segment)
        segment = None
    if segment is None:
        begun = now - row["duration_s"]
        nodes[node] = Segment(last=row, begun_unix_s=begun)
        drawn(begun, now, energy)
        return
    drawn(segment.last["time_unix_s"], now, energy - segment.last["energy_kwh"])
    segment.last = row


def _samples(lines: list[bytes]) -> dict[int, int]:
    samples: dict[int, int] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("stage") == "train" and row.get("world_samples"):
            samples[row["epoch"]] = row["world_samples"]
    return samples
