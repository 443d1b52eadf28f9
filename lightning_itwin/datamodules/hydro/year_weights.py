"""Interpolation between the centres of a climatology, as a matrix."""

# K centres, T days

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def centre_weights(year_fraction: np.ndarray, centres: int) -> Tensor:
    """Give the weights with which centres over the year make up each day, (K, T) float32."""
    position = year_fraction.astype(np.float64) * centres
    before = np.floor(position).astype(np.int64)
    share = position - before
    weights = np.zeros((centres, year_fraction.size), dtype=np.float32)
    day = np.arange(year_fraction.size)
    np.add.at(weights, (before % centres, day), (1 - share).astype(np.float32))
    np.add.at(weights, ((before + 1) % centres, day), share.astype(np.float32))
    return torch.from_numpy(weights)
