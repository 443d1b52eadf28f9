"""Wavelengths of fringes, found in the data: how far a scatterer moves for one turn of the phase."""

# T samples, S segments, N frequencies

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.whitening import LOWEST_BAND_HZ, whitening_filter
from lightning_itwin.subtraction.cross_sums import log_likelihood_gain, spectra

_RATE_HZ = 256.0  # fringes are looked for below half of it
_SEARCH_S = 64.0
_WHITENING_S = 0.5
_FASTEST_HZ = 100.0  # frequency of fringes at the root mean square of the speed
_STEP_RAD = 0.7  # root mean square of the phase between neighbours of the search
_CERTAIN = 6.0  # standard deviations above what chance gives
_BETTER = 1.0  # standard deviations that a supposed wavelength must gain to be moved
_ROUNDS = 24


def find_wavelengths(
    strain: np.ndarray,
    position: np.ndarray,
    speed: float,
    sample_rate_hz: float,
    band_hz: tuple[float, float],
    nominal: Sequence[float] = (),
) -> list[float]:
    """Give the wavelengths of fringes that are there, and those that are supposed.

    All wavelengths are looked at whose fringes lie in the band; that of the highest gain is taken if chance
    does not explain it. Then each is moved to where its gain is highest, see :class:`FringeGain`.

    Args:
        strain: (T,).
        position: slow channel, low-passed, in its own units, (T,).
        speed: root mean square of its change a second.
        sample_rate_hz: sample rate of both.
        band_hz: lower and upper edge of the band.
        nominal: wavelengths that are supposed; one that the data do not contradict stays as it is.
    """
    few = slice(0, round(_SEARCH_S * sample_rate_hz))
    rough = FringeGain(strain[few], position[few], sample_rate_hz, band_hz)
    gain = FringeGain(strain, position, sample_rate_hz, band_hz)
    step = _STEP_RAD / max(float(position.std()), 1e-300)
    wavenumbers = np.arange(np.pi * LOWEST_BAND_HZ, 2 * np.pi * _FASTEST_HZ, step * speed) / speed
    gains = [rough(4 * np.pi / one) for one in wavenumbers]
    kept: list[float] = []
    for one in nominal:
        # Fringes pass at twice the speed over the wavelength; two sigma shall reach the band.
        if 2 * 2 * speed / one > LOWEST_BAND_HZ:
            moved = _highest(gain, one, step)
            kept.append(moved if gain(moved) > max(_CERTAIN, gain(one) + _BETTER) else one)
    if max(gains, default=0.0) > _CERTAIN:
        moved = _highest(gain, 4 * np.pi / wavenumbers[int(np.argmax(gains))], step)
        if all(abs(4 * np.pi / moved - 4 * np.pi / other) > step for other in kept):
            kept.append(moved)
    return kept


class FringeGain:
    """Tells how much of a whitened strain fringes of a wavelength explain.

    ``sum_f -N log(1 - r(f))``, the log likelihood that the sine and the cosine of ``4 pi x / lambda`` gain
    together: r is the share of the power of N independent segments that they explain. It is given in standard
    deviations above what chance gives. All segments count alike, however loud.

    Args:
        strain: (T,).
        position: slow channel, low-passed, in its own units, (T,).
        sample_rate_hz: sample rate of both.
        band_hz: lower and upper edge of the band.
    """

    def __init__(
        self, strain: np.ndarray, position: np.ndarray, sample_rate_hz: float, band_hz: tuple[float, float]
    ) -> None:
        signal = require("scipy.signal", extra="virgo")
        step = max(1, int(sample_rate_hz // _RATE_HZ))
        rate_hz = sample_rate_hz / step
        low_pass = signal.firwin(16 * step + 1, 0.9 / step) if step > 1 else np.ones(1)
        fewer = signal.oaconvolve(strain - strain.mean(), low_pass, mode="same")[::step]
        self._position = position[::step]
        inside_hz = (band_hz[0], min(band_hz[1], 0.4 * rate_hz))
        self._white = whitening_filter(fewer, rate_hz, inside_hz, _WHITENING_S)
        self._segment = 2 * round(rate_hz / 2)
        frequency_hz = np.fft.rfftfreq(self._segment, 1 / rate_hz)
        self._inside = (frequency_hz >= inside_hz[0]) & (frequency_hz <= inside_hz[1])
        y = self._spectra(fewer)
        self._weight = 1 / np.sqrt(np.maximum((np.abs(y) ** 2).mean(axis=1, keepdims=True), 1e-300))
        self._y = y * self._weight
        self._power = (np.abs(self._y) ** 2).sum(axis=0)

    def __call__(self, wavelength: float) -> float:
        """Give the gain of a wavelength, in units of the slow channel."""
        phase = 4 * np.pi / wavelength * self._position
        sine, cosine = (self._spectra(one) * self._weight for one in (np.sin(phase), np.cos(phase)))
        one, other = (np.maximum((np.abs(x) ** 2).sum(axis=0), 1e-300) for x in (sine, cosine))
        sine_y, cosine_y = ((x.conj() * self._y).sum(axis=0) for x in (sine, cosine))
        both = (sine.conj() * cosine).sum(axis=0)
        # What the sine explains, and what is left of the cosine without it explains of the rest
        rest = np.maximum(other - np.abs(both) ** 2 / one, 1e-9 * other)
        explained = np.abs(sine_y) ** 2 / one + np.abs(cosine_y - both.conj() * sine_y / one) ** 2 / rest
        gains = log_likelihood_gain(explained / self._power, len(self._y))
        by_chance = 2 * len(gains)  # two at each frequency, each 1 on average with a variance of 1
        return float((gains.sum() - by_chance) / np.sqrt(by_chance))

    def _spectra(self, values: np.ndarray) -> np.ndarray:
        """Give whitened spectra of segments inside the band, (S, N)."""
        return spectra(self._white(values)[None], self._segment)[0][:, self._inside]


def _highest(gain: Callable[[float], float], wavelength: float, step: float) -> float:
    """Climb to the highest gain within a step of the wavenumber, by golden sections."""
    centre, share = 4 * np.pi / wavelength, (np.sqrt(5) - 1) / 2
    low, high = centre - step, centre + step
    for _ in range(_ROUNDS):
        one, other = high - share * (high - low), low + share * (high - low)
        if gain(4 * np.pi / one) > gain(4 * np.pi / other):
            high = other
        else:
            low = one
    return float(8 * np.pi / (low + high))
