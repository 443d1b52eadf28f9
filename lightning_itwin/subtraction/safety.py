"""What of predicted noise is safe to subtract: the strain tells whether the instrument is as it was."""

# T samples, S segments, N frequencies

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.subtraction.cross_sums import INDEPENDENT, spectra

SEGMENT_S = 1.0
_WIDTH_HZ = 4.0  # over which power is summed before it is judged
_DOUBT = 2.0  # standard errors from which a band is worse
_PROOF = 3.0  # standard errors from which a band is better
_DOUBTED_SHARE = 0.02  # of bands that are worse, from which bands have to be proven
_CHANGED_SHARE = 0.25  # of bands that are worse, from which nothing is believed
_SMALL = 1e-4  # relative change of power that is none
_FINE_SEGMENT_S = 4.0
_LOUDER = 0.01  # relative rise of power from which a band of 1 Hz is louder


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a subtraction does to the power of the strain, by frequency, (N,) each.

    Args:
        active: whether the subtraction does anything there.
        mean: mean over segments of ``(a - b) / (a + b)``.
        error: its standard error.
        louder: whether the strain becomes louder, by that mean or by the mean power.
    """

    active: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    louder: np.ndarray

    @classmethod
    def of(
        cls, before: np.ndarray, after: np.ndarray, frequency_hz: np.ndarray, band_hz: tuple[float, float]
    ) -> Comparison:
        """Compare the power of segments.

        Args:
            before: without the subtraction, (S, N).
            after: with it, (S, N).
            frequency_hz: (N,).
            band_hz: band of the prediction.
        """
        ndimage = require("scipy.ndimage", extra="virgo")
        quiet = np.median(before, axis=0)
        white = 1 / np.maximum(quiet, 1e-12 * max(float(quiet.max()), 1e-300))
        width = _width(frequency_hz)
        before, after = (
            ndimage.uniform_filter1d(one * white, width, axis=1, mode="constant") for one in (before, after)
        )
        change = (after - before) / np.maximum(after + before, 1e-300)
        mean = change.mean(axis=0)
        error = change.std(axis=0) / np.sqrt(max(1.0, INDEPENDENT * len(change)))
        inside = (frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[1])
        active = inside & (np.abs(mean) > _SMALL)
        louder = active & ((mean > 0) | (after.mean(axis=0) > before.mean(axis=0)))
        return cls(active=active, mean=mean, error=error, louder=louder)

    @property
    def worse_share(self) -> float:
        """Share of the active frequencies that are worse by more than doubt."""
        worse = self.active & (self.mean > _DOUBT * self.error)
        return float(worse.sum() / max(1, int(self.active.sum())))

    @property
    def is_changed(self) -> bool:
        """Whether so many are worse that the instrument is another one."""
        return self.worse_share > _CHANGED_SHARE


def safe_noise(
    noise: np.ndarray, strain: np.ndarray, sample_rate_hz: float, band_hz: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Take out of predicted noise the frequencies at which subtracting it makes the strain louder.

    An instrument changes, and a subtraction that was right then adds noise now. The power before, ``b``, and
    after, ``a``, is compared by the mean over segments of ``(a - b) / (a + b)``, which a loud second cannot
    rule. While few bands are worse, all stay that do not become louder. Where more than 2 % are worse by two
    standard errors, only those stay that are quieter by three; where more than 25 % are, the instrument is
    another one, and nothing is subtracted.

    Of what is left, each band of 1 Hz is looked at alone. Noise of a few percent of the power is louder or
    quieter than nothing by chance: even the true noise, taken out, would leave some band louder. A band whose
    mean power rises by more than 1 % is left as it is.

    Args:
        noise: predicted, (T,).
        strain: with which it is compared, (T,).
        sample_rate_hz: sample rate.
        band_hz: band of the prediction.

    Returns:
        The noise that is safe to subtract, (T,), and the share of the band that was taken out.
    """
    frequency_hz, before, after = _powers(noise, strain, sample_rate_hz, SEGMENT_S)
    found = Comparison.of(before, after, frequency_hz, band_hz)
    if found.is_changed:
        return np.zeros_like(noise), 1.0
    doubted = found.worse_share > _DOUBTED_SHARE
    unproven = found.active & (found.mean > -_PROOF * found.error)
    harmful = found.louder | unproven if doubted else found.louder
    # What is taken out reaches over to the next frequencies, so that a line does not leak through the edge.
    near = np.convolve(harmful, np.ones(_width(frequency_hz)), mode="same") > 0 if doubted else harmful
    safe = _without(noise, near, frequency_hz, sample_rate_hz)
    fine_hz, before, after = _powers(safe, strain, sample_rate_hz, _FINE_SEGMENT_S)
    louder = _louder_bands(before.mean(axis=0), after.mean(axis=0), fine_hz)
    safe = _without(safe, louder, fine_hz, sample_rate_hz)
    inside = (fine_hz >= band_hz[0]) & (fine_hz <= band_hz[1])
    out = louder | (np.interp(fine_hz, frequency_hz, harmful) > 0.5)
    return safe, float((out & inside).sum() / max(1, int(inside.sum())))


def _powers(
    noise: np.ndarray, strain: np.ndarray, sample_rate_hz: float, segment_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give frequencies, (N,), and the power of segments before and after a subtraction, (S, N)."""
    segment = min(len(strain), 2 * round(segment_s * sample_rate_hz / 2))
    before, after = np.abs(spectra(np.stack([strain, strain - noise]), segment)) ** 2
    return np.fft.rfftfreq(segment, 1 / sample_rate_hz), before, after


def _louder_bands(before: np.ndarray, after: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    """Tell which frequencies lie in a band of 1 Hz that becomes louder, of mean powers, all (N,)."""
    width = max(1, round(1 / frequency_hz[1]))
    ones = np.ones(width)
    before, after = (np.convolve(power, ones, mode="valid") for power in (before, after))
    return np.convolve(after > (1 + _LOUDER) * before, ones, mode="full") > 0


def _without(
    noise: np.ndarray, harmful: np.ndarray, frequency_hz: np.ndarray, sample_rate_hz: float
) -> np.ndarray:
    """Take frequencies, (N,) bool, out of noise, (T,), with soft edges."""
    if not harmful.any():
        return noise
    taper = np.hanning(7)[1:-1]
    kept = np.where(harmful, 0.0, np.convolve(~harmful, taper / taper.sum(), mode="same"))
    weight = np.interp(np.fft.rfftfreq(len(noise), 1 / sample_rate_hz), frequency_hz, kept)
    return np.fft.irfft(np.fft.rfft(noise) * weight, len(noise))


def _width(frequency_hz: np.ndarray) -> int:
    return 2 * round(_WIDTH_HZ / frequency_hz[1] / 2) + 1
