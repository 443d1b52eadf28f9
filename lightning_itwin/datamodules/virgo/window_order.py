"""Which windows make up which batch of which rank."""

# N windows, B batch

from __future__ import annotations

import itertools
import zlib
from dataclasses import InitVar, dataclass

import numpy as np

from lightning_itwin.datamodules.gw.event_order import EventOrder


@dataclass(frozen=True, kw_only=True)
class TrainingOrder(EventOrder):
    """Deals shuffled windows to the ranks, each window to one of them, once an epoch.

    Args:
        fingerprint: of the windows; a training that goes on in the middle of an epoch needs the same.

    See :class:`lightning_itwin.datamodules.gw.event_order.EventOrder`.
    """

    fingerprint: int = 0


@dataclass(frozen=True, kw_only=True)
class ConsecutiveOrder:
    """Gives each rank a run of windows that follow each other, each window once over all ranks.

    Ranks have as many batches as each other, of nearly the same size, where all windows have one length; a
    batch has windows of one length.

    Args:
        lengths: samples of each window, (N,).
        batch_size: windows in a batch of one rank, at most.
        rank: this process's rank.
        world_size: number of ranks.

    Raises:
        ValueError: a number is outside its range, or there are fewer windows than ranks.

    >>> order = ConsecutiveOrder(lengths=np.full(5, 8), batch_size=2)
    >>> [order.batch(0, number).tolist() for number in range(len(order))]
    [[0], [1, 2], [3, 4]]
    """

    lengths: InitVar[np.ndarray]
    batch_size: int
    rank: int = 0
    world_size: int = 1
    windows: int = 0
    fingerprint: int = 0

    def __post_init__(self, lengths: np.ndarray) -> None:
        lengths = np.ascontiguousarray(lengths, dtype=np.int64)
        object.__setattr__(self, "_lengths", lengths)
        object.__setattr__(self, "windows", len(lengths))
        object.__setattr__(self, "fingerprint", zlib.crc32(lengths.tobytes()))
        if self.batch_size < 1 or not 0 <= self.rank < self.world_size:
            raise ValueError(
                f"batch_size must be at least 1 and rank below world_size, not {self.batch_size}, "
                f"{self.rank} and {self.world_size}."
            )
        if self.windows < self.world_size:
            raise ValueError(
                f"{self.windows} windows cannot be shared among {self.world_size} ranks; use fewer ranks or "
                "shorter windows."
            )

    @property
    def largest_batch(self) -> int:
        """Windows in a full batch."""
        return self.batch_size

    def __len__(self) -> int:
        return len(self.permutation(0))

    def permutation(self, epoch: int) -> list[tuple[int, int]]:
        """Give first window and the one after the last of each batch of this rank, in every epoch."""
        lengths: np.ndarray = self._lengths  # type: ignore[attr-defined]
        first, last = (self.windows * rank // self.world_size for rank in (self.rank, self.rank + 1))
        most = -(-self.windows // self.world_size)
        fewest = self.windows // self.world_size
        batches = max(1, min(-(-most // self.batch_size), fewest))
        edges = {int(edge) for edge in first + (last - first) * np.arange(batches + 1) // batches}
        edges |= {first + 1 + int(at) for at in np.flatnonzero(np.diff(lengths[first:last]))}
        ordered = sorted(edges)
        return list(itertools.pairwise(ordered))

    def batch(self, epoch: int, number: int, permutation: list[tuple[int, int]] | None = None) -> np.ndarray:
        """Give the windows of one batch of this rank, (B,)."""
        return np.arange(*(self.permutation(0) if permutation is None else permutation)[number])


def segment_blocks(
    stretches: np.ndarray, segment: int, hop: int, per_block: int, rank: int = 0, world_size: int = 1
) -> list[tuple[int, int]]:
    """Give a rank's blocks for sums over segments, such as Welch's: each segment is in one block of one rank.

    A block holds ``per_block`` segments of ``segment`` samples, ``hop`` samples apart; neighbouring blocks
    share ``segment - hop`` samples. Sums over the segments of all blocks are those over the segments of all
    stretches, for any number of ranks.

    Args:
        stretches: ranges of samples without a gap, rising, int64 (S, 2).
        segment: samples of a segment.
        hop: samples from one segment to the next.
        per_block: segments of a block, at most.
        rank: this process's rank.
        world_size: number of ranks.

    Returns:
        First sample of each block, and the one after its last.

    >>> segment_blocks(np.array([[0, 10]]), segment=4, hop=2, per_block=3)
    [(0, 8), (6, 10)]
    """
    found = []
    for begin, end in np.asarray(stretches).tolist():
        count = (end - begin - segment) // hop + 1
        for first in range(0, max(0, count), per_block):
            last = min(first + per_block, count) - 1
            found.append((begin + first * hop, begin + last * hop + segment))
    return found[len(found) * rank // world_size : len(found) * (rank + 1) // world_size]
