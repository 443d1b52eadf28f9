"""Windows cut from stretches of a strain and its witnesses."""

# B batch, C channels, W witnesses, T samples of a window, N windows

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lightning_itwin.strain.alignment import Clock
from lightning_itwin.strain.strain_batch import StrainBatch


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Samples of all channels without a gap.

    Args:
        values: the strain first, (C, n) float32.
        start: number of the first sample on the clock.
    """

    values: np.ndarray
    start: int

    @property
    def end(self) -> int:
        """Number of the sample after the last."""
        return self.start + self.values.shape[1]


class StrainWindows:
    """Windows of equal length, or of two lengths, that lie in stretches; cut when they are asked for.

    Args:
        stretches: rising, without overlap.
        clock: of all of them.
        starts: number of each window's first sample on the clock, (N,) int64.
        lengths: samples of each window, (N,) int64.
    """

    def __init__(
        self, stretches: Sequence[Stretch], clock: Clock, starts: np.ndarray, lengths: np.ndarray
    ) -> None:
        self.stretches = list(stretches)
        self.clock = clock
        self.starts, self.lengths = starts, lengths
        self._begins = np.array([one.start for one in self.stretches], dtype=np.int64)

    @classmethod
    def sliding(cls, stretches: Sequence[Stretch], clock: Clock, window: int, stride: int) -> StrainWindows:
        """Cut windows at even steps, as many as fit into each stretch.

        Args:
            stretches: see above.
            clock: of all of them.
            window: samples of a window.
            stride: samples from one to the next.
        """
        found = [np.arange(one.start, one.end - window + 1, stride) for one in stretches]
        starts = np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64)
        return cls(stretches, clock, starts, np.full(len(starts), window))

    @classmethod
    def covering(
        cls, stretches: Sequence[Stretch], clock: Clock, window: int, overlap: int, shortest: int
    ) -> StrainWindows:
        """Cut windows so that they cover every sample; the last of a stretch ends with it.

        A stretch that is shorter than a window is covered by windows of ``shortest`` samples, and left out
        where it is shorter than these.

        Args:
            stretches: see above.
            clock: of all of them.
            window: samples of a window.
            overlap: samples that two windows share at least.
            shortest: samples of a window where ``window`` does not fit.
        """
        starts: list[np.ndarray] = [np.zeros(0, np.int64)]
        lengths: list[np.ndarray] = [np.zeros(0, np.int64)]
        for one in stretches:
            size = one.end - one.start
            length = window if size >= window else shortest
            if size < length:
                continue
            stride = max(1, length - min(overlap, length // 2))
            found = np.arange(one.start, one.end - length, stride)
            starts.append(np.append(found, one.end - length))
            lengths.append(np.full(len(found) + 1, length))
        return cls(stretches, clock, np.concatenate(starts), np.concatenate(lengths))

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> StrainBatch:
        """Give one window, as a batch of one."""
        if not 0 <= index < len(self):
            raise IndexError(f"Window {index} of {len(self)}.")
        return self.gather(np.array([index]))

    def gps_start_s(self, index: int) -> float:
        """Give the GPS time of the first sample of a window.

        Args:
            index: number of the window.
        """
        return float(self.clock.gps_s(self.starts[index]))

    def gather(self, windows: np.ndarray) -> StrainBatch:
        """Cut windows.

        Args:
            windows: their numbers, (B,); all of one length.
        """
        starts = self.starts[windows]
        length = int(self.lengths[windows[0]]) if len(windows) else 0
        which = np.searchsorted(self._begins, starts, side="right") - 1
        channels = self.stretches[0].values.shape[0] if self.stretches else 1
        witnesses = np.empty((len(starts), channels - 1, length), dtype=np.float32)
        strain = np.empty((len(starts), length), dtype=np.float32)
        for number in np.unique(which):
            there = np.flatnonzero(which == number)
            stretch = self.stretches[number]
            # a view in which every window is a row, (n, C, T); only what is asked for is copied
            view = np.lib.stride_tricks.sliding_window_view(stretch.values, length, axis=1).swapaxes(0, 1)
            offset = starts[there] - stretch.start
            witnesses[there] = view[offset, 1:]
            strain[there] = view[offset, 0]
        return StrainBatch(
            witnesses=torch.from_numpy(witnesses),
            strain=torch.from_numpy(strain),
            gps_s=torch.from_numpy(np.asarray(self.clock.gps_s(starts), dtype=np.float64)),
            start=torch.from_numpy(starts.copy()),
        )

    # A BatchSource of batch_loader.

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Nothing to prepare: batches own their memory."""

    def read(self, samples: Any, epoch: int, number: int) -> StrainBatch:
        """Give the batch of some windows."""
        return self.gather(samples)
