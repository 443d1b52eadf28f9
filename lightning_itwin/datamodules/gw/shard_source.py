"""Events from a folder of shards, read into a ring of batch buffers."""

# B batch

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.gw.buffer_ring import BufferRing
from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.datamodules.gw.shard_reader import ShardReader

# Beside the batches that are read ahead: the one in use, and the one before it.
_KEPT = 2


class ShardSource:
    """A range of a folder's events.

    A batch's ``record`` lies in a ring of buffers: it is valid until the second batch after it is asked for.

    Args:
        reader: the folder.
        begin: first event.
        end: the event after the last.
        threads: threads that read one batch together; several read faster from a disk, one is enough from
            memory.
        pinned: page-locked buffers, for a GPU.
        noise_seed: gives the seed of the noise that is to be added to an event without noise, from (events,
            epoch, number); None where the records hold noise.
    """

    def __init__(
        self,
        reader: ShardReader,
        begin: int,
        end: int,
        threads: int = 1,
        pinned: bool = False,
        noise_seed: Callable[[np.ndarray, int, int], int | np.ndarray] | None = None,
    ) -> None:
        self.reader = reader
        self.begin = begin
        self.end = end
        self._pinned = pinned
        self._noise_seed = noise_seed
        self._theta = torch.from_numpy(reader.theta)
        self._psd_index = torch.from_numpy(reader.psd_index)
        self._ring: BufferRing | None = None
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="preadv") if threads > 1 else None

    def __len__(self) -> int:
        return self.end - self.begin

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Allocate the ring, once."""
        if self._ring is None or len(self._ring) < read_ahead + _KEPT:
            record = self.reader.manifest.record
            self._ring = BufferRing(
                slots=read_ahead + _KEPT,
                shape=(largest_batch, *record.shape),
                dtype=getattr(torch, record.dtype),
                pinned=self._pinned,
            )

    def read(self, events: np.ndarray, epoch: int, number: int) -> EventInputs:
        """Read a batch into the next buffer of the ring."""
        if self._ring is None:
            self.prepare(len(events), 0)
        assert self._ring is not None
        buffer, raw = self._ring.slot(number)
        in_file = events + self.begin
        record = self.reader.manifest.record.bytes
        if self._pool is None:
            self.reader.read_into(in_file, raw[: len(events) * record])
        else:
            edges = len(events) * np.arange(self._threads + 1) // self._threads
            parts = [
                self._pool.submit(self.reader.read_into, in_file[a:b], raw[a * record : b * record])
                for a, b in itertools.pairwise(edges)
                if b > a
            ]
            for part in parts:
                part.result()
        rows = torch.from_numpy(in_file)
        return EventInputs(
            theta=self._theta[rows],
            psd_index=self._psd_index[rows],
            record=buffer[: len(events)],
            bank_row=None,
            noise_seed=None if self._noise_seed is None else self._noise_seed(in_file, epoch, number),
        )

    def hold(self, record: Tensor, until: torch.cuda.Event) -> None:
        """Keep a batch's buffer until it has been copied to the GPU."""
        if self._ring is not None:
            self._ring.hold(record, until)
