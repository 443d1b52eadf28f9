"""Matched filter: the signal-to-noise ratio of a known signal in coloured noise, and what is taken of it."""

# T samples of the strain, N samples of the template, K samples of the filter, F frequencies

from __future__ import annotations

import numpy as np

from lightning_itwin.optional import require


class MatchedFilter:
    """Filters a strain with a template.

    The inner product of two series is ``(a|b) = 4 Re integral of a(f)* b(f) / S(f) df`` over the band, with
    the one-sided noise spectrum S. A strain s has the signal-to-noise ratio ``(s|h) / sqrt((h|h))`` for a
    template h; noise alone gives a number of mean 0 and variance 1, and the signal h itself its optimal
    signal-to-noise ratio ``sqrt((h|h))``.

    Args:
        template: the signal, (N,); its size does not matter to the filter.
        sample_rate_hz: of template and strain.
        psd: one-sided power spectral density of the noise in 1/Hz, (F,).
        frequency_hz: its frequencies, rising, (F,).
        band_hz: lowest and highest frequency that is used.

    Raises:
        ValueError: the spectrum does not cover the band, is not positive in it, or the template holds
            nothing there.

    Reference:
        Allen et al. 2012, FINDCHIRP, arXiv:gr-qc/0509116, sections II and IV.

    >>> white = np.full(513, 2 / 1024)
    >>> at_1024_hz = MatchedFilter(np.hanning(64) * np.cos(np.arange(64)), 1024.0, white, np.arange(513.0))
    >>> print(f"{at_1024_hz.optimal_snr:.2f}")
    3.44
    """

    def __init__(
        self,
        template: np.ndarray,
        sample_rate_hz: float,
        psd: np.ndarray,
        frequency_hz: np.ndarray,
        band_hz: tuple[float, float] | None = None,
    ) -> None:
        self._fft, self._signal = (require(name, extra="virgo") for name in ("scipy.fft", "scipy.signal"))
        template = np.asarray(template, dtype=np.float64)
        psd, frequency_hz = np.asarray(psd, dtype=np.float64), np.asarray(frequency_hz, dtype=np.float64)
        if template.ndim != 1 or psd.shape != frequency_hz.shape or psd.ndim != 1:
            raise ValueError(
                f"template must be (N,), psd and frequency_hz (F,), not {template.shape}, {psd.shape} and "
                f"{frequency_hz.shape}."
            )
        low_hz, high_hz = band_hz or (10.0, 0.98 * sample_rate_hz / 2)
        inside = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
        if not frequency_hz[0] <= low_hz < high_hz <= frequency_hz[-1] or inside.sum() < 2:
            raise ValueError(
                f"The spectrum, from {frequency_hz[0]:g} to {frequency_hz[-1]:g} Hz, does not cover the band "
                f"from {low_hz:g} to {high_hz:g} Hz."
            )
        if not (psd[inside] > 0).all():
            raise ValueError(
                f"The spectrum must be positive from {low_hz:g} to {high_hz:g} Hz; a filter may have emptied "
                "a part of it."
            )
        self.sample_rate_hz, self.band_hz = sample_rate_hz, (low_hz, high_hz)
        # As far as 1/S rings: the inverse of the spectrum's resolution, on each side.
        self._reach = round(sample_rate_hz / np.diff(frequency_hz[inside]).min())
        samples = len(template) + 2 * self._reach
        made = self._fft.next_fast_len(samples, real=True)
        grid_hz = self._fft.rfftfreq(made, 1 / sample_rate_hz)
        weight = np.zeros(len(grid_hz))
        band = (grid_hz >= low_hz) & (grid_hz <= high_hz)
        weight[band] = 1 / np.exp(np.interp(grid_hz[band], frequency_hz[inside], np.log(psd[inside])))
        padded = np.zeros(made)
        padded[self._reach : self._reach + len(template)] = template
        weighted = self._fft.rfft(padded) * weight * (2 / sample_rate_hz)
        taps = self._fft.irfft(weighted, made)[:samples]
        squared = float(taps[self._reach : self._reach + len(template)] @ template)
        if not squared > 0:
            raise ValueError(f"The template holds nothing from {low_hz:g} to {high_hz:g} Hz.")
        self.optimal_snr = float(np.sqrt(squared))
        self._taps = taps / self.optimal_snr
        # a quarter of a turn on: the same signal at another phase
        self._turned = self._fft.irfft(weighted * -1j, made)[:samples] / self.optimal_snr

    def series(self, strain: np.ndarray) -> np.ndarray:
        """Give the complex signal-to-noise ratio at all times.

        Args:
            strain: (T,), T at least the template's N; zero before and after. For exact values at the ends
                give more strain on both sides, as much as the inverse of the spectrum's resolution.

        Returns:
            (T - N + 1,): where the template begins at each sample; the real part for the template as it is,
            the imaginary one for it a quarter of a turn on, the modulus for any phase.

        Raises:
            ValueError: the strain is shorter than the template.
        """
        strain = np.asarray(strain, dtype=np.float64)
        template = len(self._taps) - 2 * self._reach
        if strain.ndim != 1 or len(strain) < template:
            raise ValueError(
                f"strain must be (T,) and at least as long as the template's {template} samples, not "
                f"{strain.shape}."
            )
        padded = np.pad(strain, self._reach)
        real, imaginary = (
            self._signal.oaconvolve(padded, taps[::-1], mode="valid") for taps in (self._taps, self._turned)
        )
        return real + 1j * imaginary

    def snr(self, strain: np.ndarray, start: int) -> float:
        """Give the signal-to-noise ratio of a signal whose time and phase are known.

        Args:
            strain: (T,).
            start: sample at which the template begins; it may begin before the strain or end after it.
        """
        strain = np.asarray(strain, dtype=np.float64)
        first = start - self._reach
        begin, end = max(0, first), min(len(strain), first + len(self._taps))
        return (
            float(strain[begin:end] @ self._taps[begin - first : max(0, end - first)]) if end > begin else 0.0
        )

    def loudest(self, strain: np.ndarray) -> tuple[int, float]:
        """Give the sample at which the template fits best, at any phase, and the ratio there.

        Args:
            strain: see :meth:`series`.
        """
        modulus = np.abs(self.series(strain))
        start = int(modulus.argmax())
        return start, float(modulus[start])

    def fraction(self, series: np.ndarray, start: int) -> float:
        """Give how much of the template a series holds, ``(series|h) / (h|h)``.

        Args:
            series: (T,).
            start: sample at which the template begins.
        """
        return self.snr(series, start) / self.optimal_snr


def subtracted_fraction(
    with_signal: np.ndarray, without_signal: np.ndarray, matched: MatchedFilter, start: int
) -> float:
    """Give the fraction of a signal that a subtraction takes away: 0 where all witnesses are safe.

    It subtracts twice from the same noise, once with the signal injected and once without it; what differs
    between the two is what it has taken from the signal. There is no noise in this number.

    Args:
        with_signal: what was subtracted from the strain that holds the signal, (T,).
        without_signal: what was subtracted from the same strain without it, (T,).
        matched: filter of the signal as it was injected.
        start: sample at which the signal begins.

    Raises:
        ValueError: the two are not of one shape.
    """
    if np.shape(with_signal) != np.shape(without_signal):
        raise ValueError(
            f"Both must cover the same samples, not {np.shape(with_signal)} and {np.shape(without_signal)}."
        )
    return matched.fraction(np.asarray(with_signal) - np.asarray(without_signal), start)
