"""Reads any events of a folder of shards into memory that is there already, at the speed of the disk."""

# N events, P parameters

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np

from lightning_itwin.datamodules.gw.shard_format import (
    ShardError,
    ShardManifest,
    ShardTable,
    damaged_blocks,
    missing_shards,
    partial_path,
    records_path,
    table_path,
)


class ShardReader:
    """The events of a folder of shards, in the order of their numbers.

    Args:
        folder: the folder.
        verify: read everything once and compare the checksums, before anything else.

    Raises:
        ShardError: a shard is missing, partial, of a wrong size or damaged.
    """

    def __init__(self, folder: str | Path, verify: bool = False) -> None:
        self._descriptors: dict[int, int] = {}
        self.folder = Path(folder)
        self.manifest = ShardManifest.read(self.folder)
        missing = missing_shards(self.folder, self.manifest)
        if missing:
            partial = [str(shard) for shard in missing if partial_path(self.folder, shard).exists()]
            raise ShardError(
                f"{self.folder} is not finished: {len(missing)} of {self.manifest.shards} shards are missing"
                + (f", {len(partial)} of them partial" if partial else "")
                + f" (first: {records_path(self.folder, missing[0]).name}). Start the simulation again with "
                f"the same settings; it goes on where it was."
            )
        if verify:
            self.verify()
        tables = [ShardTable.read(table_path(self.folder, shard)) for shard in range(self.manifest.shards)]
        self.theta = np.concatenate([table.theta for table in tables])
        self.psd_index = np.concatenate([table.psd_index for table in tables])
        self.optimal_snr = np.concatenate([table.optimal_snr for table in tables])

    def __len__(self) -> int:
        return self.manifest.events

    def verify(self) -> None:
        """Compare the checksums of all shards.

        Raises:
            ShardError: blocks are damaged; the message names the shard.
        """
        for shard in range(self.manifest.shards):
            damaged = damaged_blocks(self.folder, self.manifest, shard)
            if damaged:
                raise ShardError(
                    f"{records_path(self.folder, shard)} is damaged: the checksum of {len(damaged)} blocks "
                    f"is wrong (first: {damaged[0]}). Delete it and its .npz and start the simulation again; "
                    f"that makes this shard alone."
                )

    def read_into(self, events: np.ndarray, buffer: memoryview) -> None:
        """Read records, one system call for each run of neighbours.

        Args:
            events: event numbers in rising order, (N,).
            buffer: where the records go, one after the other, in the order of ``events``.

        Raises:
            ShardError: a file ends before its time.
        """
        record = self.manifest.record.bytes
        per_shard = self.manifest.events_per_shard
        # A run ends where the next event is no neighbour, or lies in the next shard.
        last = np.flatnonzero((np.diff(events) != 1) | (events[1:] % per_shard == 0))
        edges = [0, *(last + 1).tolist(), len(events)]
        for begin, end in itertools.pairwise(edges):
            shard, row = divmod(int(events[begin]), per_shard)
            self._read(shard, row * record, buffer[begin * record : end * record])

    def close(self) -> None:
        """Close the files."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def _read(self, shard: int, offset: int, target: memoryview) -> None:
        descriptor = self._descriptors.get(shard)
        if descriptor is None:
            opened = os.open(records_path(self.folder, shard), os.O_RDONLY | os.O_CLOEXEC)
            descriptor = self._descriptors.setdefault(shard, opened)
            if descriptor != opened:  # another thread was faster
                os.close(opened)
        done = 0
        while done < len(target):
            count = os.preadv(descriptor, [target[done:]], offset + done)
            if not count:
                raise ShardError(
                    f"{records_path(self.folder, shard)} ends before its time: it was cut while being read."
                )
            done += count
