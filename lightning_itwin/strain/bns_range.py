"""How far a detector sees a binary neutron star, from the spectrum of its noise."""

# F frequencies

from __future__ import annotations

import math

import numpy as np

from lightning_itwin.waveforms.constants import MEGAPARSEC_M, SOLAR_MASS_M, SPEED_OF_LIGHT_M_PER_S

_SKY_FACTOR = 1.77  # the mean over sky and orientation, Finn and Chernoff 1993, arXiv:gr-qc/9301003


def bns_range_mpc(
    psd: np.ndarray,
    frequency_hz: np.ndarray,
    mass_1_msun: float = 1.4,
    mass_2_msun: float = 1.4,
    minimum_frequency_hz: float = 10.0,
    snr: float = 8.0,
) -> np.ndarray:
    """Give the distance, averaged over sky and orientation, at which an inspiral has a signal-to-noise ratio.

    ``r^2 = 1.77^2 5 c^(1/3) (G M_c / c^2)^(5/3) / (96 pi^(4/3) snr^2) * integral of f^(-7/3) / S(f) df``,
    from ``minimum_frequency_hz`` to the innermost stable circular orbit, by the trapezoidal rule. Space is
    flat and the masses are the detector's.

    Args:
        psd: one-sided power spectral density of the strain, in 1/Hz, (..., F).
        frequency_hz: its frequencies, rising, (F,).
        mass_1_msun, mass_2_msun: masses in solar masses.
        minimum_frequency_hz: where the integral begins.
        snr: signal-to-noise ratio, 8 by convention.

    Returns:
        Range in Mpc, (...); of a single spectrum a scalar array.

    Raises:
        ValueError: the spectrum does not cover the band, or is not positive in it.

    Reference:
        LIGO-T030276, the range of SenseMon; gwpy's ``sensemon_range`` is the same integral.

    >>> frequency_hz = np.arange(1.0, 4096.0)
    >>> print(f"{bns_range_mpc(np.full(4095, 1e-46), frequency_hz):.0f} Mpc")
    190 Mpc
    """
    psd, frequency_hz = np.asarray(psd, dtype=np.float64), np.asarray(frequency_hz, dtype=np.float64)
    if frequency_hz.ndim != 1 or psd.shape[-1:] != frequency_hz.shape:
        raise ValueError(
            f"psd must be (..., F) and frequency_hz (F,), not {psd.shape} and {frequency_hz.shape}."
        )
    total_m = (mass_1_msun + mass_2_msun) * SOLAR_MASS_M
    isco_hz = SPEED_OF_LIGHT_M_PER_S / (6**1.5 * math.pi * total_m)
    band = (frequency_hz >= minimum_frequency_hz) & (frequency_hz < isco_hz)
    if band.sum() < 2:
        raise ValueError(
            f"The spectrum, from {frequency_hz.min():g} to {frequency_hz.max():g} Hz, has fewer than two "
            f"frequencies from {minimum_frequency_hz:g} Hz to the last stable orbit at {isco_hz:.0f} Hz."
        )
    inside = psd[..., band]
    if not (inside > 0).all():
        raise ValueError("The spectrum must be positive in the band; a filter may have emptied a part of it.")
    chirp_m = (mass_1_msun * mass_2_msun) ** 0.6 / (mass_1_msun + mass_2_msun) ** 0.2 * SOLAR_MASS_M
    factor = _SKY_FACTOR**2 * 5 * SPEED_OF_LIGHT_M_PER_S ** (1 / 3) * chirp_m ** (5 / 3)
    factor /= 96 * math.pi ** (4 / 3) * snr**2
    integral = np.trapezoid(frequency_hz[band] ** (-7 / 3) / inside, frequency_hz[band], axis=-1)
    return np.sqrt(factor * integral) / MEGAPARSEC_M
