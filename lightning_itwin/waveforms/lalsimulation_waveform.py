"""Frequency-domain approximants of lalsimulation, one call an event on the CPU."""

# B batch, F frequencies

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.optional import require
from lightning_itwin.waveforms.binary import Binary
from lightning_itwin.waveforms.constants import MEGAPARSEC_M
from lightning_itwin.waveforms.frequency_grid import grid_step

_FIELDS = (
    "mass_1_msun",
    "mass_2_msun",
    "luminosity_distance_mpc",
    "theta_jn_rad",
    "phase_rad",
    "a_1",
    "a_2",
    "tilt_1_rad",
    "tilt_2_rad",
    "phi_12_rad",
    "phi_jl_rad",
)


class LALSimulationWaveform:
    """An approximant of lalsimulation, evaluated as bilby's ``lal_binary_black_hole`` does.

    Args:
        approximant: name of a frequency-domain approximant, such as ``"IMRPhenomXPHM"``.
        reference_frequency_hz: where spins and phase are defined.

    Raises:
        MissingExtraError: lalsimulation is not installed.
        ValueError: lalsimulation does not know the approximant, or has it in the time domain only.
    """

    def __init__(self, approximant: str, reference_frequency_hz: float = 20.0) -> None:
        self._lal = require("lal", extra="gw")
        self._lalsimulation = require("lalsimulation", extra="gw")
        self.name = f"lalsimulation:{approximant}"
        self.approximant = approximant
        self.reference_frequency_hz = reference_frequency_hz
        try:
            self._approximant = self._lalsimulation.GetApproximantFromString(approximant)
        except RuntimeError as error:
            raise ValueError(f"lalsimulation knows no approximant {approximant!r}.") from error
        if not self._lalsimulation.SimInspiralImplementedFDApproximants(self._approximant):
            raise ValueError(f"lalsimulation has {approximant!r} in the time domain only.")

    def __call__(self, binary: Binary, frequency_hz: Tensor) -> tuple[Tensor, Tensor]:
        """Give h plus and h cross in 1/Hz, (B, F) each, complex128, on the device of ``frequency_hz``.

        Args:
            binary: the binaries, B of them.
            frequency_hz: multiples of their own spacing, (F,).

        Raises:
            ValueError: the frequencies are not multiples of their spacing, or lalsimulation refuses a binary.
        """
        step_hz, first = grid_step(frequency_hz)
        count = len(frequency_hz)
        parameters = np.stack([getattr(binary, field).cpu().numpy() for field in _FIELDS], axis=1)
        plus = np.zeros((len(parameters), count), dtype=np.complex128)
        cross = np.zeros_like(plus)
        for row, values in enumerate(parameters):
            made = self._polarisations(values, step_hz, first * step_hz, (first + count - 1) * step_hz)
            for out, series in zip((plus, cross), made):
                part = series.data.data[first : first + count]
                out[row, : len(part)] = part
        device = frequency_hz.device
        return torch.from_numpy(plus).to(device), torch.from_numpy(cross).to(device)

    def _polarisations(
        self, values: np.ndarray, step_hz: float, lowest_hz: float, highest_hz: float
    ) -> tuple[Any, Any]:
        mass_1, mass_2, distance, theta_jn, phase, a_1, a_2, tilt_1, tilt_2, phi_12, phi_jl = values.tolist()
        mass_1_kg, mass_2_kg = mass_1 * self._lal.MSUN_SI, mass_2 * self._lal.MSUN_SI
        try:
            inclination, *spins = self._lalsimulation.SimInspiralTransformPrecessingNewInitialConditions(
                theta_jn,
                phi_jl,
                tilt_1,
                tilt_2,
                phi_12,
                a_1,
                a_2,
                mass_1_kg,
                mass_2_kg,
                self.reference_frequency_hz,
                phase,
            )
            return self._lalsimulation.SimInspiralChooseFDWaveform(
                mass_1_kg,
                mass_2_kg,
                *spins,
                distance * MEGAPARSEC_M,
                inclination,
                phase,
                0.0,
                0.0,
                0.0,
                step_hz,
                lowest_hz,
                highest_hz,
                self.reference_frequency_hz,
                None,
                self._approximant,
            )
        except RuntimeError as error:
            told = dict(zip(_FIELDS, values.tolist()))
            raise ValueError(f"{self.approximant} of lalsimulation refuses {told}: {error}.") from error
