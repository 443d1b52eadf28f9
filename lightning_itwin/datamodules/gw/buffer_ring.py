"""Batch buffers that are used again and again: page faults of fresh memory cost more than the reading."""

from __future__ import annotations

import mmap

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.datamodules.gw.shard_format import as_bytes

_HUGE_PAGE = 2**21


class BufferRing:
    """A few buffers of the size of a batch, used in turn.

    Batch ``n`` lies in buffer ``n % slots`` until batch ``n + slots`` is read into the same memory.
    A batch that is being copied to a GPU is protected by an event, see ``hold``.

    Args:
        slots: number of buffers.
        shape: shape of a batch, the number of events first.
        dtype: of the samples.
        pinned: page-locked memory, from which a GPU copies by itself; else memory in huge pages where the
            system has them.
    """

    def __init__(self, slots: int, shape: tuple[int, ...], dtype: torch.dtype, pinned: bool = False) -> None:
        self._buffers = [
            torch.empty(shape, dtype=dtype, pin_memory=True) if pinned else _in_huge_pages(shape, dtype)
            for _ in range(slots)
        ]
        self._held: dict[int, torch.cuda.Event] = {}
        self._bytes = [as_bytes(buffer.numpy()) for buffer in self._buffers]

    def __len__(self) -> int:
        return len(self._buffers)

    def slot(self, batch: int) -> tuple[Tensor, memoryview]:
        """Give the buffer of a batch, as a tensor and as bytes, once nobody copies from it any more."""
        number = batch % len(self._buffers)
        copied = self._held.pop(number, None)
        if copied is not None:
            copied.synchronize()
        return self._buffers[number], self._bytes[number]

    def hold(self, batch: Tensor, until: torch.cuda.Event) -> None:
        """Keep a batch's buffer until an event has happened on the GPU; no effect on other tensors."""
        for number, buffer in enumerate(self._buffers):
            if buffer.data_ptr() == batch.data_ptr():
                self._held[number] = until


def _in_huge_pages(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    count = int(np.prod(shape))
    length = count * torch.empty(0, dtype=dtype).element_size()
    # The mapping lives as long as the tensor over it.
    memory = mmap.mmap(-1, max(length, 1) + _HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    address = np.frombuffer(memory, dtype=np.uint8).ctypes.data
    offset = -address % _HUGE_PAGE
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=offset).reshape(shape)
