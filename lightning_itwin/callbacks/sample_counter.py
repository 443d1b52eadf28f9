"""SampleCounter: how many samples a batch holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lightning.pytorch.utilities.data import extract_batch_size
from lightning.pytorch.utilities.exceptions import MisconfigurationException


class SampleCounter:
    """Gives the number of samples in a batch, by Lightning's own rule or the user's.

    Args:
        batch_size_fn: gives the number of samples of a batch; by default Lightning's own rule, the length of
            the first tensor in it.

    >>> import torch
    >>> SampleCounter().count({"x": torch.zeros(8, 3)}), SampleCounter().count("no tensor")
    (8, None)
    """

    def __init__(self, batch_size_fn: Callable[[Any], int] | None = None) -> None:
        self._batch_size_fn = batch_size_fn or extract_batch_size

    def count(self, batch: Any) -> int | None:
        """Give the number of samples of ``batch``; None where it has no size."""
        if isinstance(batch, Iterator):  # to look into it would use it up
            return None
        try:
            return int(self._batch_size_fn(batch))
        except MisconfigurationException:  # Lightning's word for a batch without a size
            return None
