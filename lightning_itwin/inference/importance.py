"""Importance sampling: the weights of a proposal under the exact posterior, and how far to trust them."""

# N samples

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_SMALLEST_TAIL = 5  # a generalised Pareto distribution has two parameters


@dataclass(frozen=True, kw_only=True)
class ImportanceWeights:
    """Weights of samples drawn from a proposal q, for a target known up to its integral Z.

    ``w_n = target(theta_n) / q(theta_n)``, and Z is their mean. Nothing but the samples' own density
    enters: a proposal computed in bfloat16, or one wider than the prior, leaves the result exact.

    Attributes:
        log_weights: log w, ``-inf`` for samples outside the prior and for invalid ones, (N,).
        invalid: samples whose target or proposal density was NaN or infinite; they weigh nothing.
        effective_samples: (sum w)^2 / sum w^2.
        efficiency: the same over N, 0 to 1.
        log_evidence: log Z.
        log_evidence_error: standard error of log Z, sqrt((1 / efficiency - 1) / N).
        pareto_k: shape of the tail of the weights; above 0.7 neither Z nor its error can be trusted.

    Reference:
        Dax et al. 2023, arXiv:2210.05686: neural importance sampling; Vehtari et al. 2024,
        arXiv:1507.02646: Pareto k.
    """

    log_weights: np.ndarray
    invalid: int
    effective_samples: float
    efficiency: float
    log_evidence: float
    log_evidence_error: float
    pareto_k: float

    @property
    def normalised(self) -> np.ndarray:
        """Weights that sum to 1, (N,); zeros where no sample weighs anything."""
        return normalise(self.log_weights)


def importance_weights(log_target: np.ndarray, log_proposal: np.ndarray) -> ImportanceWeights:
    """Weigh samples of a proposal.

    Args:
        log_target: log likelihood plus log prior of the samples, (N,).
        log_proposal: log density that they were drawn with, (N,).

    Raises:
        ValueError: the shapes differ, or there is no sample.

    >>> weights = importance_weights(np.zeros(4), np.zeros(4))
    >>> weights.efficiency, weights.log_evidence, weights.log_evidence_error
    (1.0, 0.0, 0.0)
    """
    target_N = np.asarray(log_target, dtype=np.float64)
    proposal_N = np.asarray(log_proposal, dtype=np.float64)
    if target_N.ndim != 1 or target_N.shape != proposal_N.shape or not len(target_N):
        raise ValueError(f"One density a sample is wanted, not {target_N.shape} and {proposal_N.shape}.")
    invalid_N = np.isnan(target_N) | (target_N == math.inf) | ~np.isfinite(proposal_N)
    log_weights_N = np.where(invalid_N, -math.inf, target_N - np.where(invalid_N, 0.0, proposal_N))
    weights_N = normalise(log_weights_N)
    effective = float(1.0 / np.square(weights_N).sum()) if weights_N.any() else 0.0
    efficiency = min(1.0, effective / len(weights_N))
    return ImportanceWeights(
        log_weights=log_weights_N,
        invalid=int(invalid_N.sum()),
        effective_samples=effective,
        efficiency=efficiency,
        log_evidence=_log_mean(log_weights_N),
        log_evidence_error=math.sqrt((1 / efficiency - 1) / len(weights_N)) if efficiency else math.inf,
        pareto_k=pareto_k(log_weights_N),
    )


def normalise(log_weights: np.ndarray) -> np.ndarray:
    """Turn log weights into weights that sum to 1, (N,); zeros if all are ``-inf``."""
    highest = log_weights.max()
    if highest == -math.inf:
        return np.zeros_like(log_weights)
    weights_N = np.exp(log_weights - highest)
    return weights_N / weights_N.sum()


def resample(log_weights: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Draw sample numbers in proportion to the weights, (num,) in random order.

    Systematic resampling: a sample of weight w is drawn floor(num w) or one time more.

    Raises:
        ValueError: no sample weighs anything.
    """
    weights_N = normalise(np.asarray(log_weights, dtype=np.float64))
    if not weights_N.any():
        raise ValueError("No sample has a weight: the proposal missed the posterior altogether.")
    random = np.random.default_rng(seed)
    at = (np.arange(num) + random.random()) / num * weights_N.sum()
    drawn = np.searchsorted(np.cumsum(weights_N), at, side="right").clip(max=len(weights_N) - 1)
    return random.permutation(drawn)


def pareto_k(log_weights: np.ndarray) -> float:
    """Fit a generalised Pareto distribution to the largest weights and give its shape k.

    Below 0.5 the weights have a variance, below 0.7 estimates converge in practice. Equal weights have no
    tail: ``-inf``.

    Args:
        log_weights: (N,).

    Returns:
        k, or NaN for fewer than 25 samples.

    Reference:
        Zhang & Stephens 2009, doi:10.1198/tech.2009.08017, with the weak prior of Vehtari et al. 2024,
        arXiv:1507.02646, appendix C.
    """
    finite_N = np.sort(log_weights[np.isfinite(log_weights)])
    tail = math.ceil(min(0.2 * len(log_weights), 3 * math.sqrt(len(log_weights))))
    if tail < _SMALLEST_TAIL or len(finite_N) <= tail:
        return math.nan
    values_N = np.exp(finite_N - finite_N[-1])
    excess_T = values_N[-tail:] - values_N[-tail - 1]
    if excess_T[-1] <= 1e-12 * values_N[-1]:
        return -math.inf
    excess_T = np.maximum(excess_T, 1e-300)
    grid = 30 + math.isqrt(tail)
    quartile = excess_T[round(tail / 4 + 0.5) - 1]
    # The largest excess keeps every point of the grid inside the distribution's support.
    b_G = 1 / excess_T[-1] + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3 * quartile)
    k_G = np.log1p(-b_G[:, None] * excess_T).mean(axis=1)
    log_likelihood_G = tail * (np.log(-b_G / k_G) - k_G - 1)
    b = float((b_G * normalise(log_likelihood_G)).sum())
    k = float(np.log1p(-b * excess_T).mean())
    return (k * tail + 0.5 * 10) / (tail + 10)


def _log_mean(log_values: np.ndarray) -> float:
    highest = log_values.max()
    if highest == -math.inf:
        return -math.inf
    return float(highest + np.log(np.exp(log_values - highest).mean()))
