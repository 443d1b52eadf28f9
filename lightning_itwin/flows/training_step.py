"""A step of a flow in training: a coupling layer and the linear layer behind it, as functions of tensors."""

# B rows of a batch, F features, I identity features, T = F - I transformed ones, P parameters of splines

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_itwin.flows import native
from lightning_itwin.flows.rational_quadratic import SplineBounds, rational_quadratic_spline
from lightning_itwin.flows.steps import affine

Spline = Callable[[Tensor, Tensor, SplineBounds, int, float], tuple[Tensor, Tensor]]


class Numbers(NamedTuple):
    """What a step has beside tensors.

    Args:
        spline: evaluates splines with gradients.
        bounds: of the splines.
        num_bins: bins of a spline.
        factor: of the raw widths and heights.
        identities: features that the coupling leaves as they are, I; they come first.
        following: those of the next step.
    """

    spline: Spline
    bounds: SplineBounds
    num_bins: int
    factor: float
    identities: int
    following: int


Advance = Callable[[Tensor, Tensor, Tensor, Tensor, Numbers], tuple[Tensor, Tensor, Tensor]]


def enter(state: Tensor, matrix: Tensor, bias: Tensor, following: int) -> tuple[Tensor, Tensor]:
    """Go through a linear layer.

    Args:
        state: (F, B).
        matrix: (F, F).
        bias: (F, 1).
        following: identity features of the coupling layer behind it.

    Returns:
        What that layer begins with, (F, B), and its identity features as rows, (B, I).
    """
    values = affine(bias, matrix, state)
    return values, values[:following].t().contiguous()


def advance(
    values: Tensor, parameters: Tensor, matrix: Tensor, bias: Tensor, numbers: Numbers
) -> tuple[Tensor, Tensor, Tensor]:
    """Go through a coupling layer whose network has been asked, and the linear layer behind it.

    Args:
        values: (F, B).
        parameters: what the network says of the splines, (P, B).
        matrix: of the linear layer, (F, F).
        bias: (F, 1).
        numbers: the rest.

    Returns:
        What ``enter`` gives, and the logarithm of the coupling's determinant, (B,).
    """
    identity, others = values.split([numbers.identities, len(values) - numbers.identities])
    outputs, logabsdet = numbers.spline(others, parameters, numbers.bounds, numbers.num_bins, numbers.factor)
    return *enter(torch.cat((identity, outputs)), matrix, bias, numbers.following), logabsdet


def native_spline(
    values: Tensor, parameters: Tensor, bounds: SplineBounds, num_bins: int, factor: float
) -> tuple[Tensor, Tensor]:
    """Evaluate splines on the CPU: (T, B) values, (P, B) parameters; (T, B) and the log-determinant, (B,)."""
    return native.native_spline(values.float(), parameters.float(), bounds, num_bins, factor)


def torch_spline(
    values: Tensor, parameters: Tensor, bounds: SplineBounds, num_bins: int, factor: float
) -> tuple[Tensor, Tensor]:
    """Evaluate splines with torch alone; as ``native_spline``."""
    planes = parameters.to(values.dtype).view(len(values), 3 * num_bins - 1, -1)
    logits = (planes[:, : 2 * num_bins] * factor).unbind(1)
    outputs, logabsdet = rational_quadratic_spline(
        values, logits[:num_bins], logits[num_bins:], planes[:, 2 * num_bins :].unbind(1), bounds, False
    )
    return outputs, logabsdet.sum(0)
