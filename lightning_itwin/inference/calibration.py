"""Calibration: whether posteriors hold the truth as often as they say. Pure functions on arrays."""

# E events, N samples, P parameters, L levels

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.inference.importance import normalise
from lightning_itwin.optional import require

Periods = Sequence[tuple[float, float] | None]


@dataclass(frozen=True, kw_only=True)
class UniformityTest:
    """Kolmogorov-Smirnov tests of ranks against the uniform distribution.

    Attributes:
        names: of the parameters, P of them.
        p_values: one a parameter, (P,).
        combined: p of all parameters together, by Fisher's method, as bilby's ``make_pp_plot`` has it.
    """

    names: tuple[str, ...]
    p_values: np.ndarray
    combined: float

    @property
    def lowest(self) -> float:
        """The smallest p of a parameter."""
        return float(self.p_values.min())


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often central credible intervals held the truth.

    Attributes:
        levels: credible levels, (L,).
        held: share of the events whose interval held the truth, (L, P).
        low: lower end of the 95 % range that this share has for a calibrated posterior, (L,).
        high: its upper end, (L,).
    """

    levels: np.ndarray
    held: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ranks(
    samples: np.ndarray,
    truths: np.ndarray,
    weights: np.ndarray | None = None,
    periods: Periods | None = None,
) -> np.ndarray:
    """Give the posterior mass below the truth: uniform from 0 to 1 over events if all is calibrated.

    Unweighted, the rank of the truth among N samples is ``(k + 1/2) / (N + 1)`` for k samples below.

    A periodic parameter has no least value: samples and truth are wrapped into the period that begins at
    the prior's lower end, the same for all events, and ranked there. A start that moved with the truth
    would give ranks that are not uniform.

    Args:
        samples: (E, N, P).
        truths: (E, P).
        weights: of the samples, of any sum, (E, N).
        periods: (start, period) of every periodic parameter, None for the others, P of them;
            :func:`periods_of` makes it from a prior.

    Returns:
        Ranks, (E, P); NaN for events whose weights are all 0.

    Raises:
        ValueError: the shapes do not fit.

    Reference:
        Talts et al. 2018, arXiv:1804.06788: simulation-based calibration.

    >>> ranks(np.array([[[1.0], [2.0], [3.0]]]), np.array([[2.5]]))
    array([[0.625]])
    """
    samples, truths = np.asarray(samples), np.asarray(truths)
    if samples.ndim != 3 or truths.shape != (samples.shape[0], samples.shape[2]):
        raise ValueError(f"(E, N, P) samples and (E, P) truths are wanted: {samples.shape}, {truths.shape}.")
    if weights is not None and np.shape(weights) != samples.shape[:2]:
        raise ValueError(f"(E, N) weights are wanted, {samples.shape[:2]}, not {np.shape(weights)}.")
    found_EP = np.empty(truths.shape)
    for parameter in range(truths.shape[1]):
        values_EN, truth_E = samples[:, :, parameter], truths[:, parameter]
        if periods is not None and periods[parameter] is not None:
            start, period = periods[parameter]  # type: ignore[misc]
            values_EN, truth_E = (values_EN - start) % period, (truth_E - start) % period
        found_EP[:, parameter] = _share(values_EN < truth_E[:, None], weights)
    return found_EP


def statistic_ranks(
    of_samples: np.ndarray, of_truths: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Rank the truth by any quantity, such as its log density under the flow.

    The density is the sharpest single test of a posterior's width in many dimensions: the rank of the truth's
    density is the mass outside the credible region on whose edge the truth lies.

    Args:
        of_samples: the quantity at every sample, (E, N).
        of_truths: at the truths, (E,).
        weights: (E, N).

    Returns:
        Ranks, (E, 1).

    Reference:
        Modrak et al. 2023, arXiv:2211.02383: simulation-based calibration with data-dependent quantities.
    """
    return ranks(np.asarray(of_samples)[:, :, None], np.asarray(of_truths)[:, None], weights)


def periods_of(names: Sequence[str], minimum: Sequence[float], periodic: dict[str, float]) -> Periods:
    """Make the ``periods`` of :func:`ranks` from a prior's ``names``, ``minimum`` and ``periodic``."""
    return [(float(low), periodic[name]) if name in periodic else None for name, low in zip(names, minimum)]


def uniformity(ranks_EP: np.ndarray, names: Sequence[str] | None = None) -> UniformityTest:
    """Test ranks against the uniform distribution, parameter by parameter and all together.

    Args:
        ranks_EP: (E, P).
        names: of the parameters.

    Raises:
        ValueError: there is a rank that is not between 0 and 1.
    """
    stats = require("scipy.stats", extra="gw")
    ranks_EP = np.asarray(ranks_EP)
    if ranks_EP.ndim != 2 or not ((ranks_EP >= 0) & (ranks_EP <= 1)).all():
        raise ValueError("Ranks are (E, P), from 0 to 1; leave out events without weights.")
    p_values_P = np.array([stats.kstest(column, "uniform").pvalue for column in ranks_EP.T])
    combined = float(stats.combine_pvalues(np.maximum(p_values_P, 1e-300)).pvalue)
    count = ranks_EP.shape[1]
    return UniformityTest(
        names=tuple(names or (f"parameter {i}" for i in range(count))), p_values=p_values_P, combined=combined
    )


def coverage(ranks_EP: np.ndarray, levels: Sequence[float] | np.ndarray = (0.5, 0.9)) -> Coverage:
    """Count how often the central interval of a credible level holds the truth.

    >>> coverage(np.array([[0.1], [0.3], [0.5], [0.97]])).held
    array([[0.5 ],
           [0.75]])
    """
    stats = require("scipy.stats", extra="gw")
    levels_L = np.asarray(levels, dtype=np.float64)
    outside_EP = 2 * np.abs(np.asarray(ranks_EP) - 0.5)
    events = len(outside_EP)
    low_L, high_L = stats.binom.interval(0.95, events, levels_L)
    return Coverage(
        levels=levels_L,
        held=(outside_EP[None] <= levels_L[:, None, None]).mean(axis=1),
        low=low_L / events,
        high=high_L / events,
    )


def _share(below_EN: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        return (below_EN.sum(axis=1) + 0.5) / (below_EN.shape[1] + 1)
    total_E = np.sum(weights, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(np.where(below_EN, weights, 0.0).sum(axis=1) / total_E, 0.0, 1.0)


def normalised_weights(log_weights: np.ndarray) -> np.ndarray:
    """Turn log weights of many events into weights that sum to 1 in each, (E, N) to (E, N)."""
    return np.stack([normalise(row_N) for row_N in np.asarray(log_weights, dtype=np.float64)])
