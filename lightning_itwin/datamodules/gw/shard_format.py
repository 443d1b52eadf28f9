"""How simulated events lie on disk: raw records in shards, a small table beside each, one manifest.

A folder holds

- ``manifest.json``: what was simulated, with which settings and versions; written first;
- ``events-00012.bin``: records of equal length, one an event, one after the other, nothing else;
- ``events-00012.npz``: the events' parameters, PSD sets and signal-to-noise ratios, and a CRC-32 for each
  block of records. It is written last: a shard is whole when it is there;
- ``events-00012.bin.partial`` and ``.journal``: a shard that is being made, and its finished blocks.
"""

# N events, P parameters

from __future__ import annotations

import json
import math
import os
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MANIFEST = "manifest.json"
_FORMAT = 1
# An uninterrupted read of this size runs at the disk's speed, and a checksum a block finds an error soon.
EVENTS_PER_BLOCK = 64


class ShardError(ValueError):
    """A folder of simulated events cannot be used as it is; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class RecordFormat:
    """What is stored of an event.

    Args:
        dtype: ``"float32"`` for a series, ``"complex64"`` for a spectrum.
        shape: detectors and samples, or detectors and frequencies.

    >>> RecordFormat(dtype="float32", shape=[3, 65536]).bytes
    786432
    """

    dtype: str
    shape: list[int]

    @property
    def bytes(self) -> int:
        """Bytes an event."""
        return int(np.dtype(self.dtype).itemsize * math.prod(self.shape))


@dataclass(frozen=True, kw_only=True)
class ShardManifest:
    """What a folder of simulated events holds.

    Args:
        settings: everything the events depend on, plain values: observation, waveform, prior, seed, content.
        names: names of the parameters in the tables.
        events: number of events in all shards.
        events_per_shard: events in each shard but the last.
        record: what is stored of an event.
        psd_hash: BLAKE2 hash of the whitening's standard deviations: a PSD file that changed is noticed.
        versions: versions of the libraries that made the events.
    """

    settings: dict[str, Any]
    names: list[str]
    events: int
    events_per_shard: int
    record: RecordFormat
    psd_hash: str
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.events // self.events_per_shard)

    @property
    def bytes(self) -> int:
        """Bytes of all records."""
        return self.events * self.record.bytes

    def span(self, shard: int) -> tuple[int, int]:
        """Give the first event of a shard, and the one after its last."""
        begin = shard * self.events_per_shard
        return begin, min(begin + self.events_per_shard, self.events)

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``; it appears whole or not at all."""
        text = json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n"
        write_whole(folder / MANIFEST, text.encode())

    @classmethod
    def read(cls, folder: Path) -> ShardManifest:
        """Read ``manifest.json``.

        Raises:
            ShardError: the folder has none, or one of another format.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise ShardError(
                f"{folder} holds no {MANIFEST}: it is no folder of simulated events. Make one with "
                f"python -m lightning_itwin.datamodules.gw simulate --out {folder}"
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != _FORMAT:
                raise ShardError(f"{path} is of another format than {_FORMAT}; simulate the events again.")
            return cls(**{**values, "record": RecordFormat(**values["record"])})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ShardError(f"{path} cannot be understood: {error!r}.") from error


@dataclass(frozen=True, kw_only=True)
class ShardTable:
    """What is known of the events of one shard.

    Args:
        theta: parameters, (N, P) float64.
        psd_index: PSD set an event was whitened with, (N,) int64.
        optimal_snr: optimal signal-to-noise ratio of the network, (N,) float64.
        crc32: checksum of each block of 64 records.
    """

    theta: np.ndarray
    psd_index: np.ndarray
    optimal_snr: np.ndarray
    crc32: np.ndarray

    def write(self, path: Path) -> None:
        """Write the table; it appears whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez(file, **vars(self))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    @classmethod
    def read(cls, path: Path) -> ShardTable:
        """Read a table."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def records_path(folder: Path, shard: int) -> Path:
    """Give the file of a shard's records."""
    return folder / f"events-{shard:05d}.bin"


def table_path(folder: Path, shard: int) -> Path:
    """Give the file of a shard's table."""
    return folder / f"events-{shard:05d}.npz"


def partial_path(folder: Path, shard: int) -> Path:
    """Give the file in which a shard's records are being written."""
    return folder / f"events-{shard:05d}.bin.partial"


def journal_path(folder: Path, shard: int) -> Path:
    """Give the file that lists a partial shard's finished blocks."""
    return folder / f"events-{shard:05d}.journal"


def missing_shards(folder: Path, manifest: ShardManifest) -> list[int]:
    """List the shards that are not whole.

    Raises:
        ShardError: a whole shard has a wrong size.
    """
    missing = []
    for shard in range(manifest.shards):
        path = records_path(folder, shard)
        if not path.is_file() or not table_path(folder, shard).is_file():
            missing.append(shard)
            continue
        begin, end = manifest.span(shard)
        if path.stat().st_size != (end - begin) * manifest.record.bytes:
            raise ShardError(
                f"{path} holds {path.stat().st_size} bytes instead of "
                f"{(end - begin) * manifest.record.bytes}: it was cut or changed. Delete it and its "
                f".npz and start the simulation again; that makes this shard alone."
            )
    return missing


def damaged_blocks(folder: Path, manifest: ShardManifest, shard: int) -> list[int]:
    """List the blocks of a whole shard whose checksum is wrong."""
    table = ShardTable.read(table_path(folder, shard))
    block_bytes = EVENTS_PER_BLOCK * manifest.record.bytes
    with records_path(folder, shard).open("rb") as file:
        return [
            number for number, crc32 in enumerate(table.crc32) if zlib.crc32(file.read(block_bytes)) != crc32
        ]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, see it onto the disk, and rename it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def as_bytes(array: np.ndarray) -> memoryview:
    """Give the bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data
