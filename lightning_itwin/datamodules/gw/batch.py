"""What a batch of gravitational-wave events is."""

# B batch, D detectors, T samples, P parameters

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class GWBatch(NamedTuple):
    """A batch of events, as a model receives it.

    A batch read from shards may lie in memory that is used again for a later batch: it is valid until the
    second batch after it is asked for. Who keeps ``strain`` longer than that, copies it.

    Args:
        strain: whitened strain, unit variance for full-band noise, (B, D, T) float32.
        theta: the prior's free parameters in the order of ``prior.names``, (B, P) float64; not a number for
            real events.
        psd_index: which of the observation's PSD sets the event was made with, (B,) int64.
    """

    strain: Tensor
    theta: Tensor
    psd_index: Tensor
