"""The base distributions of nflows that sampling and densities can begin with."""

# N rows, F features, W rows of a context: 1 or N

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.flows.folding import UnknownPartError, nflows_name


class BaseDistribution:
    """A standard normal, or a diagonal one whose mean and deviation a network makes of the context.

    Args:
        distribution: nflows' ``StandardNormal`` or ``ConditionalDiagonalNormal``.

    Raises:
        UnknownPartError: it is another one.
    """

    def __init__(self, distribution: Any) -> None:
        name = nflows_name(distribution)
        if name not in (
            "distributions.normal.StandardNormal",
            "distributions.normal.ConditionalDiagonalNormal",
        ):
            raise UnknownPartError(f"the base distribution {type(distribution).__qualname__}")
        if len(distribution._shape) != 1:
            raise UnknownPartError(f"a base distribution over the shape {tuple(distribution._shape)}")
        self._encoder = distribution._context_encoder if name.endswith("DiagonalNormal") else None

    def draw(self, standard: Tensor, context: Tensor | None) -> Tensor:
        """Turn standard normal rows (N, F) into rows of this one, in place; give their log-density (N,)."""
        log_prob = _standard_log_prob(standard)
        if self._encoder is None:
            return log_prob
        mean, log_std = self._encoder(context).chunk(2, dim=-1)
        standard.mul_(log_std.exp()).add_(mean)
        return log_prob - log_std.sum(1)

    def log_prob(self, rows: Tensor, context: Tensor | None) -> Tensor:
        """Give the log-density of rows (N, F), for a context (W, ...); (N,)."""
        if self._encoder is None:
            return _standard_log_prob(rows)
        mean, log_std = self._encoder(context).chunk(2, dim=-1)
        return _standard_log_prob((rows - mean) * torch.exp(-log_std)) - log_std.sum(1)


def _standard_log_prob(rows: Tensor) -> Tensor:
    return -0.5 * rows.square().sum(1) - 0.5 * rows.shape[1] * math.log(2 * math.pi)
