"""What a model of the strain gets at a time."""

# B batch, W witnesses, T samples of a window

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class StrainBatch(NamedTuple):
    """Windows of the strain and its witnesses.

    Args:
        witnesses: (B, W, T) float32.
        strain: (B, T) float32.
        gps_s: GPS time of the first sample of each window, (B,) float64.
        start: its number on the clock of the data, (B,) int64; exact whatever the precision of the training.
    """

    witnesses: Tensor
    strain: Tensor
    gps_s: Tensor
    start: Tensor
