"""Spectra of series: power, its median over segments, and what two series have in common."""

# T samples, F frequencies

from __future__ import annotations

import numpy as np

from lightning_itwin.optional import require


def power_spectrum(
    values: np.ndarray, sample_rate_hz: float, segment_s: float, average: str = "median"
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate a one-sided power spectral density by Welch's method.

    Args:
        values: samples, (..., T).
        sample_rate_hz: sample rate.
        segment_s: length of a Hann-windowed segment; they overlap by half.
        average: over segments: ``"median"`` keeps loud seconds out, and its bias is corrected; ``"mean"``
            keeps all power.

    Returns:
        Frequencies in Hz, (F,), and PSD in units of ``values`` squared per Hz, (..., F).

    Reference:
        Welch 1967, IEEE Trans. Audio Electroacoust. 15, 70; the median and its bias: Allen et al. 2012,
        FINDCHIRP, arXiv:gr-qc/0509116, section VI and appendix B.
    """
    signal = require("scipy.signal", extra="virgo")
    values = np.asarray(values, dtype=np.float64)
    segment = min(values.shape[-1], round(segment_s * sample_rate_hz))
    return signal.welch(values, sample_rate_hz, nperseg=segment, average=average)


def median_asd(values: np.ndarray, sample_rate_hz: float, segment_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Estimate an amplitude spectral density: the root of the median power spectrum.

    Args:
        values: samples, (..., T).
        sample_rate_hz: sample rate.
        segment_s: length of a Hann-windowed segment; they overlap by half.

    Returns:
        Frequencies in Hz, (F,), and ASD in units of ``values`` per sqrt(Hz), (..., F).
    """
    frequency_hz, psd = power_spectrum(values, sample_rate_hz, segment_s)
    return frequency_hz, np.sqrt(psd)


class CoherenceSums:
    """Sums over segments from which the coherence of some series with some others follows.

    ``C(f) = |sum X Y*|^2 / (sum |X|^2 sum |Y|^2)``. Of N independent segments, series that have nothing in
    common have a coherence of about 1 / N.

    Args:
        sample_rate_hz: sample rate.
        segment_s: length of a Hann-windowed segment; they overlap by half.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(8192)
    >>> sums = CoherenceSums(256.0, 1.0)
    >>> sums.add(x[None], np.stack([2 * x, rng.standard_normal(8192)]))
    >>> sums.coherence().mean(axis=-1).round(2).tolist()
    [[1.0, 0.01]]
    """

    def __init__(self, sample_rate_hz: float, segment_s: float) -> None:
        self._segment = round(segment_s * sample_rate_hz)
        self.frequency_hz = np.fft.rfftfreq(self._segment, 1 / sample_rate_hz)
        self.segments = 0
        self._cross: np.ndarray | float = 0.0
        self._one: np.ndarray | float = 0.0
        self._other: np.ndarray | float = 0.0

    def add(self, one: np.ndarray, other: np.ndarray) -> None:
        """Add a stretch without gaps; a rest shorter than half a segment is left out.

        Args:
            one: (A, T).
            other: (B, T), over the same time.
        """
        hop = max(1, self._segment // 2)
        taper = np.hanning(self._segment + 1)[:-1]
        for begin in range(0, one.shape[-1] - self._segment + 1, hop):
            inside = slice(begin, begin + self._segment)
            x, y = (
                np.fft.rfft((rows - rows.mean(axis=-1, keepdims=True)) * taper)
                for rows in (np.asarray(one[:, inside], np.float64), np.asarray(other[:, inside], np.float64))
            )
            self._cross = self._cross + x[:, None] * y[None].conj()
            self._one = self._one + np.abs(x) ** 2
            self._other = self._other + np.abs(y) ** 2
            self.segments += 1

    def coherence(self) -> np.ndarray:
        """Give the coherence of each with each, 0 to 1, (A, B, F); 0 where a series holds nothing.

        Raises:
            ValueError: nothing was added.
        """
        if not self.segments:
            raise ValueError("CoherenceSums has seen no segment yet.")
        power = np.asarray(self._one)[:, None] * np.asarray(self._other)[None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(np.abs(self._cross) ** 2 / power, nan=0.0)
