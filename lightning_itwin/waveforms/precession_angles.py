"""The Euler angles alpha and epsilon of precession, to next-to-next-to-leading order, as powers of M f."""

# B batch, K functions of power_sums.BASIS

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_itwin.waveforms.power_sums import Powers, as_rows

_ORDERS = ("-3/3", "-2/3", "-1/3", "log", "1/3")


def precession_angles(eta: Tensor, chi_l: Tensor, chi_p: Tensor) -> tuple[Tensor, Tensor]:
    """Give the coefficients of alpha and epsilon, without their constants.

    Args:
        eta: symmetric mass ratio, (B,).
        chi_l: aligned spin, all of it put on the heavier body, (B,).
        chi_p: spin in the orbital plane of the heavier body, (B,).

    Returns:
        alpha and epsilon as sums of powers of M f, (B, K) each; epsilon is alpha without the in-plane spin.

    Reference:
        Technical note LIGO-T1500602, appendix; Bohe et al. 2013, arXiv:1212.5520.
    """
    both = _alpha(eta, chi_l, torch.stack((chi_p, torch.zeros_like(chi_p))))
    alpha, epsilon = as_rows({name: part.expand_as(both["-1/3"]) for name, part in both.items()}).unbind()
    return alpha, epsilon


def _alpha(eta: Tensor, chi_l: Tensor, chi_p: Tensor) -> Powers:
    pi = math.pi
    delta = (1 - 4 * eta).sqrt()
    m = (1 + delta) / 2  # the heavier body's share of the mass
    d, eta_2 = -delta, eta**2
    r, r_2 = d / m, (d / m) ** 2
    share = m**2 / eta
    perpendicular, along = (chi_p * share) ** 2, chi_l * share
    first = -35 / 192 - 5 / 64 * r
    second = -along * (15 / 128 * r + 35 / 128)
    third = (
        -5515 / 3072
        - 4555 / 7168 * r
        - perpendicular * (15 / 128 * r + 35 / 128)
        - 515 / 384 * eta
        - 15 / 256 * eta * r_2
        - 175 / 256 * eta * r
    )
    fourth = (
        -35 / 48 * pi
        - 5 / 16 * pi * r
        + chi_l * (5 / 16 * d**2 + 5 / 3 * d * m + 2545 / 1152 * m**2)
        - perpendicular * along * (5 / 128 * r + 35 / 384)
        + along * (2035 / 21504 * r + 2995 / 9216)
    )
    fifth = (
        4.318908476114694
        + 27895885 / 21676032 * r
        - perpendicular**2 * (15 / 512 * r + 35 / 512)
        + perpendicular * (475 / 6144 - 485 / 14336 * r)
        + perpendicular * eta * (15 / 256 * r_2 + 145 / 512 * r + 575 / 1536)
        + eta * (39695 / 86016 + 1615 / 28672 * r_2 - 265 / 14336 * r)
        + eta_2 * (955 / 576 + 15 / 1024 * r * r_2 + 35 / 256 * r_2 + 2725 / 3072 * r)
        - along * pi * (15 / 16 * r + 35 / 16)
        + perpendicular * along**2 * (15 / 128 * r + 35 / 128)
        + along**2 * eta * (375 / 256 * r_2 + 1815 / 256 * r + 1645 / 192)
    )
    # powers of omega = pi M f
    scales = (1 / pi, pi ** (-2 / 3), pi ** (-1 / 3), 1.0, pi ** (1 / 3))
    terms = (first, second, third, fourth, fifth)
    return {name: scale * term for name, scale, term in zip(_ORDERS, scales, terms)}
