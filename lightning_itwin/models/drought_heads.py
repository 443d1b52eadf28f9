"""Heads of DroughtForecaster: from a network's numbers to a distribution per lead, its loss and quantiles."""

# L leads, Q quantile levels, K components, R raw numbers a lead, P thresholds; "..." windows and steps

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.metrics import (
    cdf_asymmetric_laplace_mixture,
    crps_asymmetric_laplace_mixture,
    crps_normal,
    crps_quantile,
    quantile_weights,
)

HeadName = Literal["quantiles", "cmal", "gaussian", "point"]
_LEAST_SCALE = 1e-3  # of the spread of damped persistence
_BISECTIONS = 40


class Place(NamedTuple):
    """Where a lead's distribution is expected: what the heads predict deviations from.

    Args:
        centre: damped persistence of today's anomaly, (..., L).
        spread: of its residuals, (L,).
    """

    centre: Tensor
    spread: Tensor


class Head(Protocol):
    """What makes a distribution out of R numbers a lead."""

    raw_size: int
    losses: tuple[str, ...]

    def bias(self) -> Tensor:
        """Give the raw numbers of damped persistence with normal residuals, (R,)."""
        ...

    def __call__(self, raw: Tensor, place: Place) -> Tensor:
        """Make parameters (..., L, parameters) of raw numbers (..., L, R)."""
        ...

    def loss(self, parameters: Tensor, target: Tensor, kind: str) -> Tensor:
        """Score parameters with a target without gaps, (..., L)."""
        ...

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        """Give quantiles, not falling, (..., L, Q)."""
        ...


def make_head(name: str, levels: Sequence[float], components: int) -> QuantileHead | CMALHead | GaussianHead:
    """Make a head.

    Args:
        name: ``"quantiles"``, ``"cmal"``, ``"gaussian"`` or ``"point"``, the median alone.
        levels: of the quantiles.
        components: of the mixture.

    Raises:
        ValueError: another name.
    """
    if name == "quantiles":
        return QuantileHead(levels)
    if name == "point":
        return QuantileHead([0.5])
    if name == "cmal":
        return CMALHead(components)
    if name == "gaussian":
        return GaussianHead()
    raise ValueError(f"head must be 'quantiles', 'cmal', 'gaussian' or 'point', not {name!r}.")


class QuantileHead(nn.Module):
    """Quantiles that cannot cross: the median, and steps up and down from it that are above 0.

    ``q_50 = centre + spread r_0;  q_(i+1) - q_i = spread softplus(r_i)``

    The loss is the pinball loss, each level weighted by the part of (0, 1) nearest to it: half the CRPS.

    Args:
        levels: rising, with 0.5 among them, (Q,).
    """

    losses = ("crps", "rmse", "mse")

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        self.levels = [float(level) for level in levels]
        self.raw_size = len(self.levels)
        self._middle = min(range(len(self.levels)), key=lambda place: abs(self.levels[place] - 0.5))
        self._weights = quantile_weights(self.levels).tolist()

    def bias(self) -> Tensor:
        steps = torch.diff(_normal_quantiles(self.levels))
        return torch.cat([torch.zeros(1), torch.log(torch.expm1(steps))])

    def forward(self, raw: Tensor, place: Place) -> Tensor:
        """Make quantiles (..., L, Q) of (..., L, Q) raw numbers."""
        spread = place.spread.unsqueeze(-1)
        median = place.centre.unsqueeze(-1) + spread * raw[..., :1]
        steps = functional.softplus(raw[..., 1:]) * spread
        below, above = steps[..., : self._middle], steps[..., self._middle :]
        down = median - below.flip(-1).cumsum(-1).flip(-1)
        return torch.cat([down, median, median + above.cumsum(-1)], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor, kind: str) -> Tensor:
        """See :class:`Head`."""
        if kind in ("rmse", "mse"):
            return (parameters[..., self._middle] - target).square()
        return crps_quantile(parameters, target, self.levels, self._weights)

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        """See :class:`Head`."""
        if list(levels) == self.levels:
            return parameters
        return quantiles_at(parameters, self.levels, levels)


class GaussianHead(nn.Module):
    """A normal distribution: ``mean = centre + spread r_0, deviation = spread softplus(r_1)``."""

    losses = ("crps", "nll", "rmse", "mse")
    raw_size = 2

    def bias(self) -> Tensor:
        return torch.tensor([0.0, math.log(math.expm1(1.0))])

    def forward(self, raw: Tensor, place: Place) -> Tensor:
        """Make mean and deviation, (..., L, 2)."""
        mean = place.centre + place.spread * raw[..., 0]
        deviation = place.spread * (functional.softplus(raw[..., 1]) + _LEAST_SCALE)
        return torch.stack([mean, deviation], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor, kind: str) -> Tensor:
        """See :class:`Head`."""
        mean, deviation = parameters.unbind(-1)
        if kind in ("rmse", "mse"):
            return (mean - target).square()
        if kind == "nll":
            return (
                0.5 * ((target - mean) / deviation).square()
                + torch.log(deviation)
                + 0.5 * math.log(2 * math.pi)
            )
        return crps_normal(mean, deviation, target)

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        """See :class:`Head`."""
        mean, deviation = parameters.split(1, dim=-1)
        return mean + deviation * _normal_quantiles(levels).to(parameters)


class CMALHead(nn.Module):
    """A mixture of asymmetric Laplace distributions, (..., L, 4 K): weights, locations, scales, asymmetries.

    Args:
        components: K.

    Reference:
        Klotz et al. 2022, HESS 26, 1673.
    """

    losses = ("crps", "nll", "rmse", "mse")

    def __init__(self, components: int) -> None:
        super().__init__()
        self.components = components
        self.raw_size = 4 * components

    def bias(self) -> Tensor:
        spot = torch.linspace(-0.5, 0.5, self.components) if self.components > 1 else torch.zeros(1)
        zero = torch.zeros(self.components)
        # scale 0.3 and asymmetry 1/2: a Laplace distribution of deviation 0.85
        return torch.cat([zero, spot, zero + math.log(math.expm1(0.3)), zero])

    def forward(self, raw: Tensor, place: Place) -> Tensor:
        """Make parameters (..., L, 4 K)."""
        weight, location, scale, asymmetry = raw.split(self.components, dim=-1)
        spread = place.spread.unsqueeze(-1)
        return torch.cat(
            [
                torch.softmax(weight, dim=-1),
                place.centre.unsqueeze(-1) + spread * location,
                spread * (functional.softplus(scale) + _LEAST_SCALE),
                0.02 + 0.96 * torch.sigmoid(asymmetry),
            ],
            dim=-1,
        )

    def loss(self, parameters: Tensor, target: Tensor, kind: str) -> Tensor:
        """See :class:`Head`."""
        weight, location, scale, asymmetry = parameters.split(self.components, dim=-1)
        if kind in ("rmse", "mse"):
            mean = location + scale * (1 - 2 * asymmetry) / (asymmetry * (1 - asymmetry))
            return ((weight * mean).sum(-1) - target).square()
        if kind == "nll":
            z = (target.unsqueeze(-1) - location) / scale
            log_density = torch.log(asymmetry * (1 - asymmetry) / scale) - z * (asymmetry - (z < 0).to(z))
            return -torch.logsumexp(torch.log(weight.clamp_min(1e-12)) + log_density, dim=-1)
        return crps_asymmetric_laplace_mixture(weight, location, scale, asymmetry, target)

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        """Find quantiles by bisection of the distribution function; see :class:`Head`."""
        weight, location, scale, asymmetry = (
            part.unsqueeze(-2) for part in parameters.split(self.components, dim=-1)
        )
        reach = (scale / torch.minimum(asymmetry, 1 - asymmetry)).amax(-1) * 14
        low, high = location.amin(-1) - reach, location.amax(-1) + reach
        level = torch.tensor(list(levels), dtype=parameters.dtype, device=parameters.device)
        low, high = (bound.expand(*bound.shape[:-1], len(level)).clone() for bound in (low, high))
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below = cdf_asymmetric_laplace_mixture(weight, location, scale, asymmetry, middle) < level
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return torch.cummax((low + high) / 2, dim=-1).values


def quantiles_at(quantiles: Tensor, levels: Sequence[float], wanted: Sequence[float]) -> Tensor:
    """Interpolate quantiles (..., Q) at other levels, linearly in the quantile of the normal distribution.

    Beyond the outermost levels their two quantiles are gone on with, so that a tail is that of a normal
    distribution. Of one level alone every quantile is the same.

    Args:
        quantiles: not falling, (..., Q).
        levels: of them, rising, (Q,).
        wanted: rising.

    >>> quantiles_at(torch.tensor([0.0, 1.0, 2.0]), [0.1, 0.5, 0.9], [0.5, 0.9])
    tensor([1., 2.])
    """
    if len(levels) == 1:
        return quantiles.expand(*quantiles.shape[:-1], len(wanted))
    known, want = _normal_quantiles(levels), _normal_quantiles(wanted)
    right = torch.searchsorted(known, want - 1e-6).clamp(1, len(known) - 1)
    share = ((want - known[right - 1]) / (known[right] - known[right - 1])).to(quantiles)
    right = right.to(quantiles.device)
    low, high = quantiles[..., right - 1], quantiles[..., right]
    exact = (share - 1).abs() < 1e-6
    return torch.where(exact, high, low + share * (high - low))


def probability_below(quantiles: Tensor, levels: Sequence[float], thresholds: Tensor) -> Tensor:
    """Give the probability of values below thresholds, by the quantile function of :func:`quantiles_at`.

    Args:
        quantiles: not falling, (..., L, Q).
        levels: of them, (Q,).
        thresholds: (..., L, P); NaN gives NaN.

    Returns:
        Probabilities, (..., L, P).

    >>> probability_below(torch.tensor([[0.0, 1.0, 2.0]]), [0.1, 0.5, 0.9], torch.tensor([[1.0, 2.0]]))
    tensor([[0.5000, 0.9000]])
    """
    if len(levels) == 1:
        return torch.where(thresholds.isnan(), torch.nan, (quantiles < thresholds).to(thresholds.dtype))
    normal = _normal_quantiles(levels).to(quantiles)
    flat = quantiles.contiguous()
    right = torch.searchsorted(flat, thresholds.contiguous().to(flat.dtype)).clamp(1, len(normal) - 1)
    low, high = flat.gather(-1, right - 1), flat.gather(-1, right)
    width = high - low
    share = torch.where(
        width > 0,
        (thresholds - low) / torch.where(width > 0, width, 1.0),
        (thresholds > low).to(low) * 20 - (thresholds < low).to(low) * 20,
    )
    z = normal[right - 1] + share * (normal[right] - normal[right - 1])
    return torch.special.ndtr(z)


def _normal_quantiles(levels: Sequence[float]) -> Tensor:
    return torch.special.ndtri(torch.tensor(list(levels), dtype=torch.float64)).float()
