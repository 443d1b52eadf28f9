"""The Euler angles alpha and epsilon of precession, to next-to-next-to-leading order, as powers of M f."""

# B batch

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_itwin.waveforms.post_newtonian import Powers

_ORDERS = ("-3/3", "-2/3", "-1/3", "log", "1/3")


def precession_angles(eta: Tensor, chi_l: Tensor, chi_p: Tensor) -> tuple[Powers, Powers]:
    """Give the coefficients of alpha and epsilon, without their constants.

    Args:
        eta: symmetric mass ratio, (B,).
        chi_l: aligned spin, all of it put on the heavier body, (B,).
        chi_p: spin in the orbital plane of the heavier body, (B,).

    Returns:
        alpha and epsilon as powers of M f; epsilon is alpha without the in-plane spin.

    Reference:
        Technical note LIGO-T1500602, appendix; Bohe et al. 2013, arXiv:1212.5520.
    """
    return _alpha(eta, chi_l, chi_p), _alpha(eta, chi_l, torch.zeros_like(chi_p))


def at_reference(angle: Powers, mass_frequency: Tensor) -> Tensor:
    """Give the value of an angle at the reference frequency, (B,).

    Args:
        angle: its powers.
        mass_frequency: M f, (B,).
    """
    root = mass_frequency ** (1 / 3)
    values = {"-3/3": 1 / mass_frequency, "-2/3": root**-2, "-1/3": 1 / root, "1/3": root}
    values |= {"log": mass_frequency.log(), "0/3": torch.ones_like(root)}
    return torch.stack([coefficient * values[name] for name, coefficient in angle.items()]).sum(0)


def _alpha(eta: Tensor, chi_l: Tensor, chi_p: Tensor) -> Powers:
    pi = math.pi
    delta = (1 - 4 * eta).sqrt()
    m = (1 + delta) / 2  # the heavier body's share of the mass
    d = -delta
    perpendicular = (chi_p * m**2 / eta) ** 2
    along = chi_l * m**2 / eta
    first = -35 / 192 - 5 / 64 * d / m
    second = -along * (15 / 128 * d / m + 35 / 128)
    third = (
        -5515 / 3072
        - 4555 / 7168 * d / m
        - perpendicular * (15 / 128 * d / m + 35 / 128)
        - 515 / 384 * eta
        - 15 / 256 * eta * (d / m) ** 2
        - 175 / 256 * eta * d / m
    )
    fourth = (
        -35 / 48 * pi
        - 5 / 16 * pi * d / m
        + chi_l * (5 / 16 * d**2 + 5 / 3 * d * m + 2545 / 1152 * m**2)
        - perpendicular * along * (5 / 128 * d / m + 35 / 384)
        + along * (2035 / 21504 * d / m + 2995 / 9216)
    )
    fifth = (
        4.318908476114694
        + 27895885 / 21676032 * d / m
        - perpendicular**2 * (15 / 512 * d / m + 35 / 512)
        + perpendicular * (475 / 6144 - 485 / 14336 * d / m)
        + perpendicular * eta * (15 / 256 * (d / m) ** 2 + 145 / 512 * d / m + 575 / 1536)
        + eta * (39695 / 86016 + 1615 / 28672 * (d / m) ** 2 - 265 / 14336 * d / m)
        + eta**2 * (955 / 576 + 15 / 1024 * (d / m) ** 3 + 35 / 256 * (d / m) ** 2 + 2725 / 3072 * d / m)
        - along * pi * (15 / 16 * d / m + 35 / 16)
        + perpendicular * along**2 * (15 / 128 * d / m + 35 / 128)
        + along**2 * eta * (375 / 256 * (d / m) ** 2 + 1815 / 256 * d / m + 1645 / 192)
    )
    # powers of omega = pi M f
    scales = (1 / pi, pi ** (-2 / 3), pi ** (-1 / 3), 1.0, pi ** (1 / 3))
    terms = (first, second, third, fourth, fifth)
    return {name: scale * term for name, scale, term in zip(_ORDERS, scales, terms)}
