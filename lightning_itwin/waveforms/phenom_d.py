"""IMRPhenomD as sums over powers of the frequency: what it needs of a binary, before any frequency is seen.

Amplitude and phase have three regions each. In every region but for two functions (an arc tangent in the
phase, a Lorentzian with an exponential in the amplitude) they are linear in powers of f^(1/3) and in log f:
``power_sums``.

Reference:
    Khan et al. 2016, arXiv:1508.07253; post-Newtonian phase: its appendix B.
"""

# B batch, K functions of power_sums.BASIS

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.waveforms.device_tables import DeviceTables
from lightning_itwin.waveforms.phenom_d_fits import (
    final_spin,
    fit_coefficients,
    radiated_energy,
    reduced_spin,
)
from lightning_itwin.waveforms.post_newtonian import inspiral_amplitude, inspiral_phase
from lightning_itwin.waveforms.power_sums import Joint, as_rows, line, slope_at, value_at
from lightning_itwin.waveforms.quasinormal_mode import QuasinormalMode, natural_spline_bends

AMPLITUDE_INSPIRAL_END = 0.014  # M f, section V of the paper
PHASE_INSPIRAL_END = 0.018
CUT = 0.2  # M f beyond which lalsimulation gives zero
_PEAK_POINTS = 10

_AMPLITUDE_JOINT, _PHASE_JOINT = Joint(AMPLITUDE_INSPIRAL_END), Joint(PHASE_INSPIRAL_END)
_BENDS = DeviceTables(natural_spline_bends(np.arange(_PEAK_POINTS, dtype=np.float64)))


@dataclass(frozen=True, kw_only=True)
class PhenomD:
    """Coefficients of IMRPhenomD for a batch of binaries, all in M f; a tensor is (B,), one of powers (B, K).

    Args:
        inspiral_amplitude: of the inspiral, over the leading f^(-7/6).
        intermediate_amplitude: five coefficients of powers of t, which runs from -1 to 1 over the region.
        amplitude_end: where the intermediate amplitude ends.
        ring_frequency: of the ringdown.
        damping_frequency: of the ringdown.
        gamma: three coefficients of the amplitude of the ringdown.
        inspiral_phase: of the inspiral.
        intermediate_phase: of the region between.
        ringdown_phase: of merger and ringdown, but for the arc tangent.
        arc_tangent: its factor and the centre of the arc tangent, over which the damping frequency stands.
        peak_slope: slope of the phase at the ring frequency, which puts the merger at t = 0.
    """

    inspiral_amplitude: Tensor
    intermediate_amplitude: tuple[Tensor, ...]
    amplitude_end: Tensor
    ring_frequency: Tensor
    damping_frequency: Tensor
    gamma: tuple[Tensor, Tensor, Tensor]
    inspiral_phase: Tensor
    intermediate_phase: Tensor
    ringdown_phase: Tensor
    arc_tangent: tuple[Tensor, Tensor]
    peak_slope: Tensor

    @classmethod
    def of(
        cls, eta: Tensor, chi_1: Tensor, chi_2: Tensor, in_plane: Tensor, mode: QuasinormalMode
    ) -> PhenomD:
        """Compute the coefficients.

        Args:
            eta: symmetric mass ratio, at most 1/4, (B,).
            chi_1: aligned spin of the heavier body, (B,).
            chi_2: aligned spin of the lighter body, (B,).
            in_plane: spin in the orbital plane over the total mass squared, for the final spin, (B,).
            mode: frequencies of the ringdown.
        """
        fit = fit_coefficients(eta, reduced_spin(eta, chi_1, chi_2))
        ring, damping = mode(final_spin(eta, chi_1, chi_2, in_plane))
        kept = 1 - radiated_energy(eta, chi_1, chi_2)
        ring, damping = ring / kept, damping / kept
        late = {"7/3": fit["rho_1"], "8/3": fit["rho_2"], "9/3": fit["rho_3"]}
        amplitude = as_rows(inspiral_amplitude(eta, chi_1, chi_2) | late)
        gamma = (fit["gamma_1"], fit["gamma_2"], fit["gamma_3"])
        end = _peak(ring, damping, gamma[1], gamma[2])
        begin, begin_slope = _AMPLITUDE_JOINT(amplitude)
        value, slope = ringdown_amplitude(end, ring, damping, gamma)
        half = (end - AMPLITUDE_INSPIRAL_END) / 2
        middle = _hermite((begin, fit["v_2"], value), begin_slope, slope, half)
        phases, arc = _joined_phases(eta, chi_1, chi_2, fit, ring, damping)
        return cls(
            inspiral_amplitude=amplitude,
            intermediate_amplitude=middle,
            amplitude_end=end,
            ring_frequency=ring,
            damping_frequency=damping,
            gamma=gamma,
            inspiral_phase=phases[0],
            intermediate_phase=phases[1],
            ringdown_phase=phases[2],
            arc_tangent=arc,
            peak_slope=_peak_slope(phases[2], arc, ring, damping),
        )


def ringdown_amplitude(
    x: Tensor, ring: Tensor, damping: Tensor, gamma: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Give the amplitude of merger and ringdown over the leading f^(-7/6), and its slope; equation 19.

    Args:
        x: M f, any shape that the others broadcast to.
        ring: ring frequency.
        damping: damping frequency.
        gamma: the three coefficients.
    """
    width, away = damping * gamma[2], x - ring
    lorentzian = 1 / (away**2 + width**2)
    value = gamma[0] * width * lorentzian * (-away * gamma[1] / width).exp()
    return value, -value * (2 * away * lorentzian + gamma[1] / width)


def _peak(ring: Tensor, damping: Tensor, gamma_2: Tensor, gamma_3: Tensor) -> Tensor:
    # Equation 20, with the root left out where it would be imaginary, as in lalsimulation.
    root = (1 - gamma_2**2).clamp_min(0).sqrt()
    return (ring + damping * gamma_3 * (root - 1) / gamma_2).abs()


def _hermite(
    values: tuple[Tensor, Tensor, Tensor], slope_begin: Tensor, slope_end: Tensor, half: Tensor
) -> tuple[Tensor, ...]:
    # The quartic in t = -1 ... 1 through three values, with two slopes; equations 21 to 26.
    begin, middle, end = values
    even, odd = (begin + end) / 2 - middle, (end - begin) / 2
    odd_slope, even_slope = half * (slope_end + slope_begin) / 2, half * (slope_end - slope_begin) / 2
    third, fourth = (odd_slope - odd) / 2, even_slope / 2 - even
    return middle, odd - third, even - fourth, third, fourth


def _joined_phases(
    eta: Tensor, chi_1: Tensor, chi_2: Tensor, fit: dict[str, Tensor], ring: Tensor, damping: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    # Each region is shifted so that value and slope go on smoothly; section VIII of the paper.
    inspiral = as_rows(
        inspiral_phase(eta, chi_1, chi_2)
        | {
            "3/3": fit["sigma_1"] / eta,
            "4/3": fit["sigma_2"] * 3 / 4 / eta,
            "5/3": fit["sigma_3"] * 3 / 5 / eta,
            "6/3": fit["sigma_4"] / 2 / eta,
        }
    )
    intermediate = as_rows(
        {
            "3/3": fit["beta_1"] / eta,
            "-9/3": -fit["beta_3"] / 3 / eta,
            "log": fit["beta_2"] / eta,
        }
    )
    value, slope = _PHASE_JOINT(inspiral - intermediate)
    intermediate = intermediate + line(value - slope * PHASE_INSPIRAL_END, slope)
    ringdown = as_rows(
        {
            "3/3": fit["alpha_1"] / eta,
            "-3/3": -fit["alpha_2"] / eta,
            "3/4": fit["alpha_3"] * 4 / 3 / eta,
        }
    )
    arc = (fit["alpha_4"] / eta, fit["alpha_5"] * ring)
    join = ring / 2
    turn, turn_slope = _arc_tangent(arc, damping, join)
    step = intermediate - ringdown
    value, slope = value_at(step, join) - turn, slope_at(step, join) - turn_slope
    ringdown = ringdown + line(value - slope * join, slope)
    return (inspiral, intermediate, ringdown), arc


def _arc_tangent(arc: tuple[Tensor, Tensor], damping: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    away = (x - arc[1]) / damping
    return arc[0] * away.atan(), arc[0] / damping / (1 + away**2)


def _peak_slope(ringdown: Tensor, arc: tuple[Tensor, Tensor], ring: Tensor, damping: Tensor) -> Tensor:
    # lalsimulation takes the slope of a natural cubic spline through ten points, 0.8 to 1.2 of the ring
    # frequency; the exact slope would put the merger elsewhere by a few microseconds.
    points = _PEAK_POINTS
    begin, end = 0.8 * ring, (1.2 * ring).clamp_max(CUT)
    gap = (end - begin) / (points - 1)
    x = begin[:, None] + gap[:, None] * torch.arange(points, device=ring.device)
    values = value_at(ringdown, x) + arc[0][:, None] * ((x - arc[1][:, None]) / damping[:, None]).atan()
    (table,) = _BENDS.on(ring.device)
    bends = values @ table.T
    place = (ring - begin) / gap
    left = place.detach().nan_to_num(0.0).floor().clamp(0, points - 2).to(torch.int64)[:, None]
    above = place - left[:, 0]
    (low, high), (low_bend, high_bend) = (
        (column.gather(1, left)[:, 0], column.gather(1, left + 1)[:, 0]) for column in (values, bends)
    )
    slope = high - low + ((3 * above**2 - 1) * high_bend - (3 * (1 - above) ** 2 - 1) * low_bend) / 6
    return slope / gap
