"""Frames of a precessing binary: from bilby's angles to the parameters of IMRPhenomP, in batches.

Spins come relative to the orbital angular momentum L and the line of sight N relative to the total angular
momentum J; the model wants the components of both in the source frame (z along L), then in the frame of J.

Reference:
    Schmidt et al. 2015, arXiv:1408.1810; technical note LIGO-T1500602; frames: LIGO-T1500606.
"""

# B batch

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_itwin.waveforms.binary import Binary
from lightning_itwin.waveforms.constants import SOLAR_MASS_S

_SMALL = 1e-15  # components below have no direction, as in lalsimulation
Vector = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class PrecessionParameters:
    """What IMRPhenomP wants to know of a binary; every field is (B,). Body 1 is the heavier one.

    Args:
        chi_1: spin of body 1 along L.
        chi_2: spin of body 2 along L.
        chi_p: effective spin in the orbital plane, of body 1.
        theta_jn_rad: angle between J and the line of sight.
        alpha_rad: azimuth of L about J at the reference frequency.
        phase_rad: orbital phase of the model of aligned spins.
        zeta_rad: angle by which the polarisations are turned from the model's frame.
    """

    chi_1: Tensor
    chi_2: Tensor
    chi_p: Tensor
    theta_jn_rad: Tensor
    alpha_rad: Tensor
    phase_rad: Tensor
    zeta_rad: Tensor


def orbital_angular_momentum(v: Tensor, eta: Tensor) -> Tensor:
    """Give L over the total mass squared to the second post-Newtonian order, without spins.

    Args:
        v: cube root of pi M f.
        eta: symmetric mass ratio.

    Reference:
        Bohe et al. 2013, arXiv:1212.5520, equation 4.7.
    """
    first, second = orbital_angular_momentum_orders(eta)
    return eta * (1 + v**2 * (first + v**2 * second)) / v


def orbital_angular_momentum_orders(eta: Tensor) -> tuple[Tensor, Tensor]:
    """Give the first and the second post-Newtonian coefficient of L, relative to the leading one."""
    return 1.5 + eta / 6, 3.375 - 19 / 8 * eta - eta**2 / 24


def source_frame(binary: Binary, reference_frequency_hz: float) -> tuple[Tensor, Vector, Vector]:
    """Give inclination and spins in the source frame, z along L, x along the separation of the bodies.

    Args:
        binary: the binaries.
        reference_frequency_hz: where the spins are given.

    Returns:
        angle between L and the line of sight, (B,); spin of body 1; spin of body 2, three times (B,) each.

    Reference:
        It turns the binary as ``SimInspiralTransformPrecessingNewInitialConditions`` of lalsimulation does.
    """
    m_1, m_2, phase = binary.mass_1_msun, binary.mass_2_msun, binary.phase_rad
    total = m_1 + m_2
    eta = m_1 * m_2 / total**2
    v = (math.pi * total * SOLAR_MASS_S * reference_frequency_hz) ** (1 / 3)
    # J is made of L to the first post-Newtonian order here, of the second in the model.
    orbital = total**2 * eta / v * (1 + v**2 * (1.5 + eta / 6))
    spins = [
        _on_sphere(tilt, azimuth)
        for tilt, azimuth in ((binary.tilt_1_rad, phase), (binary.tilt_2_rad, phase + binary.phi_12_rad))
    ]
    sizes = (binary.a_1 * m_1**2, binary.a_2 * m_2**2)
    j_x, j_y, j_z = (sizes[0] * a + sizes[1] * b for a, b in zip(*spins))
    j_z = j_z + orbital
    polar, azimuth = torch.atan2(torch.hypot(j_x, j_y), j_z), torch.atan2(j_y, j_x)
    zero = torch.zeros_like(phase)
    # J to z, and L to its azimuth about J
    turned = [
        _about_z(_about_y(_about_z(vector, -azimuth), -polar), binary.phi_jl_rad - math.pi)
        for vector in (*spins, (zero, zero, zero + 1))
    ]
    orbit = turned[2]
    sight = (zero, binary.theta_jn_rad.sin(), binary.theta_jn_rad.cos())
    inclination = (orbit[1] * sight[1] + orbit[2] * sight[2]).clamp(-1, 1).acos()
    # L back to z, and the line of sight into the y-z plane
    polar = torch.atan2(torch.hypot(orbit[0], orbit[1]), orbit[2])
    azimuth = torch.atan2(orbit[1], orbit[0])
    spins_sight = [_about_y(_about_z(vector, -azimuth), -polar) for vector in (*turned[:2], sight)]
    turn = math.pi / 2 - torch.atan2(spins_sight[2][1], spins_sight[2][0]) - phase
    (x_1, y_1, z_1), (x_2, y_2, z_2) = (_about_z(vector, turn) for vector in spins_sight[:2])
    a_1, a_2 = binary.a_1, binary.a_2
    return inclination, (a_1 * x_1, a_1 * y_1, a_1 * z_1), (a_2 * x_2, a_2 * y_2, a_2 * z_2)


def precession_parameters(binary: Binary, reference_frequency_hz: float) -> PrecessionParameters:
    """Give the parameters of IMRPhenomP.

    Args:
        binary: the binaries.
        reference_frequency_hz: where spins and phase are given.
    """
    m_1, m_2, phase = binary.mass_1_msun, binary.mass_2_msun, binary.phase_rad
    inclination, spin_1, spin_2 = source_frame(binary, reference_frequency_hz)
    total = m_1 + m_2
    eta = m_1 * m_2 / total**2
    v = (math.pi * total * SOLAR_MASS_S * reference_frequency_hz) ** (1 / 3)
    # J in the source frame, over the total mass squared
    j_x, j_y, j_z = ((m_1**2 * a + m_2**2 * b) / total**2 for a, b in zip(spin_1, spin_2))
    j_z = j_z + orbital_angular_momentum(v, eta)
    plane = (j_x.abs() < _SMALL) & (j_y.abs() < _SMALL)
    polar = torch.atan2(torch.hypot(j_x, j_y), j_z)
    azimuth = torch.where(plane, math.pi / 2 - phase, torch.atan2(j_y, j_x))

    def to_j(vector: Vector) -> Vector:
        return _about_y(_about_z(vector, -azimuth), -polar)

    zero = torch.zeros_like(phase)
    sight = to_j(_on_sphere(inclination, math.pi / 2 - phase))
    kappa = -_direction(sight)
    orbit = _about_z(to_j((zero, zero, zero + 1)), kappa)
    no_plane = (orbit[0].abs() < _SMALL) & (orbit[1].abs() < _SMALL)
    alpha = torch.where(no_plane, math.pi, torch.atan2(orbit[1], orbit[0]))
    sight = _about_z(sight, kappa)
    wave_x = (-inclination.cos() * phase.sin(), -inclination.cos() * phase.cos(), inclination.sin())
    x, y, z = _about_z(to_j(wave_x), kappa)
    zeta = torch.atan2(x * sight[2] - z * sight[0], -y)

    heavy_1 = m_1 >= m_2
    a_1, a_2 = 2 + 1.5 * m_2 / m_1, 2 + 1.5 * m_1 / m_2
    in_plane_1 = a_1 * m_1**2 * torch.hypot(spin_1[0], spin_1[1])
    in_plane_2 = a_2 * m_2**2 * torch.hypot(spin_2[0], spin_2[1])
    return PrecessionParameters(
        chi_1=torch.where(heavy_1, spin_1[2], spin_2[2]),
        chi_2=torch.where(heavy_1, spin_2[2], spin_1[2]),
        chi_p=torch.maximum(in_plane_1, in_plane_2) / torch.where(heavy_1, a_1 * m_1**2, a_2 * m_2**2),
        theta_jn_rad=torch.atan2(sight[0], sight[2]),
        alpha_rad=alpha,
        phase_rad=-azimuth,
        zeta_rad=zeta,
    )


def _on_sphere(polar: Tensor, azimuth: Tensor) -> Vector:
    return polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()


def _direction(vector: Vector) -> Tensor:
    nowhere = (vector[0].abs() < _SMALL) & (vector[1].abs() < _SMALL)
    return torch.where(nowhere, 0.0, torch.atan2(vector[1], vector[0]))


def _about_z(vector: Vector, angle: Tensor) -> Vector:
    x, y, z = vector
    return x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos(), z


def _about_y(vector: Vector, angle: Tensor) -> Vector:
    x, y, z = vector
    return x * angle.cos() + z * angle.sin(), y, -x * angle.sin() + z * angle.cos()
