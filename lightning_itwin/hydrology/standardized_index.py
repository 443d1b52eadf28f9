"""Standardised indices: SPI of precipitation, SSMI of soil moisture, for months or days.

A value is put on the scale of a standard normal variable: how unusual is it among the values of the same time
of the year in a reference period? -1 is moderately, -1.5 severely, -2 extremely dry.
"""

# N cells, T times, C calendar positions, n reference values of a position

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lightning_itwin.hydrology import index_distributions as of
from lightning_itwin.optional import require

LIMIT = 3.09  # the index beyond which a record of some decades says nothing: one in a thousand
_LEAST_VALUES = 10


class _Family(NamedTuple):
    fit: Callable[[np.ndarray], np.ndarray]
    cdf: Callable[[np.ndarray, np.ndarray], np.ndarray]
    zeros_apart: bool


_FAMILIES = {
    "gamma": _Family(of.fit_gamma, of.gamma_cdf, True),
    "pearson3": _Family(of.fit_pearson3, of.pearson3_cdf, True),
    "beta": _Family(of.fit_beta, of.beta_cdf, False),
    "empirical": _Family(of.fit_empirical, of.empirical_cdf, False),
}


@dataclass(frozen=True, kw_only=True)
class StandardizedIndex:
    """A standardised index, fitted to a reference period.

    Attributes:
        distribution: "gamma", "pearson3", "beta" or "empirical".
        parameters: of the distribution of every cell and calendar position, (N, C, P).
        zero_share: share of zeros of every cell and position, (N, C); 0 where they are not kept apart.

    >>> rain = np.random.default_rng(0).gamma(2.0, 30.0, (1, 600))
    >>> month = np.arange(600) % 12
    >>> index = StandardizedIndex.fit(rain, month).index(rain, month)
    >>> bool(abs(index.mean()) < 0.01), bool(abs(index.std() - 1) < 0.02)
    (True, True)
    """

    distribution: str
    parameters: np.ndarray
    zero_share: np.ndarray

    @classmethod
    def fit(
        cls,
        values: np.ndarray,
        position: np.ndarray,
        distribution: str = "gamma",
        reference: np.ndarray | None = None,
        window: int = 0,
        least_values: int = _LEAST_VALUES,
    ) -> StandardizedIndex:
        """Fit the distributions of a reference period.

        Zeros of "gamma" and "pearson3" are kept apart, as McKee does: the distribution is that of the other
        values, and the probability of a zero the share of zeros. Where all is zero, a zero is usual: index 0.

        Args:
            values: accumulated (see :func:`accumulate`), NaN where missing, (N, T) or (T,).
            position: place in the year, from 0: month 0 to 11, or day (see :func:`day_of_year`), (T,).
            distribution: "gamma" (Thom), "pearson3" (L-moments), "beta" (moments; values from 0 to 1, such as
                the degree of saturation) or "empirical" (Gringorten's plotting positions).
            reference: which times belong to the reference period, bool (T,); None: all.
            window: how many positions to either side are counted in; 15 for daily values.
            least_values: a cell and position with fewer values (other than zeros kept apart) has none: NaN.

        Raises:
            ValueError: another distribution, shapes that do not fit, values that it cannot have, or a
                reference period in which no position has enough values.
        """
        if distribution not in _FAMILIES:
            raise ValueError(f"The distribution is one of {sorted(_FAMILIES)}, not {distribution!r}.")
        values, position = _series(values), np.asarray(position)
        inside = np.ones(len(position), bool) if reference is None else np.asarray(reference, bool)
        if position.shape != values.shape[1:] or inside.shape != position.shape:
            raise ValueError(
                f"{values.shape[1]} values, {position.shape} positions, {inside.shape} references."
            )
        _check_range(values, distribution)
        family, count = _FAMILIES[distribution], int(position.max()) + 1
        parameters, zero_share, most = [], [], 0
        for place in range(count):
            apart = np.abs(position - place)
            near = inside & (np.minimum(apart, count - apart) <= window)
            most = max(most, int(near.sum()))
            fitted, zeros = _fit_position(values[:, near], family, least_values)
            parameters.append(fitted)
            zero_share.append(zeros)
        if most < least_values:
            raise ValueError(
                f"The reference period has {most} values of a time of the year, {least_values} are needed: "
                f"give a longer one (the WMO wants 30 years), or count in more days with window."
            )
        longest = max(part.shape[-1] for part in parameters)
        padded = [_pad(part, longest) for part in parameters]
        return cls(
            distribution=distribution, parameters=np.stack(padded, 1), zero_share=np.stack(zero_share, 1)
        )

    def probability(self, values: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Give the probability of values up to those given, (N, T) or (T,)."""
        series, position = _series(values), np.asarray(position)
        if series.shape != (len(self.parameters), len(position)):
            raise ValueError(
                f"{(len(self.parameters), len(position))} values are wanted, not {series.shape}."
            )
        family, found = _FAMILIES[self.distribution], np.full(series.shape, np.nan)
        for place in np.unique(position):
            at, zeros = position == place, self.zero_share[:, place, None]
            some = series[:, at]
            below = zeros + (1 - zeros) * family.cdf(some, self.parameters[:, place])
            of_zero = np.where(zeros < 1, zeros, 0.5)
            found[:, at] = np.where((some == 0) & (zeros > 0), of_zero, below)
        return np.where(np.isnan(series), np.nan, found).reshape(np.shape(values))

    def index(self, values: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Give the index of values, (N, T) or (T,), from -3.09 to 3.09; NaN where there is none."""
        special = require("scipy.special", extra="drought")
        return np.clip(special.ndtri(self.probability(values, position)), -LIMIT, LIMIT)


def day_of_year(year_fraction: np.ndarray) -> np.ndarray:
    """Give the day from 0 to 364 of every calendar: a leap year has two days on one place.

    >>> day_of_year(np.array([0.0, 1 / 365, 31 / 366, 359 / 360]))
    array([  0,   1,  30, 363])
    """
    return np.floor(np.asarray(year_fraction, dtype=np.float64) * 365 + 1e-6).astype(np.int64)


def accumulate(values: np.ndarray, scale: int, mean: bool = False) -> np.ndarray:
    """Sum (or average) each value with the ``scale - 1`` before it, along the last axis.

    The first ``scale - 1`` are NaN, and so is every sum with a missing value in it.

    Raises:
        ValueError: a scale below 1 or longer than the series.

    >>> accumulate(np.array([1.0, 2.0, 3.0]), 2)
    array([nan,  3.,  5.])
    """
    values = np.asarray(values, dtype=np.float64)
    if not 1 <= scale <= values.shape[-1]:
        raise ValueError(f"A scale is from 1 to the length of the series, {values.shape[-1]}, not {scale}.")
    windows = np.lib.stride_tricks.sliding_window_view(values, scale, axis=-1)
    found = np.full(values.shape, np.nan)
    found[..., scale - 1 :] = windows.mean(-1) if mean else windows.sum(-1)
    return found


def standardized_precipitation_index(
    precipitation: np.ndarray,
    position: np.ndarray,
    scale: int,
    distribution: str = "gamma",
    reference: np.ndarray | None = None,
    **options: Any,
) -> np.ndarray:
    """Give the SPI of precipitation, (N, T) or (T,), summed over ``scale`` months or days.

    Args:
        precipitation: sum of every month or day, mm, in the order of time and without a gap in it.
        position, distribution, reference, options: see :meth:`StandardizedIndex.fit`.
        scale: how many months or days are summed.

    Reference:
        McKee et al. 1993, 8th Conf. on Applied Climatology, AMS, 179; Guttman 1999, JAWRA 35, 311, for
        Pearson III.
    """
    total = accumulate(precipitation, scale)
    return StandardizedIndex.fit(total, position, distribution, reference, **options).index(total, position)


def standardized_soil_moisture_index(
    soil_moisture: np.ndarray,
    position: np.ndarray,
    scale: int = 1,
    distribution: str = "empirical",
    reference: np.ndarray | None = None,
    **options: Any,
) -> np.ndarray:
    """Give the SSMI of soil moisture, (N, T) or (T,), averaged over ``scale`` months or days.

    Args:
        soil_moisture: of every month or day, in any unit; for "beta" as a degree of saturation from 0 to 1.
        position, distribution, reference, options: see :meth:`StandardizedIndex.fit`.
        scale: how many months or days are averaged.

    Reference:
        Hao & AghaKouchak 2013, Adv. Water Resources 57, 12, for the empirical index.
    """
    mean = accumulate(soil_moisture, scale, mean=True)
    return StandardizedIndex.fit(mean, position, distribution, reference, **options).index(mean, position)


def _series(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"Values are (cells, times) or (times,), not {values.shape}.")
    return np.atleast_2d(values)


def _check_range(values: np.ndarray, distribution: str) -> None:
    least, greatest = np.nanmin(values, initial=0.0), np.nanmax(values, initial=0.0)
    if distribution == "gamma" and least < 0:
        raise ValueError(
            f"A gamma index has values of 0 or more, not {least:.6g}: take pearson3 or empirical."
        )
    if distribution == "beta" and (least < 0 or greatest > 1):
        raise ValueError(
            f"A beta index has values from 0 to 1, not {least:.6g} to {greatest:.6g}: scale them."
        )


def _fit_position(values: np.ndarray, family: _Family, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Give parameters (N, P) and share of zeros (N,) of the values of a position, (N, n)."""
    present = np.isfinite(values).sum(-1)
    zeros = (values == 0).sum(-1) if family.zeros_apart else np.zeros(len(values))
    rest = np.where(values == 0, np.nan, values) if family.zeros_apart else values
    fitted = family.fit(rest)
    enough = (present - zeros) >= least
    share = np.where(present > 0, zeros / np.maximum(present, 1), np.nan)
    return np.where(enough[:, None], fitted, np.nan), share


def _pad(part: np.ndarray, width: int) -> np.ndarray:
    return np.pad(part, ((0, 0), (0, width - part.shape[-1])), constant_values=np.nan)
