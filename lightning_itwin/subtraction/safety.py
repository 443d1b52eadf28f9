"""What of predicted noise is safe to subtract: the strain tells whether the instrument is as it was."""

# T samples, S segments, N frequencies

from __future__ import annotations

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.subtraction.cross_sums import INDEPENDENT, spectra

_SEGMENT_S = 1.0
_WIDTH_HZ = 4.0  # over which power is summed before it is judged
_DOUBT = 2.0  # standard errors from which a band is worse
_PROOF = 3.0  # standard errors from which a band is better
_DOUBTED_SHARE = 0.02  # of bands that are worse, from which bands have to be proven
_CHANGED_SHARE = 0.25  # of bands that are worse, from which nothing is believed
_SMALL = 1e-4  # relative change of power that is none


def safe_noise(
    noise: np.ndarray, strain: np.ndarray, sample_rate_hz: float, band_hz: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Take out of predicted noise the frequencies at which subtracting it makes the strain louder.

    An instrument changes, and a subtraction that was right then adds noise now. The power before, ``b``, and
    after, ``a``, is compared by the mean over segments of ``(a - b) / (a + b)``, which a loud second cannot
    rule. While few bands are worse, all stay that do not become louder. Where more than 2 % are worse by two
    standard errors, only those stay that are quieter by three; where more than 25 % are, the instrument is
    another one, and nothing is subtracted.

    Args:
        noise: predicted, (T,).
        strain: with which it is compared, (T,).
        sample_rate_hz: sample rate.
        band_hz: band of the prediction.

    Returns:
        The noise that is safe to subtract, (T,), and the share of the band that was taken out.
    """
    signal = require("scipy.signal", extra="virgo")
    segment = min(len(strain), 2 * round(_SEGMENT_S * sample_rate_hz / 2))
    frequency_hz = np.fft.rfftfreq(segment, 1 / sample_rate_hz)
    before, after = np.abs(spectra(np.stack([strain, strain - noise]), segment)) ** 2
    quiet = np.median(before, axis=0)
    white = 1 / np.maximum(quiet, 1e-12 * max(float(quiet.max()), 1e-300))
    width = 2 * round(_WIDTH_HZ / frequency_hz[1] / 2) + 1
    kernel = np.ones((1, width)) / width
    before, after = (signal.oaconvolve(one * white, kernel, mode="same", axes=1) for one in (before, after))
    change = (after - before) / np.maximum(after + before, 1e-300)
    mean = change.mean(axis=0)
    error = change.std(axis=0) / np.sqrt(max(1.0, INDEPENDENT * len(change)))
    inside = (frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[1])
    active = inside & (np.abs(mean) > _SMALL)
    worse = active & (mean > _DOUBT * error)
    share = worse.sum() / max(1, int(active.sum()))
    if share > _CHANGED_SHARE:
        return np.zeros_like(noise), 1.0
    doubted = share > _DOUBTED_SHARE
    louder = (mean > 0) | (after.mean(axis=0) > before.mean(axis=0))
    harmful = active & (louder | (mean > -_PROOF * error)) if doubted else active & louder
    if not harmful.any():
        return noise, 0.0
    # What is taken out reaches over to the next frequencies, so that a line does not leak through the edge.
    near = np.convolve(harmful, np.ones(width), mode="same") > 0 if doubted else harmful
    taper = np.hanning(7)[1:-1]
    kept = np.where(near, 0.0, np.convolve(~near, taper / taper.sum(), mode="same"))
    weight = np.interp(np.fft.rfftfreq(len(noise), 1 / sample_rate_hz), frequency_hz, kept)
    safe = np.fft.irfft(np.fft.rfft(noise) * weight, len(noise))
    return safe, float((harmful & inside).sum() / max(1, int(inside.sum())))
