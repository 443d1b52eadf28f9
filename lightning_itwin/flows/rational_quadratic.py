"""Monotone rational-quadratic splines without masks, gathers or synchronisation: static shapes alone."""

# K bins; every tensor of a bin has the shape of the values it acts on

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class SplineBounds(NamedTuple):
    """The plain numbers of a spline, as nflows names them; outside ``tail_bound`` it is the identity."""

    tail_bound: float
    min_bin_width: float = 1e-3
    min_bin_height: float = 1e-3
    min_derivative: float = 1e-3


def rational_quadratic_spline(
    values: Tensor,
    widths: Sequence[Tensor],
    heights: Sequence[Tensor],
    derivatives: Sequence[Tensor],
    bounds: SplineBounds,
    inverse: bool,
) -> tuple[Tensor, Tensor]:
    """Evaluate nflows' unconstrained rational-quadratic spline with linear tails.

    The same function as ``nflows.transforms.splines.unconstrained_rational_quadratic_spline``, arranged anew:
    values outside are clamped before and put back after, a running selection over the K bins replaces
    search and gathers, only the two derivatives that are needed are made positive, and of the two formulas
    for the root of the quadratic the one without cancellation is taken. It raises nothing: a NaN stays where
    it is.

    Args:
        values: any shape.
        widths: K unnormalised widths, each of the shape of ``values``.
        heights: K unnormalised heights.
        derivatives: K - 1 unnormalised derivatives at the inner knots; at the ends the slope is 1.
        bounds: interval and smallest bins.
        inverse: give the inverse.

    Returns:
        The transformed values and the logarithm of the derivative of what was done, both of that shape.

    Reference:
        Gregory and Delbourgo 1982, doi:10.1093/imanum/2.2.123; Durkan et al. 2019, arXiv:1906.04032, eqs.
        4-8.

    >>> flat = [torch.zeros(3)] * 8
    >>> bounds = SplineBounds(tail_bound=1.0)
    >>> values = torch.tensor([-2.0, 0.3, 7.0])
    >>> bent, logabsdet = rational_quadratic_spline(values, flat, flat, flat[1:], bounds, False)
    >>> bent[0].item(), bent[2].item(), logabsdet[0].item()
    (-2.0, 7.0, 0.0)
    """
    bound = bounds.tail_bound
    inside = (values >= -bound) & (values <= bound)
    clamped = values.clamp(-bound, bound)
    unit = clamped * (0.5 / bound)
    along, across = (heights, widths) if inverse else (widths, heights)
    smallest = (bounds.min_bin_width, bounds.min_bin_height)
    min_along, min_across = smallest[::-1] if inverse else smallest
    along, along_scale = _softmax_parts(along, min_along)
    across, across_scale = _softmax_parts(across, min_across)

    # knots in units of the interval, from its middle: from the first bin on while the value lies beyond one
    size = min_along + along_scale * along[0]
    size_across = min_across + across_scale * across[0]
    knot, knot_across = size - 0.5, size_across - 0.5
    start = start_across = torch.full_like(size, -0.5)
    bins = len(along)
    edge = math.log(math.expm1(1 - bounds.min_derivative))  # the slope is 1 at the ends
    left = torch.full_like(size, edge)
    right = derivatives[0]
    for k in range(1, bins):
        beyond = unit >= knot
        size_k = min_along + along_scale * along[k]
        size_across_k = min_across + across_scale * across[k]
        start = torch.where(beyond, knot, start)
        start_across = torch.where(beyond, knot_across, start_across)
        size = torch.where(beyond, size_k, size)
        size_across = torch.where(beyond, size_across_k, size_across)
        left = torch.where(beyond, derivatives[k - 1], left)
        after = derivatives[k] if k < bins - 1 else torch.full_like(left, edge)
        right = torch.where(beyond, after, right)
        knot = knot + size_k
        knot_across = knot_across + size_across_k
    left = bounds.min_derivative + functional.softplus(left)
    right = bounds.min_derivative + functional.softplus(right)

    share = (unit - start) / size
    slope = size / size_across if inverse else size_across / size
    bend = left + right - 2 * slope
    if inverse:
        b = left - share * bend
        a = slope - b
        root = (b * b + 4 * a * slope * share).clamp(min=0).sqrt()
        positive = b >= 0
        theta = torch.where(positive, 2 * slope * share, root - b) / torch.where(positive, b + root, 2 * a)
        inner = theta * (1 - theta)
        denominator = slope + bend * inner
        unit_out = start_across + theta * size_across
    else:
        theta = share
        inner = theta * (1 - theta)
        denominator = slope + bend * inner
        unit_out = start_across + size_across * (slope * theta * theta + left * inner) / denominator
    rest = 1 - theta
    numerator = slope * slope * (right * theta * theta + 2 * slope * inner + left * rest * rest)
    logabsdet = torch.log(numerator / (denominator * denominator))
    outputs = torch.where(inside, unit_out * (2 * bound), values)
    logabsdet = torch.where(inside, -logabsdet if inverse else logabsdet, torch.zeros_like(logabsdet))
    return outputs, logabsdet


def _softmax_parts(logits: Sequence[Tensor], smallest: float) -> tuple[list[Tensor], Tensor]:
    """Give exponentials and the factor that makes bins of them: ``smallest + factor * exponential``."""
    highest = logits[0]
    for logit in logits[1:]:
        highest = torch.maximum(highest, logit)
    exponentials = [torch.exp(logit - highest) for logit in logits]
    total = exponentials[0]
    for exponential in exponentials[1:]:
        total = total + exponential
    return exponentials, (1 - smallest * len(logits)) / total
