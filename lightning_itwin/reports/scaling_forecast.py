"""Epoch times on numbers of workers that were not measured: laws of scaling, and a posterior over them.

The time of an epoch on ``p`` workers is a sum of terms that each have a cause, none of them negative::

    strong scaling                     weak scaling    cause
    w / p                              w               the samples' own work
    r (p - 1) / p^2                    r (p - 1) / p   a ring's traffic, with every step
    s                                                  what every epoch does once; the traffic of steps that
                                                       do not become fewer
    one of 0, log2(p) / p, log2(p),    one of 0,       nothing more; a tree's latency and stragglers; the
    p - 1                              log2(p), p - 1  same where steps do not become fewer; a ring's latency

Few measured numbers of workers cannot tell the laws of the last line apart, so all of them stand, with equal
weights: their disagreement is what makes an interval grow with the distance. The size of each overhead is
not known even in its order of magnitude, so its prior is a half-normal one whose scale is log-uniform from a
thousandth of the largest world's time to all of it. The posterior is drawn by Gibbs sampling.
"""

# C chains, N measured numbers of workers, K terms, J directions

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lightning_itwin.reports.forecast_reach import FARTHEST

CONFIDENCE = 0.90
MISFIT = 0.02  # relative: what laws and machines differ by even where repeats agree
_MISFIT_WEIGHT = 6  # measured worlds that it takes to outweigh it
_CHAINS, _SWEEPS, _BURN_IN, _THIN = 160, 120, 40, 5  # chains of each law
_SCALES = np.geomspace(1e-3, 1.0, 12)

Array = npt.NDArray[np.float64]
Term = Callable[[Array], Array]

_TERMS: dict[str, tuple[Term, ...]] = {
    "strong": (lambda p: 1 / p, lambda p: (p - 1) / p**2, np.ones_like),
    "weak": (np.ones_like, lambda p: (p - 1) / p),
}
_LAWS: dict[str, tuple[Term, ...]] = {
    "strong": (np.zeros_like, lambda p: np.log2(p) / p, np.log2, lambda p: p - 1),
    "weak": (np.zeros_like, np.log2, lambda p: p - 1),
}


@dataclass(frozen=True, kw_only=True)
class ScalingPosterior:
    """Every law of scaling that what was measured allows, as draws.

    Args:
        scaling: ``"strong"`` or ``"weak"``.
        largest: largest measured number of workers.
        shares: draws of the terms' coefficients, in seconds a unit of the term (D, K).
        laws: number of the law of each draw (D,).
    """

    scaling: str
    largest: int
    shares: Array = field(repr=False)
    laws: npt.NDArray[np.intp] = field(repr=False)

    def epoch_times_s(self, workers: int) -> Array:
        """Give draws of the time of an epoch.

        Args:
            workers: number of workers, at most ``FARTHEST`` times the largest measured.

        Returns:
            seconds (D,); the same draw for every number of workers has the same place.

        Raises:
            ValueError: it is too far away.
        """
        if not 1 <= workers <= FARTHEST * self.largest:
            raise ValueError(
                f"{workers} workers cannot be forecast: with at most {self.largest} measured, a forecast "
                f"reaches from 1 to {FARTHEST * self.largest}"
            )
        terms = _values(np.array([float(workers)]), self.scaling)[:, 0]  # laws, K
        return np.asarray((self.shares * terms[self.laws]).sum(axis=1))

    def knees(self) -> npt.NDArray[np.int64]:
        """Give draws of the knee: the number of workers with the largest efficiency a time, ``E(p) / T(p)``.

        Up to it, more workers bring more than they cost; Amdahl's law with serial fraction ``f`` has it at
        ``(1 - f) / f``, with an efficiency of one half.

        Returns:
            workers, from 1 to ``FARTHEST`` times the largest measured world, which stands for "beyond" (D,).

        Reference:
            D. L. Eager, J. Zahorjan and E. D. Lazowska, Speedup versus efficiency in parallel systems, IEEE
            Transactions on Computers 38, 408 (1989).
        """
        farthest = FARTHEST * self.largest
        counts = np.unique(np.geomspace(1, farthest, 97).round().astype(np.int64))
        times = np.stack([self.epoch_times_s(int(count)) for count in counts])  # counts, D
        # E / T of a strong scaling is T(1) / (p T^2); of a weak one T(1) / T^2 for p times the work
        power = -np.log(counts)[:, None] - 2 * np.log(times)
        if self.scaling == "weak":
            power = np.log(counts)[:, None] - 2 * np.log(times)
        return np.asarray(counts[power.argmax(axis=0)])


def fit_scaling(
    workers: Sequence[int],
    times_s: Sequence[float],
    relative_errors: Sequence[float] | None = None,
    scaling: str = "strong",
    seed: int = 0,
) -> ScalingPosterior:
    """Find what the times of measured worlds allow.

    Args:
        workers: numbers of workers, two different ones at least.
        times_s: time of an epoch on each.
        relative_errors: standard error of each time as a share of it (default: 0).
        scaling: ``"strong"``: the workers share the epoch; ``"weak"``: each has one of its own.
        seed: of the draws.

    Raises:
        ValueError: fewer than two numbers of workers, or a time that is not positive.

    >>> posterior = fit_scaling([4, 8, 16], [52.0, 27.0, 14.5])  # Amdahl's law: 2 + 200 / p
    >>> low, middle, high = np.quantile(posterior.epoch_times_s(32), (0.05, 0.5, 0.95))
    >>> truth_s = 2 + 200 / 32
    >>> bool(low < truth_s < high), bool(abs(middle / truth_s - 1) < 0.06)
    (True, True)
    """
    p = np.asarray(workers, dtype=np.float64)
    times = np.asarray(times_s, dtype=np.float64)
    errors = (
        np.zeros_like(times) if relative_errors is None else np.asarray(relative_errors, dtype=np.float64)
    )
    if scaling not in _TERMS:
        raise ValueError(f"scaling is {scaling!r}; there are {', '.join(_TERMS)}")
    if len(set(workers)) < 2 or len(p) != len(times) or len(p) != len(errors) or p.min() < 1:
        raise ValueError(f"two different numbers of workers and a time of each are needed, got {workers}")
    if not (np.isfinite(times).all() and times.min() > 0 and np.isfinite(errors).all()):
        raise ValueError(f"times of an epoch are positive seconds, got {list(times_s)}")
    largest = int(p.max())
    sigma = float(np.hypot(MISFIT, np.sqrt(np.mean(errors**2))))
    weights = sigma / np.hypot(MISFIT, errors)  # a row of noisier repeats counts less
    here = _values(np.array([float(largest)]), scaling)[:, 0]  # laws, K
    unit_s = times[p.argmax()] / np.where(
        here > 0, here, 1.0
    )  # a coefficient of 1: all of the largest world's time
    design = _values(p, scaling) * unit_s[:, None, :] / times[:, None]
    shares = _draw(design * weights[:, None], weights, sigma, np.random.default_rng(seed))
    laws = np.tile(np.repeat(np.arange(len(here)), _CHAINS), len(shares))
    return ScalingPosterior(
        scaling=scaling, largest=largest, shares=np.concatenate(shares) * unit_s[laws], laws=laws
    )


def _values(p: Array, scaling: str) -> Array:
    """Give every term of every law at numbers of workers: (laws, N, K)."""
    shared = [term(p) for term in _TERMS[scaling]]
    return np.stack([np.stack([*shared, law(p)], axis=1) for law in _LAWS[scaling]])


def _draw(design: Array, wanted: Array, sigma: float, random: np.random.Generator) -> list[Array]:
    """Draw coefficients by Gibbs sampling along the axes of the posterior, then along the coefficients.

    Along any line the posterior is a normal distribution cut off where a coefficient turns negative; it is
    drawn by a slice, which needs no inverse of the normal distribution.

    Args:
        design: relative share of each measured time that a coefficient of 1 bears (laws, N, K).
        wanted: what they have to add up to (N,).
        sigma: prior of the relative misfit.
        random: generator.

    Returns:
        coefficients (laws * chains, K), one array a kept sweep.

    Reference:
        R. M. Neal, Slice sampling, Annals of Statistics 31, 705 (2003); P. Damien and S. G. Walker, Journal
        of Computational and Graphical Statistics 10, 206 (2001).
    """
    _, count, terms = design.shape
    axes = np.linalg.eigh(design.swapaxes(1, 2) @ design / sigma**2 + np.eye(terms))[1].swapaxes(1, 2)
    directions = np.concatenate([axes, np.broadcast_to(np.eye(terms), axes.shape)], axis=1)  # laws, J, K
    directions = np.repeat(directions, _CHAINS, axis=0)
    design = np.repeat(design, _CHAINS, axis=0)  # C, N, K
    chains = len(design)
    reach = np.einsum("cnk,cjk->jcn", design, directions)  # what a step along a direction changes
    directions = np.ascontiguousarray(directions.swapaxes(0, 1))  # J, C, K
    coefficients = np.abs(random.normal(size=(chains, terms))) / terms
    scales_sq = np.ones((chains, terms))
    noise_sq = np.full(chains, sigma**2)
    kept = []
    for sweep in range(_SWEEPS):
        left = wanted - np.einsum("cnk,ck->cn", design, coefficients)
        for direction, change in zip(directions, reach):
            weighed = direction / scales_sq
            precision = (change * change).sum(1) / noise_sq + (weighed * direction).sum(1)
            centre = ((left * change).sum(1) / noise_sq - (weighed * coefficients).sum(1)) / precision
            with np.errstate(divide="ignore", invalid="ignore"):
                crossing = -coefficients / direction
            low = np.where(direction > 0, crossing, -np.inf).max(1)
            high = np.where(direction < 0, crossing, np.inf).min(1)
            half = np.sqrt(centre**2 + 2 * random.exponential(size=chains) / precision)
            low, high = np.maximum(low, centre - half), np.minimum(high, centre + half)
            step = low + np.maximum(high - low, 0.0) * random.random(chains)
            coefficients = np.maximum(coefficients + step[:, None] * direction, 0.0)
            left = left - step[:, None] * change
        odds = -np.log(_SCALES) - (coefficients[:, 1:, None] / _SCALES) ** 2 / 2
        chosen = (odds + random.gumbel(size=odds.shape)).argmax(axis=2)
        scales_sq[:, 1:] = _SCALES[chosen] ** 2
        spread = _MISFIT_WEIGHT * sigma**2 + (left * left).sum(1)
        noise_sq = spread / 2 / random.gamma((_MISFIT_WEIGHT + count) / 2, size=chains)
        if sweep >= _BURN_IN and sweep % _THIN == 0:
            kept.append(coefficients.copy())
    return kept
