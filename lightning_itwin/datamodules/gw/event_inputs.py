"""What a batch of events is made of."""

# B batch, P parameters

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class EventInputs(NamedTuple):
    """What a batch is made of, before it is on the device that finishes it.

    Args:
        theta: free parameters, (B, P) float64.
        psd_index: PSD set of each event, (B,) int64.
        record: stored whitened series (float32), stored whitened spectrum (complex64), raw strain (float64),
            or None where the signal is to be simulated.
        bank_row: row of the signal bank for each event, (B,) int64, or None.
        noise_seed: one seed for all the batch, a seed an event (B,), or None where no noise is to be added.
    """

    theta: Tensor
    psd_index: Tensor
    record: Tensor | None
    bank_row: Tensor | None
    noise_seed: int | np.ndarray | None
