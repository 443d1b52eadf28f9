"""Predicts the noise in the strain from the witnesses: a bank of finite impulse responses on features."""

# W witnesses, T samples, F features, K taps, N frequencies

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.subtraction.features import Feature, FeatureLibrary

_HIGH_PASS_S = 0.5
_REACH_S = 0.54  # with the 0.45 s of a feature: less than 1 s
_EDGE_SHARE = 0.1  # of a response on each side that fades out


def taps_of(
    response: np.ndarray, sample_rate_hz: float, band_hz: tuple[float, float], taper_hz: float = 2.0
) -> np.ndarray:
    """Give the impulse responses of frequency responses, zero lag in the middle.

    The response fades out at the edges of the band and at the ends in time; what is below the band is kept
    out by a high pass, since witnesses are loud there.

    Args:
        response: (N, F) complex, at even steps from 0 to half the sample rate.
        sample_rate_hz: sample rate.
        band_hz: lower and upper edge of the band.
        taper_hz: width of the fade within the band's edges.

    Returns:
        (F, K), K odd.
    """
    signal = require("scipy.signal", extra="virgo")
    length = 2 * (len(response) - 1)
    frequency_hz = np.fft.rfftfreq(length, 1 / sample_rate_hz)
    low_hz, high_hz = band_hz
    inside = np.clip((frequency_hz - low_hz) / taper_hz, 0, 1) * np.clip(
        (high_hz - frequency_hz) / taper_hz, 0, 1
    )
    impulse = np.fft.fftshift(np.fft.irfft(response * inside[:, None], axis=0), axes=0)[1:].T  # odd
    half = round(_HIGH_PASS_S / 2 * sample_rate_hz)
    edge_hz = max(low_hz - 2 * taper_hz, 2.0)
    high_pass = signal.firwin(2 * half + 1, edge_hz, fs=sample_rate_hz, pass_zero=False)
    longer = signal.oaconvolve(impulse, high_pass[None], mode="full", axes=1)
    middle = longer.shape[1] // 2
    reach = min(middle, round(_REACH_S * sample_rate_hz))
    cut = longer[:, middle - reach : middle + reach + 1]
    return cut * signal.windows.tukey(cut.shape[1], 2 * _EDGE_SHARE)


@dataclass(frozen=True, kw_only=True)
class NoiseFilter:
    """Features and an impulse response for each.

    Args:
        library: makes the features.
        features: those that are used, (F,).
        taps: impulse responses to the strain in its own units, zero lag in the middle, (F, K) float64.
    """

    library: FeatureLibrary
    features: Sequence[Feature]
    taps: np.ndarray

    @property
    def reach(self) -> int:
        """Samples on each side that a predicted sample depends on, at most."""
        return self.library.reach + self.taps.shape[1] // 2

    def __call__(self, witnesses: np.ndarray) -> np.ndarray:
        """Predict the noise; samples within :attr:`reach` of an end know less than others.

        Args:
            witnesses: (W, T).

        Returns:
            (T,) float64, in units of the strain.
        """
        noise = np.zeros(witnesses.shape[1])
        if len(self.features):
            signal = require("scipy.signal", extra="virgo")
            made = self.library.compute(np.asarray(witnesses, dtype=np.float64), self.features)
            half = self.taps.shape[1] // 2
            # A series that ends in zeros would end in a step, which a band of the witness does not know.
            padded = np.pad(made, ((0, 0), (half, half)), mode="edge")
            for values, taps in zip(padded, self.taps):
                noise += signal.oaconvolve(values, taps, mode="valid")
        return noise
