"""Random numbers of an event beside its parameters: functions of seed, purpose and event number alone."""

# N events

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from lightning_itwin.inference.event_uniforms import event_uniforms


@lru_cache(maxsize=1024)  # batches of an epoch have all but the last part in common
def derived_seed(seed: int, *purpose: str | int) -> int:
    """Give a seed for one purpose, independent of those for others.

    Args:
        seed: seed of the data, at least 0.
        purpose: what it is for, such as ``"val"``, or ``"noise", epoch, rank``.

    Returns:
        at least 0, below 2^52.

    >>> derived_seed(1, "val") == derived_seed(1, "val"), derived_seed(1, "val") == derived_seed(1, "test")
    (True, False)
    """
    if not purpose:
        return seed
    *before, part = purpose
    return int(_seeds([zlib.crc32(str(part).encode())], derived_seed(seed, *before))[0])


def noise_seeds(events: Sequence[int] | np.ndarray, seed: int) -> np.ndarray:
    """Give each event the seed of its noise, (N,) int64, each at least 0 and below 2^52."""
    return _seeds(events, derived_seed(seed, "noise"))


def psd_indices(events: Sequence[int] | np.ndarray, seed: int, psds: int) -> np.ndarray:
    """Draw one of several PSD sets for each event, (N,) int64."""
    if psds == 1:
        return np.zeros(len(events), dtype=np.int64)
    uniforms = event_uniforms(events, 1, derived_seed(seed, "psd"))
    return np.minimum((uniforms[:, 0] * psds).astype(np.int64), psds - 1)


def _seeds(events: Sequence[int] | np.ndarray, seed: int) -> np.ndarray:
    return (event_uniforms(events, 1, seed)[:, 0] * 2.0**52).astype(np.int64)
