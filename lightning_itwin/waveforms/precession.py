"""Frames of a precessing binary: from bilby's angles to the parameters of IMRPhenomP, in batches.

Spins come relative to the orbital angular momentum L and the line of sight N relative to the total angular
momentum J; the model wants the components of both in the source frame (z along L), then in the frame of J.

Reference:
    Schmidt et al. 2015, arXiv:1408.1810; technical note LIGO-T1500602; frames: LIGO-T1500606.
"""

# B batch, V vectors

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_itwin.waveforms.binary import Binary
from lightning_itwin.waveforms.constants import SOLAR_MASS_S

_SMALL = 1e-15  # components below have no direction, as in lalsimulation
Vectors = tuple[Tensor, Tensor, Tensor]  # x, y, z: (B,), or (V, B) of several


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


def source_frame(binary: Binary, reference_frequency_hz: float) -> tuple[Tensor, Vectors, Vectors]:
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
    zero = torch.zeros_like(phase)
    # the directions of both spins and of L
    vectors = _on_sphere(
        torch.stack((binary.tilt_1_rad, binary.tilt_2_rad, zero)),
        torch.stack((phase, phase + binary.phi_12_rad, zero)),
    )
    sizes = torch.stack((binary.a_1 * m_1**2, binary.a_2 * m_2**2, orbital))
    j_x, j_y, j_z = ((sizes * part).sum(0) for part in vectors)
    polar, azimuth = torch.atan2(torch.hypot(j_x, j_y), j_z), torch.atan2(j_y, j_x)
    # J to z, and L to its azimuth about J
    vectors = _about_z(_about_y(_about_z(vectors, -azimuth), -polar), binary.phi_jl_rad - math.pi)
    orbit_x, orbit_y, orbit_z = (part[2] for part in vectors)
    sight = (zero, binary.theta_jn_rad.sin(), binary.theta_jn_rad.cos())
    inclination = (orbit_y * sight[1] + orbit_z * sight[2]).clamp(-1, 1).acos()
    # L back to z, and the line of sight into the y-z plane
    polar = torch.atan2(torch.hypot(orbit_x, orbit_y), orbit_z)
    azimuth = torch.atan2(orbit_y, orbit_x)
    spins_sight = _together(*((part[0], part[1], one) for part, one in zip(vectors, sight)))
    vectors = _about_y(_about_z(spins_sight, -azimuth), -polar)
    turn = math.pi / 2 - torch.atan2(vectors[1][2], vectors[0][2]) - phase
    spin_1, spin_2, _ = _apart(_about_z(vectors, turn))
    return inclination, _times(binary.a_1, spin_1), _times(binary.a_2, spin_2)


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

    zero = torch.zeros_like(phase)
    sight = _on_sphere(inclination, math.pi / 2 - phase)
    orbit = (zero, zero, zero + 1)
    wave_x = (-inclination.cos() * phase.sin(), -inclination.cos() * phase.cos(), inclination.sin())
    vectors = _about_y(_about_z(_together(*zip(sight, orbit, wave_x)), -azimuth), -polar)
    # the line of sight into the x-z plane
    vectors = _about_z(vectors, -_direction(_apart(vectors)[0]))
    sight, orbit, (x, y, z) = _apart(vectors)
    no_plane = (orbit[0].abs() < _SMALL) & (orbit[1].abs() < _SMALL)
    alpha = torch.where(no_plane, math.pi, torch.atan2(orbit[1], orbit[0]))
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


def _on_sphere(polar: Tensor, azimuth: Tensor) -> Vectors:
    sine = polar.sin()
    return sine * azimuth.cos(), sine * azimuth.sin(), polar.cos()


def _together(x: Sequence[Tensor], y: Sequence[Tensor], z: Sequence[Tensor]) -> Vectors:
    return torch.stack(tuple(x)), torch.stack(tuple(y)), torch.stack(tuple(z))


def _apart(vectors: Vectors) -> list[Vectors]:
    x, y, z = vectors
    return list(zip(x, y, z))


def _times(size: Tensor, vector: Vectors) -> Vectors:
    x, y, z = vector
    return size * x, size * y, size * z


def _direction(vector: Vectors) -> Tensor:
    nowhere = (vector[0].abs() < _SMALL) & (vector[1].abs() < _SMALL)
    return torch.where(nowhere, 0.0, torch.atan2(vector[1], vector[0]))


def _about_z(vectors: Vectors, angle: Tensor) -> Vectors:
    x, y, z = vectors
    cosine, sine = angle.cos(), angle.sin()
    return x * cosine - y * sine, x * sine + y * cosine, z


def _about_y(vectors: Vectors, angle: Tensor) -> Vectors:
    x, y, z = vectors
    cosine, sine = angle.cos(), angle.sin()
    return x * cosine + z * sine, y, z * cosine - x * sine
