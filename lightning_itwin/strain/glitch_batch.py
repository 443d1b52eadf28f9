"""What a model of glitches gets at a time."""

# B batch, W witnesses, T samples of a window

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class GlitchBatch(NamedTuple):
    """Windows of whitened strain and of witnesses, with the truth where it is known.

    Args:
        witnesses: above the lowest frequency of the band, in units of their usual spread, (B, W, T) float32.
        strain: whitened; its noise has the spectral density of white noise of unit variance, so that
            the norm of a whitened glitch is its optimal SNR; (B, T) float32.
        glitch: the whitened glitches that a witness has seen; NaN where unknown, (B, T) float32.
        other_glitch: the whitened glitches without a witness; NaN where unknown, (B, T) float32.
        gps_s: GPS time of the first sample of each window, (B,) float64.
        start: its number on the clock of the data, (B,) int64; exact whatever the precision of the training.
    """

    witnesses: Tensor
    strain: Tensor
    glitch: Tensor
    other_glitch: Tensor
    gps_s: Tensor
    start: Tensor
