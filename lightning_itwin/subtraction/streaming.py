"""Subtraction of data as they come: causal but for a look-ahead below one second."""

# W witnesses, T samples

from __future__ import annotations

import numpy as np

from lightning_itwin.subtraction.noise_filter import NoiseFilter
from lightning_itwin.subtraction.safety import safe_noise


class StreamingSubtractor:
    """Subtracts predicted noise from a strain that comes block by block.

    What comes out is what the filter makes of the whole series: a sample leaves once the samples that its
    noise depends on are there. While the last seconds say that the instrument is another one, nothing is
    subtracted.

    Args:
        noise_filter: predicts the noise.
        band_hz: band of the prediction.
        guard_s: length of the last part of the data that is looked at; 0 subtracts whatever happens.
    """

    def __init__(
        self, noise_filter: NoiseFilter, band_hz: tuple[float, float], guard_s: float = 16.0
    ) -> None:
        self._filter, self._band_hz = noise_filter, band_hz
        self._rate_hz = noise_filter.library.sample_rate_hz
        self._guard = round(guard_s * self._rate_hz)
        self._witnesses, self._strain = np.zeros((0, 0)), np.zeros(0)
        self._begun = 0  # samples of the kept part that have left already
        self._past = np.zeros((2, 0))
        self._open = 1.0

    @property
    def look_ahead_s(self) -> float:
        """Time by which what comes out is behind what came in."""
        return self._filter.reach / self._rate_hz

    def push(self, witnesses: np.ndarray, strain: np.ndarray) -> np.ndarray:
        """Take a block of any length, and give the cleaned strain that it completes.

        Args:
            witnesses: (W, T).
            strain: (T,).

        Returns:
            The next samples of the cleaned strain: all that came in, but for the look-ahead.
        """
        if not len(self._strain) and not self._witnesses.size:
            self._witnesses = np.zeros((len(witnesses), 0))
        self._witnesses = np.concatenate([self._witnesses, witnesses], axis=1)
        self._strain = np.concatenate([self._strain, strain])
        return self._clean(len(self._strain) - self._filter.reach)

    def flush(self) -> np.ndarray:
        """Give what is left at the end of the data; of its last part, less is known."""
        return self._clean(len(self._strain))

    def _clean(self, end: int) -> np.ndarray:
        begin, reach = self._begun, self._filter.reach
        if end <= begin:
            return np.zeros(0)
        noise = self._filter(self._witnesses)[begin:end]
        strain = self._strain[begin:end]
        before, self._open = self._open, self._is_safe(noise, strain)
        gate = self._open + (before - self._open) * np.linspace(1, 0, len(noise))
        kept = max(0, end - reach)
        self._witnesses, self._strain = self._witnesses[:, kept:], self._strain[kept:]
        self._begun = end - kept
        return strain - gate * noise

    def _is_safe(self, noise: np.ndarray, strain: np.ndarray) -> float:
        if not self._guard:
            return 1.0
        past = np.concatenate([self._past, np.stack([noise, strain])], axis=1)
        self._past = past[:, -self._guard :]
        if self._past.shape[1] < self._guard // 2:
            return self._open
        _, share = safe_noise(self._past[0], self._past[1], self._rate_hz, self._band_hz)
        return float(share < 1.0)
