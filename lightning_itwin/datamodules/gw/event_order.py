"""Which events make up which batch of which rank, in every epoch."""

# N events

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class EventOrder:
    """Deals the events of an epoch to the ranks: every event once, as many batches for each rank.

    Events are shuffled in blocks of neighbours, for one read each. A block moves as a whole; since neighbours
    in a simulated file are as independent as any two events, nothing is lost by it. Batches hold
    ``batch_size`` events, but for the last one or two of an epoch, which share what is left over evenly.

    Args:
        events: number of events, at least one a rank, or none at all.
        batch_size: events in a batch of one rank.
        rank: this process's rank.
        world_size: number of ranks.
        shuffle_block: events in a block; 0 leaves the events in the order of the file.
        seed: seed of the shuffle; the epoch enters beside it.

    Raises:
        ValueError: a number is outside its range, or there are fewer events than ranks.

    >>> order = EventOrder(events=5, batch_size=2, rank=0, world_size=2, shuffle_block=0)
    >>> len(order), order.batch(0, 0), EventOrder(events=5, batch_size=2, rank=1, world_size=2).batches
    (2, array([0]), 2)
    """

    events: int
    batch_size: int
    rank: int = 0
    world_size: int = 1
    shuffle_block: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.shuffle_block < 0:
            raise ValueError(
                f"batch_size must be at least 1 and shuffle_block at least 0, not {self.batch_size} and "
                f"{self.shuffle_block}."
            )
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank must be below world_size, not {self.rank} of {self.world_size}.")
        if 0 < self.events < self.world_size or self.events < 0:
            raise ValueError(
                f"{self.events} events cannot be shared among {self.world_size} ranks; make more events or "
                f"use fewer ranks."
            )

    @property
    def batches(self) -> int:
        """Batches an epoch, the same for each rank."""
        full, tail = self._rounds()
        return full + tail

    @property
    def largest_batch(self) -> int:
        """Events in the largest batch."""
        full, tail = self._rounds()
        left = self.events - full * self.batch_size * self.world_size
        return max(self.batch_size if full else 0, -(-left // (tail * self.world_size)) if tail else 0)

    def __len__(self) -> int:
        return self.batches

    def permutation(self, epoch: int) -> np.ndarray:
        """Give the order of the events in an epoch, the same for all ranks, (N,) int64."""
        if not self.shuffle_block:
            return np.arange(self.events)
        starts = np.arange(0, self.events, self.shuffle_block)
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        order = (generator.permutation(starts)[:, None] + np.arange(self.shuffle_block)).ravel()
        return order[order < self.events]

    def batch(self, epoch: int, number: int, permutation: np.ndarray | None = None) -> np.ndarray:
        """Give the events of one batch of this rank, in rising order.

        Args:
            epoch: the epoch, from 0.
            number: the batch, from 0.
            permutation: the epoch's, where it is at hand.
        """
        order = self.permutation(epoch) if permutation is None else permutation
        full, tail = self._rounds()
        if number < full:
            begin = (number * self.world_size + self.rank) * self.batch_size
            return np.sort(order[begin : begin + self.batch_size])
        first = full * self.world_size * self.batch_size
        piece = (number - full) * self.world_size + self.rank
        edges = first + (self.events - first) * np.arange(tail * self.world_size + 1) // (
            tail * self.world_size
        )
        return np.sort(order[edges[piece] : edges[piece + 1]])

    def _rounds(self) -> tuple[int, int]:
        """Rounds in which each rank has a full batch, and rounds that share the rest."""
        full, left = divmod(self.events, self.world_size * self.batch_size)
        if not left:
            return full, 0
        if left >= self.world_size:
            return full, 1
        # Less than one event a rank is left: it goes together with the last full round.
        left += self.world_size * self.batch_size
        return full - 1, 2 if left >= 2 * self.world_size else 1
