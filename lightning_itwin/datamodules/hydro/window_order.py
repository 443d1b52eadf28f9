"""Which windows make up which batch of which rank, in every epoch."""

# N series, B batch

from __future__ import annotations

import zlib
from dataclasses import InitVar, dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """The windows of one batch.

    Args:
        series: (B,) int64.
        start: first day of each, (B,) int64.
        block: series of the block from which they are taken, rising; None where all series are at hand.
    """

    series: np.ndarray
    start: np.ndarray
    block: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class TrainingOrder:
    """Draws windows for an epoch and deals them to the ranks, as many batches for each.

    All windows are numbered, series by series. An epoch takes ``samples`` of them: one at random from each of
    as many equal stretches of the numbers, so that every series and every season has its share, in random
    order. Where there are no more windows than that, it takes each once.

    With ``block_series``, runs of neighbouring series are dealt at random into blocks, a block belongs to one
    rank, and batches are taken from one block after the other: no rank reads what another reads.

    Args:
        series: the series to draw from, neighbours beside each other, (N,).
        starts: the first start of a window and the one after the last.
        samples: windows in an epoch over all ranks; None takes all.
        batch_size: windows in a batch of one rank; the last of a block may have fewer.
        rank: this process's rank.
        world_size: number of ranks.
        seed: seed of the draws; the epoch enters beside it.
        block_series: series in a block; 0 where all are at hand.
        block_windows: about how many windows are taken from a block before the next.
        run_series: neighbouring series that stay together in a block.

    Raises:
        ValueError: a number is outside its range, or there are fewer windows or series than ranks.

    >>> order = TrainingOrder(series=np.arange(3), starts=(0, 4), samples=None, batch_size=5)
    >>> len(order), order.windows, order.batch(0, 2).series.size
    (3, 12, 2)
    """

    series: InitVar[np.ndarray]
    starts: tuple[int, int]
    samples: int | None
    batch_size: int
    rank: int = 0
    world_size: int = 1
    seed: int = 0
    block_series: int = 0
    block_windows: int = 4096
    run_series: int = 16
    fingerprint: int = 0

    def __post_init__(self, series: np.ndarray) -> None:
        series = np.ascontiguousarray(series, dtype=np.int64)
        object.__setattr__(self, "_series", series)
        object.__setattr__(self, "fingerprint", zlib.crc32(series.tobytes()))
        if self.batch_size < 1 or (self.samples is not None and self.samples < 1) or self.run_series < 1:
            raise ValueError(
                f"batch and samples_per_epoch must be at least 1, not {self.batch_size} and {self.samples}."
            )
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank must be below world_size, not {self.rank} of {self.world_size}.")
        if self.windows < self.world_size:
            raise ValueError(f"{self.windows} windows cannot be shared among {self.world_size} ranks.")
        if self.block_series and series.size < self.world_size:
            raise ValueError(f"{series.size} series cannot be shared among {self.world_size} ranks.")

    @property
    def windows(self) -> int:
        """Number of windows there are."""
        return self._all_series.size * (self.starts[1] - self.starts[0])

    @property
    def samples_per_rank(self) -> int:
        """Windows of one rank in an epoch, the same for each."""
        wanted = self.windows if self.samples is None else min(self.samples, self.windows)
        return max(1, wanted // self.world_size)

    @property
    def blocks_per_rank(self) -> int:
        """Blocks that one rank reads in an epoch."""
        if not self.block_series:
            return 1
        there = self._all_series.size // self._block_size() // self.world_size
        return max(1, min(there, -(-self.samples_per_rank // self.block_windows)))

    @property
    def largest_batch(self) -> int:
        """Windows in the largest batch."""
        return min(self.batch_size, self.samples_per_rank)

    def __len__(self) -> int:
        return -(-self.samples_per_rank // self.batch_size)

    def permutation(self, epoch: int) -> list[Windows]:
        """Give all batches of this rank in an epoch, in order."""
        if not self.block_series:
            number = self._draw(self.windows, self.samples_per_rank * self.world_size, epoch, 0)
            return self._batches(number[self.rank :: self.world_size], self._all_series, None)
        size, count = self._block_size(), self.blocks_per_rank
        order = self._shuffled_runs(epoch)
        edges = len(self) * np.arange(count + 1) // count * self.batch_size
        edges[-1] = self.samples_per_rank
        found: list[Windows] = []
        for block in range(count):
            which = block * self.world_size + self.rank
            series = np.sort(order[which * size : (which + 1) * size])
            total = series.size * (self.starts[1] - self.starts[0])
            number = self._draw(total, int(edges[block + 1] - edges[block]), epoch, 1 + which)
            found += self._batches(number, series, series)
        return found

    def batch(self, epoch: int, number: int, permutation: list[Windows] | None = None) -> Windows:
        """Give the windows of one batch of this rank.

        Args:
            epoch: the epoch, from 0.
            number: the batch, from 0.
            permutation: the epoch's, where it is at hand.
        """
        return (self.permutation(epoch) if permutation is None else permutation)[number]

    @property
    def _all_series(self) -> np.ndarray:
        return self._series  # type: ignore[attr-defined]

    def _block_size(self) -> int:
        return max(1, min(self.block_series, self._all_series.size // self.world_size))

    def _generator(self, epoch: int, stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch, stream])))

    def _draw(self, total: int, count: int, epoch: int, stream: int) -> np.ndarray:
        """Draw numbers below a total: all once, or one from each of equal stretches, in random order."""
        generator = self._generator(epoch, 2 + stream)
        if count >= total:
            return np.concatenate([generator.permutation(total) for _ in range(-(-count // total))])[:count]
        edges = np.arange(count + 1) * total // count
        number = edges[:-1] + (generator.random(count) * np.diff(edges)).astype(np.int64)
        generator.shuffle(number)
        return number

    def _batches(self, number: np.ndarray, series: np.ndarray, block: np.ndarray | None) -> list[Windows]:
        first, span = self.starts[0], self.starts[1] - self.starts[0]
        which, start = np.divmod(number, span)
        which = series[which]
        start += first
        return [
            Windows(which[begin : begin + self.batch_size], start[begin : begin + self.batch_size], block)
            for begin in range(0, number.size, self.batch_size)
        ]

    def _shuffled_runs(self, epoch: int) -> np.ndarray:
        """Give the series in runs of neighbours, the runs in random order, the same for all ranks."""
        size = self._all_series.size
        run = min(self.run_series, self._block_size())
        begins = self._generator(epoch, 1).permutation(np.arange(0, size, run))
        order = (begins[:, None] + np.arange(run)).ravel()
        return self._all_series[order[order < size]]
