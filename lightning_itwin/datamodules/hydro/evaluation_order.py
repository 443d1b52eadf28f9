"""Which windows of validation, test and prediction make up which batch of which rank."""

# N series, B batch

from __future__ import annotations

import itertools
import zlib
from dataclasses import InitVar, dataclass

import numpy as np

from lightning_itwin.datamodules.hydro.window_order import Windows


@dataclass(frozen=True, kw_only=True)
class EvaluationOrder:
    """Goes through all windows of some series and starts, each once over all ranks.

    Start by start, with all series at hand, each rank has a stretch of the windows. In blocks of series, each
    rank has a stretch of the series, and goes through all starts of a block before the next. Either way all
    ranks have the same number of batches, of nearly the same size. With ``whole_starts`` a batch is of one
    start, a rank has all series of its starts, and ranks may have more batches than others.

    Args:
        series: the series, neighbours beside each other, (N,).
        starts: first days of the windows.
        batch_size: windows in a batch of one rank, at most (one more where a rank has too few for an even
            deal).
        rank: this process's rank.
        world_size: number of ranks.
        block_series: series in a block, at most; 0 goes start by start.
        whole_starts: see above; leaves blocks out.

    Raises:
        ValueError: a number is outside its range, or there are fewer windows or series than ranks.

    >>> order = EvaluationOrder(series=np.arange(3), starts=np.array([5, 9]), batch_size=4)
    >>> [order.batch(0, number).start.tolist() for number in range(len(order))]
    [[5, 5, 5], [9, 9, 9]]
    """

    series: InitVar[np.ndarray]
    starts: InitVar[np.ndarray]
    batch_size: int
    rank: int = 0
    world_size: int = 1
    block_series: int = 0
    whole_starts: bool = False
    fingerprint: int = 0

    def __post_init__(self, series: np.ndarray, starts: np.ndarray) -> None:
        series = np.ascontiguousarray(series, dtype=np.int64)
        starts = np.ascontiguousarray(starts, dtype=np.int64)
        object.__setattr__(self, "_series", series)
        object.__setattr__(self, "_starts", starts)
        object.__setattr__(self, "fingerprint", zlib.crc32(series.tobytes() + starts.tobytes()))
        if self.batch_size < 1 or not 0 <= self.rank < self.world_size:
            raise ValueError(
                f"batch must be at least 1 and rank below world_size, not {self.batch_size}, {self.rank} and "
                f"{self.world_size}."
            )
        shared = series.size if self.block_series else series.size * starts.size
        if shared < self.world_size and not self.whole_starts:
            raise ValueError(
                f"{series.size} series with {starts.size} windows each cannot be shared among "
                f"{self.world_size} "
                f"ranks."
            )

    @property
    def largest_batch(self) -> int:
        """Windows in a batch, about."""
        return self.batch_size

    def __len__(self) -> int:
        return len(self.permutation(0))

    def permutation(self, epoch: int) -> list[tuple[int, int, int, int]]:
        """Give block, number of blocks, first window and the one after the last of each batch of this rank.

        It is the same in every epoch.
        """
        size, count = self._sizes()
        if self.whole_starts:
            first, end = self._stretch(count, self.rank)
            edges = _even(size, -(-size // self.batch_size))
            return [
                (0, 1, start * size + a, start * size + b) for start in range(first, end) for a, b in edges
            ]
        if not self.block_series:
            first, end = self._stretch(size * count, self.rank)
            shortest, longest = size * count // self.world_size, -(-size * count // self.world_size)
            batches = max(1, min(-(-longest // self.batch_size), shortest))
            return [(0, 1, first + a, first + b) for a, b in _even(end - first, batches)]
        longest = -(-size // self.world_size)
        blocks = min(-(-longest // self.block_series), size // self.world_size)
        most = -(-longest // blocks) * count
        fewest = size // self.world_size // blocks * count
        batches = max(1, min(-(-most // self.batch_size), fewest))
        return [
            (block, blocks, a, b)
            for block in range(blocks)
            for a, b in _even(self._block(block, blocks).size * count, batches)
        ]

    def batch(
        self, epoch: int, number: int, permutation: list[tuple[int, int, int, int]] | None = None
    ) -> Windows:
        """Give the windows of one batch of this rank; see ``TrainingOrder.batch``."""
        block, blocks, first, end = (self.permutation(0) if permutation is None else permutation)[number]
        series, starts = self._arrays()
        chosen = series if self.whole_starts or not self.block_series else self._block(block, blocks)
        start, which = np.divmod(np.arange(first, end), chosen.size)
        at_hand = chosen if self.block_series and not self.whole_starts else None
        return Windows(chosen[which], starts[start], at_hand)

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return self._series, self._starts  # type: ignore[attr-defined]

    def _sizes(self) -> tuple[int, int]:
        series, starts = self._arrays()
        return series.size, starts.size

    def _stretch(self, total: int, rank: int) -> tuple[int, int]:
        return total * rank // self.world_size, total * (rank + 1) // self.world_size

    def _block(self, block: int, blocks: int) -> np.ndarray:
        series, _ = self._arrays()
        first, end = self._stretch(series.size, self.rank)
        span = end - first
        return np.sort(series[first + span * block // blocks : first + span * (block + 1) // blocks])


def _even(windows: int, batches: int) -> list[tuple[int, int]]:
    """Cut windows into batches whose sizes differ by one at most."""
    edges = windows * np.arange(batches + 1) // max(1, batches)
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
