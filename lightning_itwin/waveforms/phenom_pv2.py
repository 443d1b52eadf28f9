"""IMRPhenomPv2 in torch: precessing binaries of black holes, batched, on any device, in real arithmetic.

IMRPhenomD gives amplitude and phase of the binary with aligned spins; two Euler angles twist it up into the
precessing one. Phases are sums over powers of the frequency (``power_sums``) and made in float64 whatever
the precision of the rest, then taken modulo 2 pi. Up to its last line no complex number is used, so that
``torch.compile`` makes one graph of it.

Reference:
    Hannam et al. 2014, arXiv:1308.3271; technical note LIGO-T1500602; Husa et al. 2016, arXiv:1508.07250;
    Khan et al. 2016, arXiv:1508.07253. Written from these papers and the conventions of lalsimulation, its
    oracle.
"""

# B batch, F frequencies, K powers

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.waveforms.binary import Binary
from lightning_itwin.waveforms.constants import (
    MEGAPARSEC_M,
    SOLAR_MASS_M,
    SOLAR_MASS_S,
)
from lightning_itwin.waveforms.phenom_d import (
    AMPLITUDE_INSPIRAL_END,
    CUT,
    PHASE_INSPIRAL_END,
    PhenomD,
    ringdown_amplitude,
)
from lightning_itwin.waveforms.power_sums import line, per_frequency, power_basis, value_at
from lightning_itwin.waveforms.precession import (
    orbital_angular_momentum_orders,
    precession_parameters,
)
from lightning_itwin.waveforms.precession_angles import precession_angles
from lightning_itwin.waveforms.quasinormal_mode import QuasinormalMode

_SCALE = 1e23  # amplitudes are of order 1 while they are made, and of order 1e-23 / Hz when they are given


class IMRPhenomPv2:
    """The precessing waveform IMRPhenomPv2.

    Args:
        reference_frequency_hz: where spins and phase are defined.
        dtype: of everything but the phases, which are made in float64: float32 is fast and lets complex64
            out, float64 lets complex128 out.

    Raises:
        ValueError: another dtype.
    """

    def __init__(self, reference_frequency_hz: float = 20.0, dtype: torch.dtype = torch.float32) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, not {dtype}.")
        self.name = "IMRPhenomPv2"
        self.recordable = True
        self.reference_frequency_hz = reference_frequency_hz
        self.dtype = dtype
        self._mode = QuasinormalMode()
        self._compiled: Callable[..., tuple[Tensor, ...]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process compiles for itself, or does without.
        return self.__dict__ | {"_compiled": None}

    def __call__(self, binary: Binary, frequency_hz: Tensor) -> tuple[Tensor, Tensor]:
        """Give h plus and h cross in 1/Hz, (B, F) each, complex, on the device of ``binary``.

        Args:
            binary: the binaries, B of them.
            frequency_hz: evenly spaced multiples of their spacing, (F,), F >= 2.
        """
        parts = (self._compiled or self.real_parts)(binary, frequency_hz)
        plus_real, plus_imag, cross_real, cross_imag = (part / _SCALE for part in parts)
        return torch.complex(plus_real, plus_imag), torch.complex(cross_real, cross_imag)

    def compile(self) -> IMRPhenomPv2:
        """Have the waveform compiled at its next call, in place, as one graph; a minute once for a shape.

        Returns:
            the waveform itself.
        """
        self._compiled = torch.compile(self.real_parts, fullgraph=True)
        return self

    def highest_frequency_hz(self, binary: Binary) -> float:
        """Give the highest frequency at which any of the binaries has a signal."""
        return CUT / SOLAR_MASS_S / (binary.mass_1_msun + binary.mass_2_msun).min().item()

    def real_parts(self, binary: Binary, frequency_hz: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give Re h plus, Im h plus, Re h cross, Im h cross in units of 1e-23 / Hz, (B, F) each.

        Args:
            binary: the binaries, B of them.
            frequency_hz: evenly spaced multiples of their spacing, (F,), F >= 2.
        """
        model = precession_parameters(binary, self.reference_frequency_hz)
        total = binary.mass_1_msun + binary.mass_2_msun
        mass_s = total * SOLAR_MASS_S
        eta = (binary.mass_1_msun * binary.mass_2_msun / total**2).clamp_max(0.25)
        heavy = (1 + (1 - 4 * eta).sqrt()) / 2
        in_plane = model.chi_p * heavy**2
        aligned = PhenomD.of(eta, model.chi_1, model.chi_2, in_plane, self._mode)
        basis = power_basis(frequency_hz.to(torch.float64))
        x = (mass_s[:, None] * frequency_hz).to(self.dtype)  # M f

        chi_l = (heavy * model.chi_1 + (1 - heavy) * model.chi_2) / heavy
        alpha, epsilon = precession_angles(eta, chi_l, model.chi_p)
        at_s = mass_s * self.reference_frequency_hz
        alpha = alpha + line(model.alpha_rad - value_at(alpha, at_s), torch.zeros_like(eta))
        turns = _turns(per_frequency(alpha, mass_s) @ basis)
        cos_alpha, sin_alpha = self._circle(turns)
        # What is added to the phase of all regions: twice epsilon, the phase, the place of the merger.
        constant = -2 * (value_at(epsilon, at_s) + model.phase_rad)
        added = 2 * epsilon + line(constant, -aligned.peak_slope)
        phase = self._phase(aligned, added, mass_s, basis, x)
        cos_phase, sin_phase = self._circle(phase)
        strain = self._amplitude(aligned, eta, mass_s, basis, x) * self._size(binary, frequency_hz, mass_s)

        aligned_spin = model.chi_1 * heavy**2 + model.chi_2 * (1 - heavy) ** 2
        cos_beta, sin_beta = self._opening(eta, aligned_spin, in_plane, x)
        plus, cross = _twist(model.theta_jn_rad, cos_alpha, sin_alpha, cos_beta, sin_beta)
        turn = (2 * model.zeta_rad).to(self.dtype)[:, None]
        parts = []
        for h, other, sign in ((plus, cross, 1), (cross, plus, -1)):
            real, imag = (a * turn.cos() + sign * b * turn.sin() for a, b in zip(h, other))
            # times exp(-i phase)
            parts += [
                strain * (real * cos_phase + imag * sin_phase),
                strain * (imag * cos_phase - real * sin_phase),
            ]
        return parts[0], parts[1], parts[2], parts[3]

    def _phase(self, aligned: PhenomD, added: Tensor, mass_s: Tensor, basis: Tensor, x: Tensor) -> Tensor:
        # in turns
        regions = torch.stack((aligned.inspiral_phase, aligned.intermediate_phase, aligned.ringdown_phase))
        rows = per_frequency(regions + added, mass_s).unbind()
        inspiral, intermediate, ringdown = (_turns(region @ basis) for region in rows)
        factor, centre, width = (
            value.to(self.dtype)[:, None] for value in (*aligned.arc_tangent, aligned.damping_frequency)
        )
        arc = factor * ((x - centre) / width).atan() / (2 * math.pi)
        late = torch.where(
            x < aligned.ring_frequency.to(self.dtype)[:, None] / 2, intermediate, ringdown + arc
        )
        return torch.where(x < PHASE_INSPIRAL_END, inspiral, late)

    def _amplitude(self, aligned: PhenomD, eta: Tensor, mass_s: Tensor, basis: Tensor, x: Tensor) -> Tensor:
        # over the leading (M f)^(-7/6)
        inspiral = (per_frequency(aligned.inspiral_amplitude, mass_s) @ basis).to(self.dtype)
        end = aligned.amplitude_end.to(self.dtype)[:, None]
        half = (end - AMPLITUDE_INSPIRAL_END) / 2
        t = (x - AMPLITUDE_INSPIRAL_END) / half - 1
        c_0, c_1, c_2, c_3, c_4 = (c.to(self.dtype)[:, None] for c in aligned.intermediate_amplitude)
        intermediate = c_0 + t * (c_1 + t * (c_2 + t * (c_3 + t * c_4)))
        gamma_1, gamma_2, gamma_3 = (value.to(self.dtype)[:, None] for value in aligned.gamma)
        ringdown, _ = ringdown_amplitude(
            torch.maximum(x, end),
            aligned.ring_frequency.to(self.dtype)[:, None],
            aligned.damping_frequency.to(self.dtype)[:, None],
            (gamma_1, gamma_2, gamma_3),
        )
        late = torch.where(x < end, intermediate, ringdown)
        return torch.where(x < AMPLITUDE_INSPIRAL_END, inspiral, late)

    def _size(self, binary: Binary, frequency_hz: Tensor, mass_s: Tensor) -> Tensor:
        total = binary.mass_1_msun + binary.mass_2_msun
        eta = binary.mass_1_msun * binary.mass_2_msun / total**2
        distance = binary.luminosity_distance_mpc * (MEGAPARSEC_M / SOLAR_MASS_M / _SCALE)
        size = total * mass_s / distance * (eta * (2 / 3)).sqrt() * math.pi ** (-1 / 6) * mass_s ** (-7 / 6)
        # lalsimulation stops at the last whole step below the cut
        step_hz = frequency_hz[1] - frequency_hz[0]
        last = (CUT / mass_s / step_hz + 1e-9).floor()
        heard = (frequency_hz / step_hz).round() < last[:, None]
        falling = (frequency_hz ** (-7 / 6)).to(self.dtype)
        return torch.where(heard, size.to(self.dtype)[:, None] * falling, 0.0)

    def _opening(
        self, eta: Tensor, aligned_spin: Tensor, in_plane: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        # Cosine and sine of the angle between L and J. Both L + S and S in the plane are multiplied by v.
        first, second = (value.to(self.dtype)[:, None] for value in orbital_angular_momentum_orders(eta))
        eta, aligned_spin, in_plane = (
            value.to(self.dtype)[:, None] for value in (eta, aligned_spin, in_plane)
        )
        v = (x * math.pi) ** (1 / 3)
        along = eta * (1 + v**2 * (first + v**2 * second)) + aligned_spin * v
        slope = in_plane * v / along
        cosine = (1 + slope**2).rsqrt()
        return cosine, slope.abs() * cosine

    def _circle(self, turns: Tensor) -> tuple[Tensor, Tensor]:
        angle = turns.to(self.dtype) * (2 * math.pi)
        return angle.cos(), angle.sin()


def _turns(angle: Tensor) -> Tensor:
    turns = angle / (2 * math.pi)
    return turns - turns.round()


def _twist(
    theta_jn_rad: Tensor, cos_alpha: Tensor, sin_alpha: Tensor, cos_beta: Tensor, sin_beta: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    # The sum over m of Wigner's d and the harmonics of weight -2, l = 2, of technical note T1500602, gathered
    # by powers of exp(i alpha): real and imaginary part of the factors of h plus and h cross.
    cosine, sine = theta_jn_rad.cos(), theta_jn_rad.sin()
    norm = math.sqrt(5 / (64 * math.pi)) / 2
    # sums and differences of the harmonics of m = 2 and -2, of 1 and -1; and that of 0
    sum_2, difference_2 = 2 * norm * (1 + cosine**2), 4 * norm * cosine
    sum_1, difference_1 = 4 * norm * sine, 4 * norm * sine * cosine
    zero = math.sqrt(6) * norm * sine**2
    sum_2, difference_2, sum_1, difference_1, zero = (
        value.to(cos_alpha.dtype)[:, None] for value in (sum_2, difference_2, sum_1, difference_1, zero)
    )
    cos_2, sin_2 = 2 * cos_alpha**2 - 1, 2 * sin_alpha * cos_alpha
    mean, both = (1 + cos_beta**2) / 2, sin_beta * cos_beta
    plus_real = sum_2 * mean * cos_2 + difference_1 * both * cos_alpha
    plus_real = plus_real + math.sqrt(6) / 2 * zero * sin_beta**2
    plus_imag = sum_2 * cos_beta * sin_2 + difference_1 * sin_beta * sin_alpha
    cross_real = difference_2 * mean * sin_2 + sum_1 * both * sin_alpha
    cross_imag = -difference_2 * cos_beta * cos_2 - sum_1 * sin_beta * cos_alpha
    return (plus_real, plus_imag), (cross_real, cross_imag)
