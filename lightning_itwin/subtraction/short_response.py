"""Responses that are short in time: what neighbouring frequencies know of each other."""

# F features, N frequencies, L lags

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.subtraction.cross_sums import INDEPENDENT, CrossSums

# Times within which paths ring down: at once, within some 30 ms, or with a high quality factor.
DECAYS_S = (0.01, 0.03, 0.15)
_LONGEST = 0.48  # lag, of a segment
_ROUNDS = 3
_STEPS = 600
_TOLERANCE = 1e-5
_LEAST = 1e-12


def short_response(
    sums: CrossSums,
    noise: np.ndarray,
    first: np.ndarray,
    band: np.ndarray,
    step_hz: float,
    decay_s: np.ndarray,
) -> np.ndarray:
    """Give the most probable response, of which long lags are less probable than short ones.

    ``minimise sum_f (H* Sxx H - 2 Re H* Sxy) / noise + sum_lags h(lag)^2 / (c exp(-|lag| / decay))``

    with a scale c of each feature that the data set, so that a feature that does nothing vanishes. A feature
    with power at a few frequencies only, such as a line, has a response that goes on smoothly to both sides.

    Args:
        sums: of the features.
        noise: power a segment of the target without what the features explain, (N,).
        first: a first response, (N, F), that sets the scales at the beginning.
        band: weight of each frequency, 0 to 1, (N,).
        step_hz: from one frequency to the next.
        decay_s: time within which the response to each feature fades, a priori, (F,).

    Returns:
        (N, F) complex.

    Reference:
        The prior: Chen, Ohlsson and Ljung 2012, Automatica 48, 1525, kernel "TC"; the scales by expectation
        and maximisation, conjugate gradients in the prior's own units.
    """
    fft = require("scipy.fft", extra="virgo")
    bins = len(sums.xy)
    length = 2 * (bins - 1)
    lag_s = np.minimum(np.arange(length), length - np.arange(length)) / (length * step_hz)
    envelope = np.where(lag_s * step_hz < _LONGEST, np.exp(-lag_s / decay_s[:, None]), 0.0)

    # Features and response in units in which both are about 1
    size = np.sqrt(np.maximum(np.einsum("nff->f", sums.xx).real, 1e-300))
    unit = np.sqrt(np.mean(np.abs(first * size) ** 2))
    if unit == 0:
        return np.zeros_like(sums.xy)
    weight = band * INDEPENDENT / np.maximum(noise, 1e-300)
    matrix = sums.xx / (size[:, None] * size) * (weight * unit**2)[:, None, None]
    wanted = sums.xy / size * (weight * unit)[:, None]
    impulse = fft.irfft(first * size / unit, length, axis=0).T
    for _ in range(_ROUNDS):
        scale = np.maximum((impulse**2).sum(axis=1) / envelope.sum(axis=1), _LEAST)
        spread = np.sqrt(scale[:, None] * envelope)

        def curvature(values: np.ndarray, spread: np.ndarray = spread) -> np.ndarray:
            response = fft.rfft(spread * values, axis=1).T
            product = np.matmul(matrix, response[:, :, None])[:, :, 0]
            return spread * length * fft.irfft(product.T, length, axis=1) + values

        impulse = spread * _solved(curvature, spread * length * fft.irfft(wanted.T, length, axis=1))
    return fft.rfft(impulse, axis=1).T * unit / size


def _solved(curvature: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray) -> np.ndarray:
    """Solve by conjugate gradients from zero."""
    found = np.zeros_like(wanted)
    rest, direction = wanted.copy(), wanted.copy()
    power = first = float((rest**2).sum())
    for _ in range(_STEPS):
        if power <= _TOLERANCE**2 * first:
            break
        bent = curvature(direction)
        step = power / float((direction * bent).sum())
        found += step * direction
        rest -= step * bent
        before, power = power, float((rest**2).sum())
        direction = rest + power / before * direction
    return found
