"""The background of the simulated detector, relative to which strengths and loudness are set."""

# T samples, F frequencies

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.strain.simulator.virgo_instrument import LOWEST_HZ, virgo_asd


@dataclass(frozen=True, kw_only=True)
class Background:
    """Noise that no witness knows of.

    Args:
        scale: its ASD relative to Advanced Virgo's design.
    """

    scale: float = 1.0

    def asd(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Give the amplitude spectral density in 1/sqrt(Hz).

        Args:
            frequency_hz: frequencies, (F,).
        """
        # a scale of 1 leaves every digit
        return virgo_asd(frequency_hz) if self.scale == 1 else self.scale * virgo_asd(frequency_hz)

    def asd_at(self, frequency_hz: float) -> float:
        """Give the amplitude spectral density in 1/sqrt(Hz) at one frequency."""
        return float(self.asd(np.array([frequency_hz]))[0])

    def optimal_snr(self, values: np.ndarray, sample_rate_hz: float) -> float:
        """Give the optimal signal-to-noise ratio of a short series against this noise, from 10 Hz on.

        ``sqrt(4 integral of |h(f)|^2 / S(f) df)``

        Args:
            values: strain, (T,), silent at both ends.
            sample_rate_hz: sample rate.
        """
        frequency_hz = np.fft.rfftfreq(len(values), 1 / sample_rate_hz)
        spectrum = np.fft.rfft(values) / sample_rate_hz
        band = frequency_hz >= LOWEST_HZ
        power = np.abs(spectrum[band]) ** 2 / self.asd(frequency_hz[band]) ** 2
        return float(np.sqrt(4 * power.sum() * sample_rate_hz / len(values)))
