"""Distributions that standardised indices are made of, fitted along the last axis, NaN left out."""

# "..." cells, n reference values, P parameters

from __future__ import annotations

import numpy as np
import torch

from lightning_itwin.optional import require


def fit_gamma(values: np.ndarray) -> np.ndarray:
    """Fit shape and scale of gamma distributions by Thom's approximation of the maximum likelihood.

    Args:
        values: above 0, NaN where missing, (..., n).

    Returns:
        Shape and scale, (..., 2); NaN where the values are all the same.

    Reference:
        Thom 1966, WMO Technical Note 81; as in McKee et al. 1993.
    """
    count = np.isfinite(values).sum(-1)
    with np.errstate(all="ignore"):
        mean = np.nansum(values, -1) / count
        gap = np.log(mean) - np.nansum(np.log(values), -1) / count
        shape = (1 + np.sqrt(1 + 4 * gap / 3)) / (4 * gap)
        shape = np.where(gap > 1e-12, shape, np.nan)
        return np.stack([shape, mean / shape], -1)


def gamma_cdf(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Give the probability below values (..., n) under parameters (..., 2)."""
    special = require("scipy.special", extra="drought")
    shape, scale = np.moveaxis(parameters[..., None, :], -1, 0)
    return special.gammainc(shape, np.maximum(values, 0) / scale)


def fit_pearson3(values: np.ndarray) -> np.ndarray:
    """Fit mean, standard deviation and skewness of Pearson III distributions by L-moments.

    Args:
        values: NaN where missing, (..., n).

    Returns:
        Mean, standard deviation and skewness, (..., 3); NaN where the values are all the same.

    Reference:
        Hosking & Wallis 1997, Regional Frequency Analysis, appendix A.9.
    """
    special = require("scipy.special", extra="drought")
    first, second, third = l_moments(values)
    with np.errstate(all="ignore"):
        ratio = np.where(second > 1e-12 * np.abs(first), third / second, np.nan)
        size = np.abs(ratio)
        z = 3 * np.pi * size**2
        mild = (1 + 0.2906 * z) / (z + 0.1882 * z**2 + 0.0442 * z**3)
        z = 1 - size
        strong = (0.36067 * z - 0.59567 * z**2 + 0.25361 * z**3) / (
            1 - 2.78861 * z + 2.56096 * z**2 - 0.77045 * z**3
        )
        shape = np.where(size < 1 / 3, mild, strong)
        to_root = np.exp(special.gammaln(shape) - special.gammaln(shape + 0.5))
        deviation = second * np.sqrt(np.pi * shape) * to_root
        skew = np.sign(ratio) * 2 / np.sqrt(shape)
    normal = size < 1e-6
    deviation = np.where(normal, second * np.sqrt(np.pi), deviation)
    return np.stack([first + 0 * ratio, deviation, np.where(normal, 0.0, skew)], -1)


def pearson3_cdf(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Give the probability below values (..., n) under parameters (..., 3)."""
    special = require("scipy.special", extra="drought")
    mean, deviation, skew = np.moveaxis(parameters[..., None, :], -1, 0)
    z = (values - mean) / deviation
    with np.errstate(all="ignore"):
        shape = 4 / skew**2
        reach = np.maximum(shape + 2 * z / skew, 0)  # distance from the bound, in units of the scale
        below = special.gammainc(shape, reach)
        skewed = np.where(skew > 0, below, 1 - below)
    return np.where(skew == 0, special.ndtr(z), skewed)


def fit_beta(values: np.ndarray) -> np.ndarray:
    """Fit beta distributions of values between 0 and 1, (..., n), by moments: (..., 2).

    Reference:
        Sheffield et al. 2004, J. Geophys. Res. 109, D24108, for soil moisture.
    """
    count = np.isfinite(values).sum(-1)
    with np.errstate(all="ignore"):
        mean = np.nansum(values, -1) / count
        variance = np.nansum((values - mean[..., None]) ** 2, -1) / (count - 1)
        both = mean * (1 - mean) / np.where(variance > 0, variance, np.nan) - 1
    return np.stack([mean * both, (1 - mean) * both], -1)


def beta_cdf(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Give the probability below values (..., n) under parameters (..., 2)."""
    special = require("scipy.special", extra="drought")
    first, second = np.moveaxis(parameters[..., None, :], -1, 0)
    return special.betainc(first, second, np.clip(values, 0, 1))


def fit_empirical(values: np.ndarray) -> np.ndarray:
    """Sort reference values, (..., n), NaN last: they are the distribution."""
    return np.sort(values, -1)


def empirical_cdf(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Give Gringorten's plotting positions ``(i - 0.44) / (n + 0.12)`` of values among sorted ones, (..., n).

    Ties have their mean rank. Between two reference values the position is interpolated linearly; beyond the
    least or greatest it stays that of the least or greatest.

    Reference:
        Gringorten 1963, J. Geophys. Res. 68, 813.
    """
    known = torch.from_numpy(np.where(np.isfinite(ordered), ordered, np.inf)).contiguous()
    wanted = torch.from_numpy(np.where(np.isfinite(values), values, 0.0))
    wanted = wanted.expand(*known.shape[:-1], wanted.shape[-1]).contiguous()
    count = np.isfinite(ordered).sum(-1)[..., None]
    below = torch.searchsorted(known, wanted).numpy()
    upto = torch.searchsorted(known, wanted, right=True).numpy()
    last = np.maximum(count - 1, 0)
    left = np.take_along_axis(ordered, np.clip(below - 1, 0, last), -1)
    right = np.take_along_axis(ordered, np.clip(below, 0, last), -1)
    with np.errstate(all="ignore"):
        share = np.where(right > left, (values - left) / (right - left), 0.0)
    # ranks are counted from 1; those of a tie run from below + 1 to upto
    rank = np.where(upto > below, (below + 1 + upto) / 2, below + share)
    rank = np.clip(rank, 1, np.maximum(count, 1))
    return np.where(np.isfinite(values) & (count > 0), (rank - 0.44) / (count + 0.12), np.nan)


def l_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the first three L-moments of values, NaN left out, (..., n) to (...) each, without bias.

    >>> mean, scale, skew = l_moments(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> print(f"{mean:.6f} {scale:.6f} {skew:.6f}")
    2.000000 0.666667 0.000000
    """
    ordered = np.sort(values, -1)
    count = np.isfinite(ordered).sum(-1)
    rank = np.arange(ordered.shape[-1], dtype=np.float64)
    known = np.where(np.isfinite(ordered), ordered, 0.0)
    with np.errstate(all="ignore"):
        zeroth = known.sum(-1) / count
        first = (known * rank).sum(-1) / (count * (count - 1.0))
        second = (known * rank * (rank - 1)).sum(-1) / (count * (count - 1.0) * (count - 2.0))
    return zeroth, 2 * first - zeroth, 6 * second - 6 * first + zeroth
