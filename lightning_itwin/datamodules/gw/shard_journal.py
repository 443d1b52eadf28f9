"""The finished blocks of a shard that is being made: with it a killed simulation goes on where it was."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lightning_itwin.datamodules.gw.shard_format import (
    EVENTS_PER_BLOCK,
    ShardManifest,
    ShardTable,
    journal_path,
    partial_path,
    records_path,
    table_path,
)
from lightning_itwin.datamodules.gw.simulation import EventSimulator


class ShardJournal:
    """One shard in the making: a line of the journal a finished block, written after the block itself.

    Args:
        folder: of the data set.
        manifest: of the data set.
        shard: number of the shard.
    """

    def __init__(self, folder: Path, manifest: ShardManifest, shard: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self.shard = shard
        begin, end = manifest.span(shard)
        self.events = end - begin
        self._first_block = begin // EVENTS_PER_BLOCK
        self._blocks = -(-self.events // EVENTS_PER_BLOCK)
        self._done: dict[int, tuple[int, list[float]]] = {}

    @classmethod
    def open(cls, folder: Path, manifest: ShardManifest, shard: int) -> ShardJournal:
        """Find out which blocks an earlier start has finished: listed, and with the right checksum."""
        journal = cls(folder, manifest, shard)
        whole, partial = records_path(folder, shard), partial_path(folder, shard)
        if whole.exists():  # stopped between the two last steps
            os.replace(whole, partial)
        listed = journal_path(folder, shard)
        if not partial.exists() or not listed.exists():
            partial.unlink(missing_ok=True)
            listed.unlink(missing_ok=True)
            return journal
        with partial.open("rb") as file:
            for line in listed.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    block, crc32, snr = entry["block"], entry["crc32"], entry["optimal_snr"]
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue  # cut off in the middle
                file.seek(block * EVENTS_PER_BLOCK * manifest.record.bytes)
                if zlib.crc32(file.read(len(snr) * manifest.record.bytes)) == crc32:
                    journal._done[block] = (crc32, snr)
        return journal

    @property
    def complete(self) -> bool:
        """Whether all blocks are finished."""
        return len(self._done) == self._blocks

    @property
    def missing_events(self) -> int:
        """Events whose block is not finished."""
        return self.events - sum(len(snr) for _, snr in self._done.values())

    def missing_blocks(self) -> Iterator[int]:
        """Give the blocks of this shard that are not finished."""
        return (block for block in range(self._blocks) if block not in self._done)

    def block_span(self, block: int) -> tuple[int, int]:
        """Give a block's number among those of all shards, and how many of its events are kept."""
        kept = min(EVENTS_PER_BLOCK, self.events - block * EVENTS_PER_BLOCK)
        return self._first_block + block, kept

    def append(self, block: int, crc32: int, optimal_snr: list[float]) -> None:
        """Note a block that has been written."""
        self._done[block] = (crc32, optimal_snr)
        line = json.dumps({"block": block, "crc32": crc32, "optimal_snr": optimal_snr})
        with journal_path(self.folder, self.shard).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}")  # the break first: behind a line that was cut off

    def finish(self, simulator: EventSimulator) -> None:
        """Make the shard whole: see its records onto the disk, name it, write its table."""
        partial = partial_path(self.folder, self.shard)
        descriptor = os.open(partial, os.O_RDWR)
        try:
            os.ftruncate(descriptor, self.events * self.manifest.record.bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(partial, records_path(self.folder, self.shard))
        events = np.arange(*self.manifest.span(self.shard))
        blocks = [self._done[block] for block in range(self._blocks)]
        ShardTable(
            theta=simulator.parameters(events).numpy(),
            psd_index=simulator.psd_index(events).numpy(),
            optimal_snr=np.concatenate([snr for _, snr in blocks]),
            crc32=np.array([crc32 for crc32, _ in blocks], dtype=np.int64),
        ).write(table_path(self.folder, self.shard))
        journal_path(self.folder, self.shard).unlink(missing_ok=True)
