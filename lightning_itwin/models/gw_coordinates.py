"""Coordinates in which a flow works: every parameter on the whole real line, where its prior is N(0, 1)."""

# B batch, P parameters, K knots

from __future__ import annotations

import torch
from torch import Tensor, nn

_FURTHEST = 5.0  # knots reach from -5 to 5 sigma: all of a prior but 6e-7; beyond them the map is linear
_NUM_KNOTS = 513


class GaussianCoordinates(nn.Module):
    """A smooth monotone map between each parameter and a coordinate z in which its prior is N(0, 1).

    ``theta = quantile(Phi(z))``, with the quantile function of the parameter's own prior, held as a
    rational-quadratic spline through its values at 513 points. The spline itself is the map: its derivative
    is continuous and its inverse closed, so that densities are exact however far it is from the prior.

    A flow that has learned nothing gives the prior; a parameter that the data say nothing about needs no
    transform; no bound of the prior is a wall in z. A periodic parameter is first brought into its prior's
    range, which is where its circle is cut open: a mode across the cut becomes one mode in each tail.

    Args:
        quantiles: the prior's quantile at each of ``probabilities()``, (K, P) float64.
        minimum: lower bounds of the prior, where circles are cut, (P,).
        periods: period of a parameter, 0 where there is none, (P,).

    Raises:
        ValueError: a parameter's quantiles do not rise from knot to knot, as of a discrete prior.

    Reference:
        Durkan et al. 2019, arXiv:1906.04032, equations 4 to 8: the spline and its inverse.

    >>> quantiles = GaussianCoordinates.probabilities()[:, None]
    >>> uniform = GaussianCoordinates(quantiles, torch.zeros(1), torch.zeros(1))
    >>> theta, log_slope = uniform.to_parameters(torch.zeros(1, 1, dtype=torch.float64))
    >>> round(theta.item(), 6), round(log_slope.exp().item(), 4)  # the density of N(0, 1) at 0
    (0.5, 0.3989)
    """

    theta_PK: Tensor
    slope_PK: Tensor
    minimum: Tensor
    periods: Tensor

    def __init__(self, quantiles: Tensor, minimum: Tensor, periods: Tensor) -> None:
        super().__init__()
        if quantiles.ndim != 2 or len(quantiles) != _NUM_KNOTS:
            raise ValueError(f"quantiles must be ({_NUM_KNOTS}, parameters), not {tuple(quantiles.shape)}.")
        theta_PK = quantiles.T.double().contiguous()
        steps = theta_PK.diff(dim=1)
        if not bool((steps > 0).all()):
            flat = (~(steps > 0).all(dim=1)).nonzero().flatten().tolist()
            raise ValueError(
                f"The quantiles of parameter {flat} do not rise; a flow takes continuous priors only."
            )
        secant = steps / self._spacing
        slope_PK = torch.empty_like(theta_PK)
        slope_PK[:, 0], slope_PK[:, -1] = secant[:, 0], secant[:, -1]
        slope_PK[:, 1:-1] = 2 * secant[:, 1:] * secant[:, :-1] / (secant[:, 1:] + secant[:, :-1])
        for name, values in (
            ("theta_PK", theta_PK),
            ("slope_PK", slope_PK),
            ("minimum", minimum.double()),
            ("periods", periods.double()),
        ):
            self.register_buffer(name, values)

    _spacing = 2 * _FURTHEST / (_NUM_KNOTS - 1)

    @staticmethod
    def probabilities() -> Tensor:
        """Give the cumulative probabilities of the knots, evenly spaced in z, (K,) float64."""
        return torch.special.ndtr(torch.linspace(-_FURTHEST, _FURTHEST, _NUM_KNOTS, dtype=torch.float64))

    @classmethod
    def empty(cls, num_parameters: int) -> GaussianCoordinates:
        """Make a map whose numbers a state dict will bring."""
        knots = torch.arange(_NUM_KNOTS, dtype=torch.float64)[:, None].expand(-1, num_parameters)
        return cls(knots, torch.zeros(num_parameters), torch.zeros(num_parameters))

    def to_coordinates(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map parameters to z.

        Args:
            theta: (..., P).

        Returns:
            z, (..., P) float64, and ``log |dz / dtheta|`` summed over P, (...).
        """
        theta = theta.double()
        around = torch.where(self.periods > 0, self.periods, torch.inf)
        turned = theta - self.minimum - around * torch.floor((theta - self.minimum) / around)
        theta = torch.where(self.periods > 0, self.minimum + turned, theta)
        flat = theta.reshape(-1, theta.shape[-1]).T.contiguous()  # (P, B)
        knot = torch.searchsorted(self.theta_PK, flat, right=True).sub(1).clamp(0, _NUM_KNOTS - 2)
        low, high, left, right = self._segment(knot)
        rise, secant = high - low, (high - low) / self._spacing
        above = (flat - low).clamp(min=0).minimum(rise)
        curve = left + right - 2 * secant
        # a x^2 + b x + c = 0 for the position x inside the segment
        a = rise * (secant - left) + above * curve
        b = rise * left - above * curve
        c = -secant * above
        x = (2 * c / (-b - torch.sqrt((b * b - 4 * a * c).clamp(min=0)))).clamp(0, 1)
        slope = _slope(x, left, right, secant)
        z = -_FURTHEST + (knot + x) * self._spacing
        beyond = flat - flat.clamp(self.theta_PK[:, :1], self.theta_PK[:, -1:])
        z = z + beyond / slope
        return z.T.reshape(theta.shape), -slope.log().sum(dim=0).reshape(theta.shape[:-1])

    def to_parameters(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map z to parameters.

        Args:
            z: (..., P).

        Returns:
            theta, (..., P) float64, and ``log |dtheta / dz|`` summed over P, (...).
        """
        flat = z.double().reshape(-1, z.shape[-1]).T.contiguous()  # (P, B)
        inside = flat.clamp(-_FURTHEST, _FURTHEST)
        position = (inside + _FURTHEST) / self._spacing
        knot = position.long().clamp(0, _NUM_KNOTS - 2)
        x = position - knot
        low, high, left, right = self._segment(knot)
        rise, secant = high - low, (high - low) / self._spacing
        mixed = x * (1 - x)
        theta = low + rise * (secant * x * x + left * mixed) / (secant + (left + right - 2 * secant) * mixed)
        slope = _slope(x, left, right, secant)
        theta = theta + (flat - inside) * slope
        return theta.T.reshape(z.shape), slope.log().sum(dim=0).reshape(z.shape[:-1])

    def _segment(self, knot: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tables, knots = (self.theta_PK, self.slope_PK), (knot, knot + 1)
        low, high, left, right = (table.gather(1, index) for table in tables for index in knots)
        return low, high, left, right


def _slope(x: Tensor, left: Tensor, right: Tensor, secant: Tensor) -> Tensor:
    mixed = x * (1 - x)
    above = right * x * x + 2 * secant * mixed + left * (1 - x) ** 2
    return secant**2 * above / (secant + (left + right - 2 * secant) * mixed) ** 2
