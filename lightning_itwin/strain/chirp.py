"""The signal of a compact binary as a time series, to inject and to filter with."""

# T samples

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from lightning_itwin.waveforms import Binary, make_waveform
from lightning_itwin.waveforms.constants import SOLAR_MASS_S

_AFTER_S = 0.5  # of the series after the merger; the ringdown of 200 solar masses takes some 0.1 s
_TAPER = 0.8  # the signal rises from this times the lowest frequency
_NAMES = ["mass_1", "mass_2", "chi_1", "chi_2", "luminosity_distance", "theta_jn"]
_NAMES += ["phase", "ra", "dec", "psi"]


class Chirp(NamedTuple):
    """A signal in one detector.

    Args:
        values: strain, (T,).
        merger: number of the sample at which the bodies merge.
    """

    values: np.ndarray
    merger: int


def chirp_time_s(chirp_mass_msun: float, frequency_hz: float) -> float:
    """Give the time from a frequency of the signal to the merger, at leading order.

    ``5/256 (pi f)^(-8/3) (G M_c / c^3)^(-5/3)``

    Args:
        chirp_mass_msun: chirp mass in solar masses, detector frame.
        frequency_hz: frequency of the signal.

    Reference:
        Peters 1964, Phys. Rev. 136, B1224, eq. 5.10, with the chirp mass.

    >>> print(f"{chirp_time_s(1.22, 20.0):.0f} s")
    158 s
    """
    return 5 / 256 * (math.pi * frequency_hz) ** (-8 / 3) * (chirp_mass_msun * SOLAR_MASS_S) ** (-5 / 3)


def binary_chirp(
    mass_1_msun: float,
    mass_2_msun: float,
    sample_rate_hz: float,
    *,
    distance_mpc: float = 100.0,
    lowest_hz: float = 15.0,
    phase_rad: float = 0.0,
    chi_1: float = 0.0,
    chi_2: float = 0.0,
) -> Chirp:
    """Give the signal of a binary in a detector straight above which it orbits face on (IMRPhenomPv2).

    Args:
        mass_1_msun, mass_2_msun: masses in solar masses, detector frame.
        sample_rate_hz: sample rate; the signal ends at half of it.
        distance_mpc: luminosity distance.
        lowest_hz: frequency from which the signal is whole; it rises from 0.8 times that.
        phase_rad: phase.
        chi_1, chi_2: spins along the orbital angular momentum, -1 to 1.

    Raises:
        ValueError: a mass, the distance or a frequency is not above 0.

    >>> signal = binary_chirp(30.0, 30.0, 1024.0)
    >>> signal.merger / 1024.0, len(signal.values) / 1024.0
    (4.6025390625, 5.1025390625)
    """
    positive = (mass_1_msun, mass_2_msun, sample_rate_hz, distance_mpc, lowest_hz)
    if min(positive) <= 0 or lowest_hz >= sample_rate_hz / 2:
        raise ValueError(
            "masses, distance, sample rate and lowest_hz must be above 0, and lowest_hz below half the "
            f"sample rate, not {mass_1_msun:g}, {mass_2_msun:g}, {distance_mpc:g}, {sample_rate_hz:g} and "
            f"{lowest_hz:g}."
        )
    total = mass_1_msun + mass_2_msun
    chirp_mass = (mass_1_msun * mass_2_msun) ** 0.6 / total**0.2
    # what higher orders and spins add to the leading one is less than a tenth of a light binary's time
    before = math.ceil((1.1 * chirp_time_s(chirp_mass, _TAPER * lowest_hz) + 0.5) * sample_rate_hz)
    after = round(_AFTER_S * sample_rate_hz)
    made = 2 ** math.ceil(math.log2(before + after))
    frequency_hz = np.fft.rfftfreq(made, 1 / sample_rate_hz)
    row = [max(mass_1_msun, mass_2_msun), min(mass_1_msun, mass_2_msun), chi_1, chi_2]
    row += [distance_mpc, 0.0, phase_rad, 0.0, 0.0, 0.0]
    binary = Binary.from_table(_NAMES, torch.tensor([row], dtype=torch.float64))
    plus, _ = make_waveform("IMRPhenomPv2")(binary, torch.from_numpy(frequency_hz[1:]))
    rising = np.clip((frequency_hz / lowest_hz - _TAPER) / (1 - _TAPER), 0.0, 1.0)
    spectrum = np.zeros(len(frequency_hz), dtype=np.complex128)
    spectrum[1:] = plus[0].numpy()
    spectrum *= np.sin(np.pi / 2 * rising) ** 2
    # the merger, at time 0, goes to the sample "before"
    turned = (np.arange(len(frequency_hz)) * before % made) / made
    values = np.fft.irfft(spectrum * np.exp(-2j * np.pi * turned), made) * sample_rate_hz
    return Chirp(values=values[: before + after], merger=before)
