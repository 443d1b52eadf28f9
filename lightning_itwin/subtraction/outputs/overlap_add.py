"""Windows of predicted noise added up into one series, by any number of processes."""

# B batch, T samples

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# What a sample near the end of a window counts, where no other window has it: it is divided out again.
_LEAST = 1e-6
_BLOCK = 2**20


class OverlapAdd:
    """The weighted sum of windows of one process, in two files of its own that are written as windows come.

    Weights rise from the ends of a window as a squared sine, so that windows that overlap go over into each
    other; after all, sums are divided by the sums of weights. What a killed process has left is written over.

    Args:
        folder: of the parts of all processes; made if needed.
        samples: of the whole series, T.
        part: number of this process.
    """

    def __init__(self, folder: str | Path, samples: int, part: int = 0) -> None:
        self.folder, self.samples, self.part = Path(folder), samples, part
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sums = _map(self._path(part, "sums"), samples, "w+")
        self._weights = _map(self._path(part, "weights"), samples, "w+")

    def add(self, start: np.ndarray, values: np.ndarray, edge: int = 0, ramp: int | None = None) -> None:
        """Add windows.

        Args:
            start: number of the first sample of each, (B,) int64.
            values: (B, T), finite.
            edge: samples at both ends of a window that count only where no other window has them.
            ramp: samples over which the weight rises behind the edge; all up to the middle if not given.

        Raises:
            ValueError: a window lies outside the series, or holds values that are not finite.
        """
        size = values.shape[-1]
        if len(start) and not (start.min() >= 0 and start.max() + size <= self.samples):
            raise ValueError(
                f"A window of {size} samples begins at {start.min()} to {start.max()}; the series has "
                f"{self.samples} samples."
            )
        weight = window_weight(size, edge, ramp)
        for begin, row in zip(start.tolist(), np.asarray(values, dtype=np.float64)):
            if not np.isfinite(row).all():
                raise ValueError(f"The noise of the window that begins at sample {begin} is not finite.")
            inside = slice(begin, begin + size)
            self._sums[inside] += weight * row
            self._weights[inside] += weight

    def close(self) -> None:
        """See the part onto the disk: on every process, before a barrier and ``OverlapAdd.blocks``."""
        self._sums.flush()
        self._weights.flush()

    def blocks(self, begin: int, end: int, parts: int) -> Iterator[np.ndarray]:
        """Give the series of all processes over a range, block by block, float64; NaN where no window lay.

        Args:
            begin: first sample.
            end: the sample after the last.
            parts: number of processes.
        """
        maps = [
            (
                _map(self._path(part, "sums"), self.samples, "r"),
                _map(self._path(part, "weights"), self.samples, "r"),
            )
            for part in range(parts)
            if self._path(part, "weights").is_file()
        ]
        for first in range(begin, end, _BLOCK):
            inside = slice(first, min(first + _BLOCK, end))
            sums = sum(one[inside] for one, _ in maps)
            weights = np.asarray(sum(one[inside] for _, one in maps))
            with np.errstate(invalid="ignore", divide="ignore"):
                yield np.where(weights > 0, sums / weights, np.nan)

    def _path(self, part: int, what: str) -> Path:
        return self.folder / f"part-{part}.{what}"


def window_weight(size: int, edge: int = 0, ramp: int | None = None) -> np.ndarray:
    """Give the weight of each sample of a window, above 0 and at most 1, float64 (T,).

    Args:
        size: samples T.
        edge: samples at both ends that hardly count.
        ramp: samples over which the weight rises behind the edge; all up to the middle if not given.

    >>> window_weight(6, edge=1, ramp=1).round(3).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    edge = min(edge, (size - 1) // 2)
    rise = max(1, size // 2 - edge if ramp is None else min(ramp, size // 2 - edge))
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) - edge
    return np.maximum(np.sin(np.pi / 2 * np.clip((distance + 0.5) / rise, 0, 1)) ** 2, _LEAST)


def _map(path: Path, samples: int, mode: str) -> np.memmap:
    if mode == "w+":
        with path.open("wb") as file:
            os.truncate(file.fileno(), 8 * samples)  # a sparse file
    return np.memmap(path, dtype=np.float64, mode="r" if mode == "r" else "r+", shape=(samples,))
