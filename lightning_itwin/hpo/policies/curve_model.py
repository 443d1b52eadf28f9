"""A Gaussian process over configurations and epochs: how low would a training end that paused or never ran?

With z = log(epoch) / log(max_epochs), 0 to 1, x a configuration's point and c its number:

    y(x, z, c) = b0 + b1 z + f(x) + g(x, z) + h_c(z) + noise

f: Matern 5/2 in x; g: the same in x times Matern 5/2 in z; h_c: Matern 5/2 in z, each configuration's own.

Reference:
    Swersky, Snoek and Adams, Freeze-thaw Bayesian optimization, 2014, https://arxiv.org/abs/1406.3896: to
    pool curves so, and to pause and resume by the prediction. The priors' lengths grow with the root of the
    number of hyperparameters: Hvarfner, Hellsten and Nardi, ICML 2024, https://arxiv.org/abs/2402.02229.
"""

# N observations, M points that are asked for, C columns of a point, H hyperparameters of the kernel

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize

_ROOT5 = 5**0.5
_TREND = 4.0  # variance of b0 and b1, in variances of the standardised values


class Points(NamedTuple):
    """Where a curve is known or asked for.

    Args:
        x: points of the configurations, (N, C).
        z: log(epoch) / log(max_epochs), (N,).
        c: number of the configuration, (N,); -1 for one that is not among the known.
    """

    x: np.ndarray
    z: np.ndarray
    c: np.ndarray

    def unknown(self) -> Points:
        """Give the same points as configurations that are not among the known."""
        return self._replace(c=np.full(len(self.c), -1))


def _matern(r: np.ndarray) -> np.ndarray:
    return (1 + _ROOT5 * r + 5 / 3 * r * r) * np.exp(-_ROOT5 * r)


class CurveModel:
    """The process with its hyperparameters: length of each hyperparameter, of z, and the variances.

    Args:
        owner_C: hyperparameter that each column of a point belongs to; its columns share a length.
    """

    def __init__(self, owner_C: np.ndarray) -> None:
        self.owner_C = owner_C
        self.lengths = int(owner_C.max()) + 1
        # log of: lengths, length of z, variances of f, g, h, noise. g is held close: a few short curves that
        # run alike would say that none ever cross, and what starts slowly would be lost
        self.centre_H = np.log([0.5 * self.lengths**0.5] * self.lengths + [1.0, 0.5, 0.5, 0.05, 0.003])
        self.spread_H = np.array([0.8] * self.lengths + [0.5, 1.0, 0.4, 1.0, 1.0])
        self.theta_H = self.centre_H.copy()

    def _squares(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Give squared distances for each hyperparameter, (lengths, N, M)."""
        found = np.zeros((self.lengths, len(a), len(b)))
        for column, owner in enumerate(self.owner_C):
            found[owner] += (a[:, None, column] - b[None, :, column]) ** 2
        return found

    def covariance(self, a: Points, b: Points) -> np.ndarray:
        """Give the covariance of noise-free values, (N, M)."""
        lengths, (length_z, f, g, h) = np.exp(self.theta_H[: self.lengths]), np.exp(self.theta_H[-5:-1])
        in_x = _matern(np.sqrt(np.tensordot(lengths**-2, self._squares(a.x, b.x), 1)))
        in_z = _matern(np.abs(a.z[:, None] - b.z[None]) / length_z)
        same = (a.c[:, None] == b.c[None]) & (a.c[:, None] >= 0)
        return in_x * (f + g * in_z) + h * same * in_z + _TREND * (1 + a.z[:, None] * b.z[None])

    def fit(self, points: Points, values_N: np.ndarray, iterations: int = 40) -> None:
        """Find the hyperparameters that are most probable for standardised values (N,)."""
        squares = self._squares(points.x, points.x)
        apart_z = np.abs(points.z[:, None] - points.z[None])
        same = points.c[:, None] == points.c[None]
        trend = _TREND * (1 + points.z[:, None] * points.z[None])
        identity = np.eye(len(values_N))

        def loss(theta_H: np.ndarray) -> tuple[float, np.ndarray]:
            lengths, (length_z, f, g, h, noise) = np.exp(theta_H[: self.lengths]), np.exp(theta_H[-5:])
            r = np.sqrt(np.tensordot(lengths**-2, squares, 1))
            in_x, q = _matern(r), apart_z / length_z
            in_z = _matern(q)
            covariance = in_x * (f + g * in_z) + h * same * in_z + trend + noise * identity
            try:
                lower = linalg.cholesky(covariance, lower=True, check_finite=False)
            except linalg.LinAlgError:
                return 1e10, np.zeros_like(theta_H)
            inverse = linalg.cho_solve((lower, True), identity, check_finite=False)
            alpha = inverse @ values_N
            off = (theta_H - self.centre_H) / self.spread_H
            value = 0.5 * values_N @ alpha + np.log(np.diag(lower)).sum() + 0.5 * off @ off
            weight = 0.5 * (inverse - np.outer(alpha, alpha))
            slope_x = weight * (f + g * in_z) * (5 / 3 * (1 + _ROOT5 * r) * np.exp(-_ROOT5 * r))
            slope_z = (
                weight * (g * in_x + h * same) * (5 / 3 * q * q * (1 + _ROOT5 * q) * np.exp(-_ROOT5 * q))
            )
            gradient = np.concatenate(
                [
                    np.tensordot(squares, slope_x, 2) / lengths**2,
                    [
                        slope_z.sum(),
                        f * (weight * in_x).sum(),
                        g * (weight * in_x * in_z).sum(),
                        h * (weight * same * in_z).sum(),
                        noise * np.trace(weight),
                    ],
                ]
            )
            return value, gradient + off / self.spread_H

        far = 4 * self.spread_H  # a noise of nearly nothing would break Cholesky's factors
        found = optimize.minimize(
            loss,
            self.theta_H,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(self.centre_H - far, self.centre_H + far)),
            options={"maxiter": iterations},
        )
        self.theta_H = found.x

    def condition(self, points: Points, values_N: np.ndarray) -> None:
        """Take in the standardised values (N,) that are known."""
        self._known = points
        covariance = self.covariance(points, points)
        covariance[np.diag_indices_from(covariance)] += np.exp(self.theta_H[-1])
        self._lower = linalg.cholesky(covariance, lower=True, check_finite=False)
        self._alpha = linalg.cho_solve((self._lower, True), values_N, check_finite=False)

    def predict(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and standard deviation (M,) of the noise-free values at points."""
        cross = self.covariance(self._known, points)
        reduced = linalg.solve_triangular(self._lower, cross, lower=True, check_finite=False)
        f, g, h = np.exp(self.theta_H[-4:-1])
        before = f + g + h + _TREND * (1 + points.z**2)
        return cross.T @ self._alpha, np.sqrt(np.maximum(before - (reduced**2).sum(axis=0), 1e-12))
