"""Which rank reads which GPU, so that every GPU in use is read by exactly one.

Ranks that share a node may use one GPU together, use one each, or be shut into a container that shows them
one each. So each rank tells which GPUs it sees and which of them it uses, and the lowest rank that sees a GPU
in use reads it: on an ordinary node rank 0 of the node reads them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from lightning_itwin.meters.gpu_sensors import GPUDevice

_MOST_DEVICES = 64


def table(devices: Sequence[GPUDevice], in_use: Collection[GPUDevice], *, fault: bool) -> list[int]:
    """Tell in 65 integers, which every backend can gather, what one rank sees and uses.

    Args:
        devices: the GPUs that it sees.
        in_use: those that it uses.
        fault: whether it has something to warn of.
    """
    entries = sorted(
        (_digest(device.uuid) << 1 | (device in in_use) for device in devices),
        key=lambda entry: not entry & 1,
    )[:_MOST_DEVICES]
    return [int(fault), *entries, *[0] * (_MOST_DEVICES - len(entries))]


def assigned(tables: Sequence[Sequence[int]], rank: int, devices: Sequence[GPUDevice]) -> list[GPUDevice]:
    """Give the GPUs that ``rank`` reads.

    Args:
        tables: the tables of all ranks, by rank.
        rank: global rank.
        devices: the GPUs that it sees.

    >>> gpus = [GPUDevice(index=i, uuid=f"GPU-{i}", name="H200") for i in (0, 1)]
    >>> tables = [table(gpus, [gpu], fault=False) for gpu in gpus]
    >>> [[gpu.index for gpu in assigned(tables, rank, gpus)] for rank in (0, 1)]
    [[0, 1], []]
    """
    used = {entry >> 1 for row in tables for entry in row[1:] if entry & 1}
    taken = {entry >> 1 for row in tables[:rank] for entry in row[1:]}
    return [device for device in devices if _digest(device.uuid) in used - taken]


def warner(tables: Sequence[Sequence[int]]) -> int | None:
    """Give the rank that warns: the lowest that has something to warn of."""
    return next((rank for rank, row in enumerate(tables) if row[0]), None)


def _digest(uuid: str) -> int:
    """Give 62 bits that stand for a UUID, so that an int64 has room for them and a flag."""
    return int.from_bytes(hashlib.blake2b(uuid.encode(), digest_size=8).digest(), "big") >> 2 or 1
