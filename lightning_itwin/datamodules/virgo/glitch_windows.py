"""Windows of whitened strain, witnesses and truth, and which of them hold something loud."""

# B batch, C channels, T samples of a window, N windows

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_itwin.datamodules.virgo.strain_windows import StrainWindows
from lightning_itwin.strain.glitch_batch import GlitchBatch

_LOUD = 3.0  # times the usual amplitude over some 16 ms
_AVERAGE_S = 0.016


class GlitchWindows(StrainWindows):
    """Windows whose stretches hold strain, witnesses, and two rows of truth, see ``GlitchBatch``."""

    def glitches(self, windows: np.ndarray) -> GlitchBatch:
        """Cut windows.

        Args:
            windows: their numbers, (B,); all of one length.
        """
        batch = self.gather(windows)
        return GlitchBatch(
            witnesses=batch.witnesses[:, :-2],
            strain=batch.strain,
            glitch=batch.witnesses[:, -2],
            other_glitch=batch.witnesses[:, -1],
            gps_s=batch.gps_s,
            start=batch.start,
        )

    def read(self, samples: Any, epoch: int, number: int) -> GlitchBatch:  # type: ignore[override]
        """Give the batch of some windows."""
        return self.glitches(samples)


def loud_windows(windows: StrainWindows, sample_rate_hz: float, channels: int) -> np.ndarray:
    """Tell which windows hold something louder than usual in any channel.

    Args:
        windows: of one length.
        sample_rate_hz: sample rate.
        channels: rows of the stretches that are looked at, from the first.

    Returns:
        bool, (N,).
    """
    width = max(1, round(_AVERAGE_S * sample_rate_hz))
    loud = np.zeros(len(windows), dtype=bool)
    if not len(windows):
        return loud
    per_window = int(windows.lengths[0]) // width
    for stretch in windows.stretches:
        there = np.flatnonzero((windows.starts >= stretch.start) & (windows.starts < stretch.end))
        first = (windows.starts[there] - stretch.start) // width
        for row in stretch.values[:channels]:
            power = row[: len(row) // width * width].reshape(-1, width).astype(np.float64)
            power = (power**2).mean(axis=1)
            above = np.concatenate([[0], np.cumsum(power > _LOUD**2 * np.median(power))])
            last = np.minimum(first + per_window, len(power))
            loud[there] |= above[last] > above[first]
    return loud
