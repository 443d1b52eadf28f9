"""A veto list from the noise that was subtracted: moments in which the witnesses foretold a glitch."""

# T samples, V vetoes

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from lightning_itwin.strain.q_transform import q_transform
from lightning_itwin.subtraction.outputs.veto_list import VetoList
from lightning_itwin.subtraction.report.evidence import Subtraction
from lightning_itwin.subtraction.report.whitened import Whitening, usable_hz

# A glitch of SNR 5 is what searches begin to see.
SEEN_SNR = 5.0
_LEAST_SNR = 3.0
_Q = 8.0
_TIME_STEP_S = 1 / 64
_AROUND_S = 0.125
_CHUNK_S, _OVERLAP_S = 64.0, 4.0


def foretold_glitches(
    whitened_noise: Callable[[int, int], np.ndarray],
    covered: np.ndarray,
    gps_s: Callable[[float], float],
    sample_rate_hz: float,
    band_hz: tuple[float, float],
) -> np.ndarray:
    """Find moments in which the predicted noise holds a glitch, and say how probably the strain shows it.

    A tile of energy E in the whitened prediction stands for a glitch of SNR ``rho = sqrt(2 E / (1 + m))``
    with the median m of its row: what is there all the time, such as a line, is no glitch. If the prediction
    is right, the strain shows an SNR above 5 with the probability ``Phi(rho - 5)``, because the background
    adds a normal deviate to it.

    Args:
        whitened_noise: gives the predicted noise over a range of samples, whitened as the strain is.
        covered: ranges of samples with a prediction, int64 (S, 2).
        gps_s: gives the GPS time of a sample.
        sample_rate_hz: sample rate.
        band_hz: lowest and highest frequency of the whitening.

    Returns:
        GPS start, GPS end and probability, float64 (V, 3).
    """
    highest_hz = band_hz[1] / (1 + math.sqrt(11.0) / _Q) * 0.98
    rows = [np.zeros((0, 3))]
    for begin, end in _chunks(covered, sample_rate_hz):
        noise = whitened_noise(begin, end)
        if not noise.any():
            continue
        scan = q_transform(
            noise,
            sample_rate_hz,
            q=_Q,
            frequency_range_hz=(band_hz[0] + 2.0, highest_hz),
            time_step_s=_TIME_STEP_S,
        )
        steady = np.median(scan.energy, axis=1, keepdims=True)
        snr = np.sqrt(2 * (scan.energy / (1 + steady)).max(axis=0))
        lost = (end - begin - len(noise)) / 2
        for at in _peaks(snr):
            middle_s = gps_s(begin + lost + scan.time_s[at] * sample_rate_hz)
            probability = 0.5 * math.erfc((SEEN_SNR - float(snr[at])) / math.sqrt(2.0))
            rows.append(np.array([[middle_s - _AROUND_S, middle_s + _AROUND_S, probability]]))
    found = np.concatenate(rows)
    # the same moment in two chunks
    order = np.argsort(found[:, 0], kind="stable")
    found = found[order]
    keep = np.r_[True, np.diff(found[:, 0]) > _TIME_STEP_S][: len(found)]
    return found[keep]


def foretold_vetoes(subtraction: Subtraction) -> VetoList:
    """Give the moments in which the noise that was subtracted foretells a glitch.

    Args:
        subtraction: the data and the noise.
    """
    data = subtraction.data
    by = Whitening(subtraction, usable_hz(data))

    def whitened(begin: int, end: int) -> np.ndarray:
        return by(subtraction.noise(begin, end), centred=True)

    rows = foretold_glitches(
        whitened,
        subtraction.covered,
        lambda sample: float(data.clock.gps_start_s + sample / data.sample_rate_hz),
        data.sample_rate_hz,
        by.band_hz,
    )
    return VetoList.of(rows)


def _chunks(covered: np.ndarray, sample_rate_hz: float) -> Iterator[tuple[int, int]]:
    size, overlap = round(_CHUNK_S * sample_rate_hz), round(_OVERLAP_S * sample_rate_hz)
    for begin, end in covered.tolist():
        if end - begin < 8 * sample_rate_hz:
            continue
        first = begin
        while first < end - overlap or first == begin:
            yield max(begin, min(first, end - size)), min(first + size, end)
            first += size - overlap


def _peaks(snr: np.ndarray) -> list[int]:
    """Give the places that are the loudest within a veto's length, and loud."""
    reach = round(_AROUND_S / _TIME_STEP_S)
    padded = np.pad(snr, reach, mode="constant")
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)
    return np.flatnonzero((snr >= _LEAST_SNR) & (snr == highest)).tolist()
