"""Frequency-domain approximants of lalsimulation, one call an event on the CPU."""

# B batch, F frequencies

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.optional import require
from lightning_itwin.waveforms.binary import Binary
from lightning_itwin.waveforms.constants import MEGAPARSEC_M, SOLAR_MASS_S
from lightning_itwin.waveforms.frequency_grid import grid_step
from lightning_itwin.waveforms.multibanding import Multibanding, band_starts, on_bands, plan_bands

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
# M f at which an approximant ends, of those that lalsimulation evaluates at any set of frequencies.
_ENDS = {
    "IMRPhenomD": 0.2,
    "IMRPhenomPv2": 0.2,
    "IMRPhenomXAS": 0.3,
    "IMRPhenomXHM": 0.3,
    "IMRPhenomXP": 0.3,
    "IMRPhenomXPHM": 0.3,
}


class LALSimulationWaveform:
    """An approximant of lalsimulation, with the conventions of bilby's ``lal_binary_black_hole``.

    Six approximants of the Phenom family are evaluated on few frequencies and interpolated (see
    ``multibanding``): a mismatch of 1e-12 in the median, of 2e-6 in the worst of 200 precessing binaries. The
    multibanding of lalsimulation itself, which bilby uses for IMRPhenomXPHM, costs 6e-8 in the median and
    1e-5 in the worst case; it is left out then. The other approximants, and all with ``multibanding=None``,
    are evaluated exactly as in bilby.

    Args:
        approximant: name of a frequency-domain approximant, such as ``"IMRPhenomXPHM"``.
        reference_frequency_hz: where spins and phase are defined.
        multibanding: how dense the frequencies stand; None for all of them.

    Raises:
        MissingExtraError: lalsimulation is not installed.
        ValueError: lalsimulation does not know the approximant, or has it in the time domain only.
    """

    def __init__(
        self,
        approximant: str,
        reference_frequency_hz: float = 20.0,
        multibanding: Multibanding | None = Multibanding(),  # noqa: B008 - it is frozen
    ) -> None:
        self._lal = require("lal", extra="gw")
        self._lalsimulation = require("lalsimulation", extra="gw")
        self.name = f"lalsimulation:{approximant}"
        self.approximant = approximant
        self.reference_frequency_hz = reference_frequency_hz
        self.multibanding = multibanding
        try:
            self._number = self._lalsimulation.GetApproximantFromString(approximant)
        except RuntimeError as error:
            raise ValueError(f"lalsimulation knows no approximant {approximant!r}.") from error
        if not self._lalsimulation.SimInspiralImplementedFDApproximants(self._number):
            raise ValueError(f"lalsimulation has {approximant!r} in the time domain only.")

    def __reduce__(self) -> tuple:
        # Worker processes get the recipe: modules do not travel.
        return type(self), (self.approximant, self.reference_frequency_hz, self.multibanding)

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
        strain = np.zeros((2, len(parameters), count), dtype=np.complex128)
        banded = self.multibanding is not None and self.approximant in _ENDS
        for row, values in enumerate(parameters):
            try:
                if banded:
                    self._on_bands(values, step_hz, first, strain[:, row])
                else:
                    self._on_grid(values, step_hz, first, strain[:, row])
            except RuntimeError as error:
                told = dict(zip(_FIELDS, values.tolist()))
                raise ValueError(f"{self.approximant} of lalsimulation refuses {told}: {error}.") from error
        plus, cross = torch.from_numpy(strain).to(frequency_hz.device).unbind(0)
        return plus, cross

    def highest_frequency_hz(self, binary: Binary) -> float:
        """Give the highest frequency at which any of the binaries has a signal; infinite where not known."""
        end = _ENDS.get(self.approximant, float("inf")) / SOLAR_MASS_S
        return end / (binary.mass_1_msun + binary.mass_2_msun).min().item()

    def _on_grid(self, values: np.ndarray, step_hz: float, first: int, out: np.ndarray) -> None:
        masses_kg, spins, distance_m, inclination, phase = self._arguments(values)
        last = first + out.shape[1] - 1
        made = self._lalsimulation.SimInspiralChooseFDWaveform(
            *masses_kg,
            *spins,
            distance_m,
            inclination,
            phase,
            0.0,
            0.0,
            0.0,
            step_hz,
            first * step_hz,
            last * step_hz,
            self.reference_frequency_hz,
            None,
            self._number,
        )
        for strain, series in zip(out, made):
            part = series.data.data[first : last + 1]
            strain[: len(part)] = part

    def _on_bands(self, values: np.ndarray, step_hz: float, first: int, out: np.ndarray) -> None:
        masses_kg, spins, distance_m, inclination, phase = self._arguments(values)
        end_hz = _ENDS[self.approximant] / SOLAR_MASS_S / (values[0] + values[1])
        last = min(first + out.shape[1], int(end_hz / step_hz)) - 1
        if last <= first or self.multibanding is None:
            return

        def evaluate(numbers: np.ndarray) -> np.ndarray:
            frequencies = self._lal.CreateREAL8Sequence(len(numbers))
            frequencies.data = numbers * step_hz
            made = self._lalsimulation.SimInspiralChooseFDWaveformSequence(
                phase,
                *masses_kg,
                *spins,
                self.reference_frequency_hz,
                distance_m,
                inclination,
                None,
                self._number,
                frequencies,
            )
            plus, cross = (series.data.data for series in made)
            return np.stack([plus.real, plus.imag, cross.real, cross.imag])

        starts = band_starts(self.multibanding, step_hz, first, last, (values[0], values[1]))
        made = on_bands(evaluate, plan_bands(first, last, starts))
        out.real[:, : made.shape[1]] = made[0::2]
        out.imag[:, : made.shape[1]] = made[1::2]

    def _arguments(self, values: np.ndarray) -> tuple[tuple[float, float], list[float], float, float, float]:
        mass_1, mass_2, distance, theta_jn, phase, a_1, a_2, tilt_1, tilt_2, phi_12, phi_jl = values.tolist()
        masses_kg = (mass_1 * self._lal.MSUN_SI, mass_2 * self._lal.MSUN_SI)
        distance_m = distance * MEGAPARSEC_M
        if all(spin == 0 or tilt in (0.0, math.pi) for spin, tilt in ((a_1, tilt_1), (a_2, tilt_2))):
            # As in bilby: the sine of pi is not quite zero, and models of aligned spins refuse the rest.
            spins = [0.0, 0.0, a_1 * math.cos(tilt_1), 0.0, 0.0, a_2 * math.cos(tilt_2)]
            return masses_kg, spins, distance_m, theta_jn, phase
        inclination, *spins = self._lalsimulation.SimInspiralTransformPrecessingNewInitialConditions(
            theta_jn,
            phi_jl,
            tilt_1,
            tilt_2,
            phi_12,
            a_1,
            a_2,
            *masses_kg,
            self.reference_frequency_hz,
            phase,
        )
        return masses_kg, spins, distance_m, inclination, phase
