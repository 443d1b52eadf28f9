"""Random series of known spectra, a stream of random numbers a name."""

# F frequencies, T samples

from __future__ import annotations

import zlib

import numpy as np

from lightning_itwin.optional import require

_MARGIN_S = 16.0  # made and thrown away, because noise made by an inverse FFT joins its end to its start


class RandomSeries:
    """Makes Gaussian noise of given amplitude spectral densities.

    Each name has a stream of random numbers of its own, so that a new part leaves the others as they are.

    Args:
        samples: samples T of a series.
        sample_rate_hz: sample rate.
        seed: of all streams.
    """

    def __init__(self, samples: int, sample_rate_hz: float, seed: int) -> None:
        self._fft = require("scipy.fft", extra="virgo")
        self._samples, self._rate_hz, self._seed = samples, sample_rate_hz, seed
        self._made = self._fft.next_fast_len(samples + round(_MARGIN_S * sample_rate_hz), real=True)
        self.frequency_hz = self._fft.rfftfreq(self._made, 1 / sample_rate_hz)

    def stream(self, name: str) -> np.random.Generator:
        """Give the random numbers of a name, from their beginning."""
        return np.random.default_rng([self._seed, zlib.crc32(name.encode())])

    def spectrum(self, name: str, asd: np.ndarray | float) -> np.ndarray:
        """Give the spectrum, (F,) complex, of noise with a one-sided ASD, (F,) or one number for white."""
        white = self.stream(name).standard_normal(self._made) * np.sqrt(self._rate_hz / 2)
        return self._fft.rfft(white) * asd

    def series(self, spectrum_F: np.ndarray) -> np.ndarray:
        """Give the series, (T,), of a spectrum."""
        return self._fft.irfft(spectrum_F, self._made)[: self._samples]

    def noise(self, name: str, asd: np.ndarray | float) -> np.ndarray:
        """Give noise, (T,), with a one-sided ASD, (F,) or one number for white noise."""
        return self.series(self.spectrum(name, asd))

    def filtered(self, values: np.ndarray, response_F: np.ndarray) -> np.ndarray:
        """Give values, (T,), behind a response, (F,)."""
        padded = np.zeros(self._made)
        padded[: self._samples] = values
        return self.series(self._fft.rfft(padded) * response_F)


def unit_power(values: np.ndarray) -> np.ndarray:
    """Scale values to a root mean square of 1."""
    return values / np.sqrt(np.mean(values**2))
