"""Bins of probabilities, and what an event is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def check_events(probability: Tensor, outcome: Tensor) -> None:
    """Say so if probabilities or outcomes are none, or their shapes differ.

    Raises:
        ValueError: a shape, a probability or an outcome that cannot be.
    """
    if probability.shape != outcome.shape:
        raise ValueError(f"Probability {tuple(probability.shape)} and outcome {tuple(outcome.shape)} differ.")
    if bool(((probability < 0) | (probability > 1)).any()):
        raise ValueError("Probabilities are from 0 to 1.")
    if bool(((outcome != 0) & (outcome != 1) & (outcome == outcome)).any()):
        raise ValueError(
            "Outcomes are 0 or 1 (NaN where missing): state the event, such as target < threshold."
        )


def bin_edges(bins: int | Sequence[float]) -> list[float]:
    """Give rising edges from 0 to 1 of a number of even bins, or check those given.

    Raises:
        ValueError: less than 1 bin, or edges that do not rise from 0 to 1.
    """
    if isinstance(bins, int):
        if bins < 1:
            raise ValueError(f"There is 1 bin or more, not {bins}.")
        return [k / bins for k in range(bins + 1)]
    edges = [float(edge) for edge in bins]
    rising = all(low < high for low, high in pairwise(edges))
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or not rising:
        raise ValueError(f"Edges of bins rise from 0 to 1, not {edges}.")
    return edges


def which_bin(value: Tensor, edges: Sequence[float]) -> Tensor:
    """Give the bin ``edge[k] <= value < edge[k + 1]`` of values from 0 to 1; 1 is in the last."""
    inner = torch.tensor(list(edges[1:-1]), dtype=value.dtype, device=value.device)
    return torch.bucketize(value.contiguous(), inner, right=True)
