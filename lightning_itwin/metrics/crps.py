"""Continuous ranked probability scores of ensembles and quantiles, one value a forecast. Pure functions.

The CRPS is the integral of ``(F(x) - 1[x >= y])^2`` over x, in the unit of the target; lower is better.
:mod:`lightning_itwin.metrics.parametric` has those of distributions in closed form.
"""

# M members, Q quantile levels; "..." any leading axes, the same in forecast and target

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Levels = Tensor | Sequence[float]


def crps_ensemble(ensemble: Tensor, target: Tensor, fair: bool = False) -> Tensor:
    """Score ensembles in O(M log M): ``E|X - y| - E|X - X'| / 2``, the second term from the sorted members.

    With members sorted, the sum over all pairs of ``|x_i - x_j|`` is ``2 sum_i (2 i - M + 1) x_i``, i from 0.

    Args:
        ensemble: members in any order, (..., M).
        target: what came, (...).
        fair: divide the pairs by ``M (M - 1)`` in the place of ``M^2``. The score then estimates that of the
            distribution which the members were drawn from, without a penalty for their number; it may be
            negative.

    Returns:
        Scores, (...); NaN where the target or a member is.

    Raises:
        ValueError: the shapes do not fit, or a fair score is asked of one member.

    Reference:
        Gneiting & Raftery 2007, JASA 102, 359, eq. 21; fair: Ferro 2014, QJRMS 140, 1917.

    >>> crps_ensemble(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([2.0]))
    tensor([0.2222])
    """
    _check(ensemble, target, "members")
    count = ensemble.shape[-1]
    if fair and count < 2:
        raise ValueError("A fair CRPS needs 2 members or more, not 1: give more, or fair=False.")
    distance = _sorted(ensemble - target.unsqueeze(-1))
    rank = torch.arange(1 - count, count, 2, dtype=distance.dtype, device=distance.device)
    return distance.abs().mean(-1) - (distance @ rank) / (count * (count - 1) if fair else count**2)


def pinball_loss(quantiles: Tensor, target: Tensor, levels: Levels) -> Tensor:
    """Give the pinball loss of every quantile: ``max(level (y - q), (level - 1) (y - q))``.

    Args:
        quantiles: (..., Q).
        target: (...).
        levels: between 0 and 1, (Q,).

    Returns:
        Losses, (..., Q).

    Raises:
        ValueError: the shapes do not fit, or a level is not between 0 and 1.

    Reference:
        Koenker & Bassett 1978, Econometrica 46, 33.

    >>> pinball_loss(torch.tensor([1.0, 3.0]), torch.tensor(2.0), [0.1, 0.9])
    tensor([0.1000, 0.1000])
    """
    _check(quantiles, target, "quantiles")
    level = _levels(levels, quantiles, target)
    error = target.unsqueeze(-1) - quantiles
    return torch.maximum(level * error, (level - 1) * error)


def crps_quantile(quantiles: Tensor, target: Tensor, levels: Levels, weights: Levels | None = None) -> Tensor:
    """Score quantiles by twice the mean of their pinball losses, which approximates the CRPS.

    Args:
        quantiles: (..., Q).
        target: (...).
        levels: between 0 and 1, (Q,).
        weights: of the levels, with sum 1, (Q,): :func:`quantile_weights` for levels that stand at uneven
            distances. None: all the same.

    Returns:
        Scores, (...).

    Raises:
        ValueError: the shapes do not fit, or a level is not between 0 and 1.

    Reference:
        Laio & Tamea 2007, HESS 11, 1267.

    >>> crps_quantile(torch.tensor([1.0, 3.0]), torch.tensor(2.0), [0.1, 0.9])
    tensor(0.2000)
    """
    loss = pinball_loss(quantiles, target, levels)
    if weights is None:
        return 2 * loss.mean(-1)
    weight = torch.as_tensor(weights, dtype=loss.dtype, device=loss.device)
    if weight.shape != loss.shape[-1:]:
        raise ValueError(f"{loss.shape[-1]} levels need as many weights, not {tuple(weight.shape)}.")
    return 2 * (loss @ weight)


def quantile_weights(levels: Levels) -> Tensor:
    """Weigh each level by the part of (0, 1) that lies nearest to it: no part of it counts twice.

    For levels ``(i - 1/2) / Q`` all weights are the same.

    Args:
        levels: rising, between 0 and 1, (Q,).

    Returns:
        Weights with sum 1, float64, (Q,).

    Raises:
        ValueError: levels that do not rise, or not between 0 and 1.

    >>> quantile_weights([0.1, 0.5, 0.9])
    tensor([0.3000, 0.4000, 0.3000], dtype=torch.float64)
    """
    level = rising_levels(levels)
    ends = level.new_tensor([0.0]), level.new_tensor([1.0])
    return torch.diff(torch.cat([ends[0], (level[1:] + level[:-1]) / 2, ends[1]]))


def crps_piecewise_linear(quantiles: Tensor, target: Tensor, levels: Levels) -> Tensor:
    """Score the distribution whose quantile function is linear between the levels, exactly.

    Below the first and above the last level the probability stands as a mass on that quantile.

    Args:
        quantiles: not falling along the last axis, (..., Q).
        target: (...).
        levels: rising, between 0 and 1, (Q,).

    Returns:
        Scores, (...).

    Raises:
        ValueError: the shapes do not fit, or levels that do not rise.

    >>> crps_piecewise_linear(torch.tensor([0.0, 1.0]), torch.tensor(0.5), [0.0, 1.0])  # uniform: 1/12
    tensor(0.0833)
    """
    _check(quantiles, target, "quantiles")
    precision = torch.promote_types(quantiles.dtype, target.dtype)
    level = rising_levels(levels).to(quantiles.device, precision)
    low, high = quantiles[..., :-1], quantiles[..., 1:]
    start, end = level[:-1], level[1:]
    y = target.unsqueeze(-1)
    split = torch.minimum(torch.maximum(y, low), high)
    width = high - low
    share = torch.where(width > 0, (split - low) / torch.where(width > 0, width, 1.0), 0.0)
    middle = start + (end - start) * share
    below = (split - low) * (start**2 + start * middle + middle**2)
    above = (high - split) * ((1 - middle) ** 2 + (1 - middle) * (1 - end) + (1 - end) ** 2)
    outside = (quantiles[..., 0] - target).clamp_min(0) + (target - quantiles[..., -1]).clamp_min(0)
    return (below + above).sum(-1) / 3 + outside


def rising_levels(levels: Levels) -> Tensor:
    """Give levels as float64, (Q,), or say what is wrong with them.

    Raises:
        ValueError: there is none, they do not rise, or one is not from 0 to 1.
    """
    level = torch.as_tensor(levels, dtype=torch.float64, device="cpu")
    if level.ndim != 1 or not len(level) or not bool(((level >= 0) & (level <= 1)).all()):
        raise ValueError(f"Levels are probabilities from 0 to 1, one or more, not {levels}.")
    if not bool((torch.diff(level) > 0).all()):
        raise ValueError(f"Levels rise, not {level.tolist()}: sort them, and the quantiles with them.")
    return level


def _sorted(rows: Tensor) -> Tensor:
    """Sort along the last axis; numpy's vector sort is some twenty times as fast as torch's sort."""
    if rows.device.type == "cpu" and not rows.requires_grad and rows.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.sort(rows.numpy(), axis=-1))
    return torch.sort(rows, dim=-1).values


def _levels(levels: Levels, quantiles: Tensor, target: Tensor) -> Tensor:
    """Give levels in the precision of the loss; checked before they move, so that no GPU is waited for."""
    level = torch.as_tensor(levels)
    if level.shape != quantiles.shape[-1:]:
        raise ValueError(f"{quantiles.shape[-1]} quantiles need as many levels, not {tuple(level.shape)}.")
    if not bool(((level >= 0) & (level <= 1)).all()):
        raise ValueError(f"Levels are probabilities from 0 to 1, not {level.tolist()}.")
    precision = torch.promote_types(torch.promote_types(quantiles.dtype, target.dtype), torch.float32)
    return level.to(quantiles.device, precision)


def _check(forecast: Tensor, target: Tensor, what: str) -> None:
    if forecast.shape[:-1] != target.shape or not forecast.shape[-1:].numel():
        raise ValueError(
            f"A target of {tuple(target.shape)} needs a forecast with one axis more, for its {what}: "
            f"{(*target.shape, '...')}, not {tuple(forecast.shape)}."
        )
