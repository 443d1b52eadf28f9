"""CRPS and distribution functions of normal and asymmetric Laplace distributions and of their mixtures."""

# K components of a mixture; "..." any leading axes

from __future__ import annotations

import math

import torch
from torch import Tensor


def crps_normal(mean: Tensor, standard_deviation: Tensor, target: Tensor) -> Tensor:
    """Score normal distributions: ``s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))``, z = (y - m) / s.

    Args:
        mean, standard_deviation, target: of shapes that broadcast.

    Returns:
        Scores, in the shape that they broadcast to.

    Reference:
        Gneiting et al. 2005, MWR 133, 1098, eq. 5.

    >>> crps_normal(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(0.0))
    tensor(0.2337)
    """
    return _normal_distance(target - mean, standard_deviation) - standard_deviation / math.sqrt(math.pi)


def crps_normal_mixture(weight: Tensor, mean: Tensor, standard_deviation: Tensor, target: Tensor) -> Tensor:
    """Score mixtures of normal distributions in closed form, from all pairs of components.

    Args:
        weight: with sum 1 along the last axis, (..., K).
        mean, standard_deviation: (..., K).
        target: (...).

    Returns:
        Scores, (...).

    Reference:
        Grimit et al. 2006, QJRMS 132, 2925, eq. 5.

    >>> half = torch.tensor([0.5, 0.5])
    >>> crps_normal_mixture(half, torch.zeros(2), torch.ones(2), torch.tensor(0.0))
    tensor(0.2337)
    """
    near = (weight * _normal_distance(target.unsqueeze(-1) - mean, standard_deviation)).sum(-1)
    variance = standard_deviation**2
    scale = (variance.unsqueeze(-1) + variance.unsqueeze(-2)).sqrt()
    apart = _normal_distance(mean.unsqueeze(-1) - mean.unsqueeze(-2), scale)
    return near - _pairs(weight, apart) / 2


def crps_asymmetric_laplace(location: Tensor, scale: Tensor, asymmetry: Tensor, target: Tensor) -> Tensor:
    """Score asymmetric Laplace distributions in closed form.

    The density is ``t (1 - t) / b exp(-(z / b) (t - [z < 0]))`` with z = x - m: m is the quantile of level t.

    Args:
        location: m. scale: b, above 0. asymmetry: t, between 0 and 1; 1/2 is symmetric.
        target: all four of shapes that broadcast.

    Returns:
        Scores, in the shape that they broadcast to.

    Reference:
        Yu & Zhang 2005, Commun. Stat. Theory Methods 34, 1867, for the distribution.

    >>> half = torch.tensor(0.5)
    >>> crps_asymmetric_laplace(torch.tensor(0.0), half, half, torch.tensor(0.0))  # Laplace of scale 1: 1/4
    tensor(0.2500)
    """
    m, b, t, y = torch.broadcast_tensors(location, scale, asymmetry, target)
    one = torch.ones_like(m).unsqueeze(-1)
    return crps_asymmetric_laplace_mixture(one, m.unsqueeze(-1), b.unsqueeze(-1), t.unsqueeze(-1), y)


def crps_asymmetric_laplace_mixture(
    weight: Tensor, location: Tensor, scale: Tensor, asymmetry: Tensor, target: Tensor
) -> Tensor:
    """Score mixtures of asymmetric Laplace distributions (CMAL), closed: ``E|X - y| - E|X - X'| / 2``.

    Both terms are integrals of ``F`` and ``1 - F``, which are exponentials on either side of a location, so
    each pair of components adds elementary terms; all exponents are negative, nothing overflows.

    Args:
        weight: with sum 1 along the last axis, (..., K).
        location, scale, asymmetry: see :func:`crps_asymmetric_laplace`, (..., K).
        target: (...).

    Returns:
        Scores, (...).

    Reference:
        Klotz et al. 2022, HESS 26, 1673, for the mixture.
    """
    left, right = (1 - asymmetry) / scale, asymmetry / scale  # rates of decay on either side
    left_mean, right_mean = (
        asymmetry / left,
        (1 - asymmetry) / right,
    )  # integrals of F below m, of 1 - F above
    z = target.unsqueeze(-1) - location
    tail = torch.where(z <= 0, left_mean, right_mean)
    rate = torch.where(z <= 0, left, right)
    skew = torch.where(z <= 0, right_mean - left_mean, left_mean - right_mean)
    near = z.abs() + skew + 2 * tail * torch.exp(-rate * z.abs())
    apart = _laplace_pairs(location, left, right, asymmetry)
    return (weight * near).sum(-1) - _pairs(weight, apart) / 2


def cdf_normal_mixture(weight: Tensor, mean: Tensor, standard_deviation: Tensor, target: Tensor) -> Tensor:
    """Give the probability of values up to the target: weight, mean, deviation (..., K), target (...)."""
    z = (target.unsqueeze(-1) - mean) / standard_deviation
    return (weight * torch.special.ndtr(z)).sum(-1)


def cdf_asymmetric_laplace_mixture(
    weight: Tensor, location: Tensor, scale: Tensor, asymmetry: Tensor, target: Tensor
) -> Tensor:
    """Give the probability of values up to the target: parameters (..., K), target (...).

    >>> one, t = torch.ones(1), torch.tensor([0.3])
    >>> cdf_asymmetric_laplace_mixture(one, one, one, t, torch.tensor(1.0))
    tensor(0.3000)
    """
    z = (target.unsqueeze(-1) - location) / scale
    below = asymmetry * torch.exp((1 - asymmetry) * z.clamp_max(0))
    above = 1 - (1 - asymmetry) * torch.exp(-asymmetry * z.clamp_min(0))
    return (weight * torch.where(z <= 0, below, above)).sum(-1)


def _normal_distance(distance: Tensor, scale: Tensor) -> Tensor:
    """Give E|Z| of a normal Z with mean ``distance`` and standard deviation ``scale``."""
    z = distance / scale
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return scale * (z * torch.erf(z / math.sqrt(2)) + 2 * density)


def _pairs(weight: Tensor, apart: Tensor) -> Tensor:
    return (weight.unsqueeze(-1) * weight.unsqueeze(-2) * apart).sum((-1, -2))


def _laplace_pairs(location: Tensor, left: Tensor, right: Tensor, asymmetry: Tensor) -> Tensor:
    """Give E|X_i - X_j| of every pair of components: the integral of F_i (1 - F_j) + F_j (1 - F_i)."""
    first, second = location.unsqueeze(-1), location.unsqueeze(-2)
    swap = first > second  # i is the one whose location is lower

    def ordered(value: Tensor) -> tuple[Tensor, Tensor]:
        one, other = torch.broadcast_tensors(value.unsqueeze(-1), value.unsqueeze(-2))
        return torch.where(swap, other, one), torch.where(swap, one, other)

    (q_i, q_j), (p_i, p_j), (t_i, t_j) = ordered(left), ordered(right), ordered(asymmetry)
    d = (first - second).abs()
    fall_i, fall_j = torch.exp(-p_i * d), torch.exp(-q_j * d)
    below = t_i / q_i + t_j * fall_j / q_j - 2 * t_i * t_j * fall_j / (q_i + q_j)
    above = (1 - t_j) / p_j + (1 - t_i) * fall_i / p_i - 2 * (1 - t_i) * (1 - t_j) * fall_i / (p_i + p_j)
    gap = (p_i - q_j).abs() * d
    ratio = torch.where(gap > 0, -torch.expm1(-gap) / torch.where(gap > 0, gap, 1.0), 1.0)
    both = d * torch.exp(-torch.minimum(p_i, q_j) * d) * ratio
    between = d - (1 - t_i) * (1 - fall_i) / p_i - t_j * (1 - fall_j) / q_j + 2 * (1 - t_i) * t_j * both
    return below + between + above
