"""Images of a channel's energy in time and frequency, and the clusters of loud pixels in them."""

# B batch, W witnesses, F frequencies, N times

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from lightning_itwin.optional import require


class EnergyImageBatch(NamedTuple):
    """Energy images around events.

    Args:
        witnesses: in units of each channel's usual maximum, (B, W, F, N) float32.
        strain: in units of its usual maximum, (B, 1, F, N) float32.
        event: what each image belongs to: its GPS time where the file tells it, else its row, (B,) float64.
    """

    witnesses: Tensor
    strain: Tensor
    event: Tensor


def cluster_sizes(image: np.ndarray, threshold: float) -> np.ndarray:
    """Count the pixels of every cluster of loud pixels in one image; neighbours share an edge or a corner.

    Args:
        image: energy, (F, N); one image, so that clusters of two events never become one.
        threshold: above which a pixel is loud.

    Returns:
        Pixels of each cluster, the largest first, int64.

    Raises:
        ValueError: not one image.

    >>> cluster_sizes(np.array([[9.0, 0.0, 9.0], [9.0, 0.0, 0.0]]), 1.0).tolist()
    [2, 1]
    """
    if np.ndim(image) != 2:
        raise ValueError(f"cluster_sizes takes one image (frequencies, times), not {np.shape(image)}.")
    ndimage = require("scipy.ndimage", extra="virgo")
    labels, _ = ndimage.label(np.asarray(image) > threshold, structure=np.ones((3, 3)))
    return np.sort(np.bincount(labels.ravel())[1:])[::-1].astype(np.int64)
