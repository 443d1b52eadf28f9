"""Full events at random from disk: shards through the DataLoader beside a memory map and HDF5.

Every way gives batches of 256 random events of 3 x 65,536 float32. A round runs all of them, one after
another; gigabytes per second of processor time, all threads counted. Cold: the file's
pages are evicted before each run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from result_page import command_line, write_page

from lightning_itwin.datamodules.batch_loader import BatchLoader, OrderedBatches
from lightning_itwin.datamodules.gw.event_order import EventOrder
from lightning_itwin.datamodules.gw.shard_format import (
    EVENTS_PER_BLOCK,
    RecordFormat,
    ShardManifest,
    ShardTable,
    records_path,
    table_path,
)
from lightning_itwin.datamodules.gw.shard_reader import ShardReader
from lightning_itwin.datamodules.gw.shard_source import ShardSource

BATCH = 256
RECORD = RecordFormat(dtype="float32", shape=[3, 65536])
# GB per second of processor time, measured in the same way on another machine, where a bare `preadv` reached
# 4.0, the memory map 3.1 and HDF5 0.7 to 2.0.
QUOTED = {"litdata, 64 MB chunks": 0.84, "webdataset, tar": 0.43, "Zarr 3, a file an event": 0.39}


def make_files(folder: Path, events: int) -> dict[str, list[Path]]:
    """Write the same events as shards and as HDF5; give the files of each format."""
    shards = folder / "shards"
    shards.mkdir()
    manifest = ShardManifest(
        settings={"content": "strain"},
        names=["chirp_mass"],
        events=events,
        events_per_shard=max(EVENTS_PER_BLOCK, events // 2),
        record=RECORD,
        psd_hash="",
    )
    manifest.write(shards)
    generator = torch.Generator().manual_seed(1)
    with (
        h5py.File(folder / "contiguous.h5", "w") as contiguous,
        h5py.File(folder / "chunked.h5", "w") as chunked,
    ):
        shape = (events, *RECORD.shape)
        targets = [
            contiguous.create_dataset("strain", shape, "f4"),
            chunked.create_dataset("strain", shape, "f4", chunks=(1, *RECORD.shape)),
        ]
        for shard in range(manifest.shards):
            begin, end = manifest.span(shard)
            with records_path(shards, shard).open("wb") as file:
                for first in range(begin, end, 64):
                    block = torch.randn(min(64, end - first), *RECORD.shape, generator=generator).numpy()
                    file.write(block.data)
                    for target in targets:
                        target[first : first + len(block)] = block
            count = end - begin
            ShardTable(
                theta=np.arange(begin, end, dtype=np.float64)[:, None],
                psd_index=np.zeros(count, np.int64),
                optimal_snr=np.zeros(count),
                crc32=np.zeros(-(-count // EVENTS_PER_BLOCK), np.int64),
            ).write(table_path(shards, shard))
    return {
        "shards": [records_path(shards, shard) for shard in range(manifest.shards)],
        "contiguous": [folder / "contiguous.h5"],
        "chunked": [folder / "chunked.h5"],
    }


def batches_of(events: int, epoch: int) -> Iterator[np.ndarray]:
    order = EventOrder(events=events, batch_size=BATCH, shuffle_block=1)
    permutation = order.permutation(epoch)
    return (order.batch(epoch, number, permutation) for number in range(events // BATCH))


class Ways:
    """The ways to read an epoch; each gives the number of bytes that it read."""

    def __init__(self, folder: Path, events: int) -> None:
        self.events = events
        self.epoch = 0
        self.reader = ShardReader(folder / "shards")
        self.files = {kind: h5py.File(folder / f"{kind}.h5") for kind in ("contiguous", "chunked")}
        self.buffer = np.empty((BATCH, *RECORD.shape), np.float32)
        self.loaders = {
            (block, ahead): BatchLoader(
                OrderedBatches(
                    ShardSource(self.reader, 0, events),
                    EventOrder(events=events, batch_size=BATCH, shuffle_block=block),
                    lambda: self.epoch,
                    ahead,
                )
            )
            for block, ahead in ((8, 0), (1, 0), (8, 2))
        }

    def shards(self, block: int, ahead: int) -> int:
        return sum(batch.record.nbytes for batch in self.loaders[block, ahead])

    def preadv(self) -> int:
        total = 0
        descriptors = [os.open(records_path(self.reader.folder, shard), os.O_RDONLY) for shard in (0, 1)]
        for batch in batches_of(self.events, self.epoch):
            for row, event in enumerate(batch):
                shard, place = divmod(int(event), self.reader.manifest.events_per_shard)
                total += os.preadv(descriptors[shard], [self.buffer[row].data], place * RECORD.bytes)
        for descriptor in descriptors:
            os.close(descriptor)
        return total

    def memory_map(self) -> int:
        # Mapped anew each time: pages that are mapped cannot be evicted.
        maps = [
            np.memmap(records_path(self.reader.folder, shard), np.float32, "r").reshape(-1, *RECORD.shape)
            for shard in range(self.reader.manifest.shards)
        ]
        total = 0
        for batch in batches_of(self.events, self.epoch):
            shard, row = np.divmod(batch, self.reader.manifest.events_per_shard)
            made = np.concatenate([mapped[row[shard == number]] for number, mapped in enumerate(maps)])
            total += made.nbytes
        return total

    def hdf5(self, kind: str, one_by_one: bool) -> int:
        data, total = self.files[kind]["strain"], 0
        for batch in batches_of(self.events, self.epoch):
            if one_by_one:
                for row, event in enumerate(batch):
                    data.read_direct(self.buffer, np.s_[event : event + 1], np.s_[row : row + 1])
                total += self.buffer.nbytes
            else:
                total += data[batch].nbytes
        return total


def measured(way: Callable[[], int], files: list[Path], cold: bool) -> tuple[float, float]:
    """Give GB per second of processor time, and of the clock."""
    if cold:
        for file in files:
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    read = way()
    return read / 1e9 / (time.process_time() - cpu_s), read / 1e9 / (time.perf_counter() - wall_s)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=2560, help="events, 0.79 MB each (default: 2560)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds over all ways (default: 7)")
    parser.add_argument("--folder", type=Path, default=None, help="where the files go (default: temporary)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        files = make_files(Path(folder), options.events)
        ways = Ways(Path(folder), options.events)
        table: dict[str, tuple[Callable[[], int], str]] = {
            "shards, DataLoader, blocks of 8": (lambda: ways.shards(8, 0), "shards"),
            "shards, DataLoader, single events": (lambda: ways.shards(1, 0), "shards"),
            "shards, DataLoader, blocks of 8, read ahead in a thread": (lambda: ways.shards(8, 2), "shards"),
            "bare `preadv`, single events, one buffer": (ways.preadv, "shards"),
            "memory map, fancy index": (ways.memory_map, "shards"),
            "HDF5 contiguous, `read_direct`": (lambda: ways.hdf5("contiguous", True), "contiguous"),
            "HDF5 contiguous, sorted fancy index": (lambda: ways.hdf5("contiguous", False), "contiguous"),
            "HDF5 chunk = event, `read_direct`": (lambda: ways.hdf5("chunked", True), "chunked"),
        }
        warm: dict[str, list[float]] = {name: [] for name in table}
        cold: dict[str, list[tuple[float, float]]] = {name: [] for name in table}
        for way, kind in table.values():
            measured(way, files[kind], cold=False)
        for ways.epoch in range(1, options.rounds + 1):
            for name, (way, kind) in table.items():
                warm[name].append(measured(way, files[kind], cold=False)[0])
        for ways.epoch in range(options.rounds + 1, options.rounds + 3):
            for name, (way, kind) in table.items():
                cold[name].append(measured(way, files[kind], cold=True))
    lines = [
        f"{options.events} events ({options.events * RECORD.bytes / 1e9:.1f} GB), batches of {BATCH}, "
        f"{options.rounds} interleaved rounds warm, 2 cold. GB per second of processor time: median "
        "(lowest to highest).",
        "",
        "| way | warm | cold, processor | cold, clock |",
        "|---|---|---|---|",
    ]
    for name in table:
        spread = f"{statistics.median(warm[name]):.2f} ({min(warm[name]):.2f} to {max(warm[name]):.2f})"
        cpu, clock = (statistics.median(values) for values in zip(*cold[name]))
        lines.append(f"| {name} | {spread} | {cpu:.2f} | {clock:.2f} |")
    lines += [f"| {name} (quoted*) | {value:.2f} | | |" for name, value in QUOTED.items()]
    lines += [
        "",
        "*on another machine, where a bare `preadv` reached 4.0, the memory map 3.1, HDF5 0.7 to 2.0",
    ]
    ours, *others = table
    ratios = [
        f"{statistics.median([a / b for a, b in zip(warm[ours], warm[other])]):.2f} x {other}"
        for other in others
    ]
    reached = f"**{statistics.median(warm[ours]):.2f} GB/s a core** ({ours}; goal 4.0)"
    lines += ["", f"{reached}: {'; '.join(ratios)}"]
    write_page("event_reading", "Reading full events at random", command_line(), lines)


if __name__ == "__main__":
    main()
