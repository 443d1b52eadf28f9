"""The response from features to strain in closed form: few features a frequency, each by its evidence."""

# F features, N frequencies

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.subtraction.cross_sums import CrossSums, log_likelihood_gain
from lightning_itwin.subtraction.short_response import DECAYS_S, short_response

_NEAR_HZ = 2.0  # half width over which a frequency is judged together with its neighbours
_LENGTH_HZ = 8.0  # half width over which a length of the responses is chosen
_FADE_HZ = 8.0  # over which a response sets in beside the frequencies at which its feature was taken
_MOST_PER_BIN = 16
_COLLINEAR = 1e-3
_LEAKAGE = 1e-7  # of a feature's power at its loudest: less has leaked through the window


@dataclass(frozen=True, kw_only=True)
class SolutionSettings:
    """How features are chosen.

    Args:
        evidence: gain in log likelihood, smoothed over frequency, that a feature needs at a frequency.
        smoothing_hz: half width of that smoothing.
        ridge: share of a feature's power that is added to it, for features that are nearly the same.
        tolerance: held-out power after subtraction over that before, from which a frequency is left alone.
    """

    evidence: float = 4.0
    smoothing_hz: float = 5.0
    ridge: float = 1e-8
    tolerance: float = 0.995


_SETTINGS = SolutionSettings()


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A response and what is known of it.

    Args:
        response: from features to target, (N, F) complex; 0 where a feature was not chosen.
        held_out: power after over power before in data that a response had not seen, (N,).
        passed: frequencies that are left alone, (N,) bool.
        evidence: summed gain in log likelihood of each feature, (F,).
    """

    response: np.ndarray
    held_out: np.ndarray
    passed: np.ndarray
    evidence: np.ndarray


def solve(
    folds: Sequence[CrossSums],
    frequency_hz: np.ndarray,
    band_hz: tuple[float, float],
    settings: SolutionSettings = _SETTINGS,
    prompt: np.ndarray | None = None,
) -> Solution:
    """Solve for the response.

    Features are taken forward at each frequency while the log likelihood, smoothed over neighbouring
    frequencies, gains more than its price; the response is the most probable one of those taken. What it does
    to data that it has not seen is told by leaving out one fold after the other; so is which length of the
    responses serves a band best.

    Args:
        folds: sums of at least two parts of the training data.
        frequency_hz: of the bins, (N,).
        band_hz: band in which noise is looked for.
        settings: how features are chosen.
        prompt: features to which the target responds at once, whatever length serves the others, (F,) bool.

    Reference:
        Orthogonal forward selection: Chen, Cowan and Grant 1991, IEEE Trans. Neural Networks 2, 302.
    """
    total = folds[0]
    for fold in folds[1:]:
        total = total.merge(fold)
    if prompt is None:
        prompt = np.zeros(total.xy.shape[1], dtype=bool)
    responses, evidence = _responses(total, frequency_hz, band_hz, settings, prompt)
    left = np.zeros((len(frequency_hz), len(DECAYS_S)))
    for fold in folds:
        others, _ = _responses(total.merge(fold, sign=-1.0), frequency_hz, band_hz, settings, prompt)
        left += np.stack([fold.residual(one) for one in others], axis=1)
    step_hz = frequency_hz[1] - frequency_hz[0]
    share = _share_of_lengths(left / np.maximum(total.yy, 1e-300)[:, None], step_hz)
    response = np.einsum("nl,lnf->nf", share, np.stack(responses))
    held_out = (share * left).sum(axis=1) / np.maximum(total.yy, 1e-300)
    near = max(1, round(_NEAR_HZ / step_hz))
    passed = running_mean(held_out[:, None], near)[:, 0] > settings.tolerance
    kept = running_mean((~passed)[:, None].astype(np.float64), near)
    return Solution(
        response=response * kept,
        held_out=held_out,
        passed=passed,
        evidence=evidence,
    )


def _share_of_lengths(held_out: np.ndarray, step_hz: float) -> np.ndarray:
    """Give the share of each length of responses at each frequency, (N, L), from the power it leaves."""
    around = running_mean(held_out, max(1, round(_LENGTH_HZ / step_hz)))
    best = np.eye(held_out.shape[1])[around.argmin(axis=1)]
    return running_mean(best, max(1, round(_NEAR_HZ / step_hz)))


def _responses(
    sums: CrossSums,
    frequency_hz: np.ndarray,
    band_hz: tuple[float, float],
    settings: SolutionSettings,
    prompt: np.ndarray,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Give a response to all features for each length, 0 where one was not taken, and their evidence."""
    first, evidence = _select(sums, frequency_hz, settings)
    used = np.flatnonzero(np.abs(first).max(axis=0) > 0)
    responses = [np.zeros_like(first) for _ in DECAYS_S]
    if len(used):
        noise = np.maximum(sums.residual(first), 1e-6 * sums.yy) / sums.segments
        inside = ((frequency_hz >= band_hz[0] - 1) & (frequency_hz <= band_hz[1] + 1)).astype(np.float64)
        step_hz = frequency_hz[1] - frequency_hz[0]
        near, some = _near(np.abs(first[:, used]) > 0, step_hz), sums.chosen(used)
        for response, longest_s in zip(responses, DECAYS_S):
            decay_s = np.where(prompt[used], min(DECAYS_S), longest_s)
            response[:, used] = near * short_response(some, noise, first[:, used], inside, step_hz, decay_s)
    return responses, evidence


def _near(taken: np.ndarray, step_hz: float) -> np.ndarray:
    """Give weights, (N, F), that are 1 within the fade of a frequency that was taken, and then fade out."""
    width = max(1, round(_FADE_HZ / step_hz))
    taper = np.hanning(2 * width + 3)[1:-1]
    wide = [np.convolve(column, np.ones(2 * width + 1), mode="same") > 0 for column in taken.T]
    return np.stack([np.convolve(one, taper / taper.sum(), mode="same") for one in wide], axis=1)


def _select(
    sums: CrossSums, frequency_hz: np.ndarray, settings: SolutionSettings
) -> tuple[np.ndarray, np.ndarray]:
    width = max(0, round(settings.smoothing_hz / (frequency_hz[1] - frequency_hz[0])))
    bins, features = sums.xy.shape
    xx, xy, yy = sums.xx.copy(), sums.xy.copy(), sums.yy.copy()
    power = np.einsum("nff->nf", sums.xx).real
    there = power > _LEAKAGE * power.max(axis=0, keepdims=True)
    taken = np.zeros((bins, features), dtype=bool)
    evidence = np.zeros(features)
    for _ in range(min(_MOST_PER_BIN, features)):
        left = np.einsum("nff->nf", xx).real
        new = there & (left > _COLLINEAR * power) & ~taken
        share = np.where(new, np.abs(xy) ** 2 / np.where(new, left * yy[:, None], 1.0), 0.0)
        gain = running_mean(np.where(new, log_likelihood_gain(share, sums.segments), 0.0), width)
        gain[~new] = 0.0
        best = gain.argmax(axis=1)
        at = np.flatnonzero(gain[np.arange(bins), best] > settings.evidence)
        if not len(at):
            break
        feature = best[at]
        taken[at, feature] = True
        np.add.at(evidence, feature, gain[at, feature])
        # Sweep what the new feature explains out of all others.
        column, row = xx[at, :, feature], xx[at, feature, :]
        pivot, explained = xx[at, feature, feature].real, xy[at, feature]
        yy[at] -= np.abs(explained) ** 2 / pivot
        xy[at] -= column * (explained / pivot)[:, None]
        xx[at] -= column[:, :, None] * row[:, None, :] / pivot[:, None, None]
    response = np.zeros((bins, features), dtype=complex)
    for number in range(bins):
        chosen = np.flatnonzero(taken[number])
        if len(chosen):
            matrix = sums.xx[number][np.ix_(chosen, chosen)]
            matrix = matrix + settings.ridge * np.diag(power[number, chosen])
            response[number, chosen] = np.linalg.solve(matrix, sums.xy[number, chosen])
    return response, evidence


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Give the running mean over 2 width + 1 frequencies, (N, F)."""
    if not width:
        return values
    padded = np.pad(values, ((width + 1, width), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0)
    return (sums[2 * width + 1 :] - sums[: -2 * width - 1]) / (2 * width + 1)
