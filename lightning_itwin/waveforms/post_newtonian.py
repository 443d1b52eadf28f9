"""Post-Newtonian amplitude and phase of the inspiral of aligned spins, as IMRPhenomD builds on them.

Reference:
    Khan et al. 2016, arXiv:1508.07253, appendix B.
"""

# B batch

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_itwin.waveforms.power_sums import Powers

_EULER_GAMMA = 0.57721566490153286


def inspiral_amplitude(eta: Tensor, chi_1: Tensor, chi_2: Tensor) -> Powers:
    """Give the post-Newtonian amplitude over its leading term; appendix B of the paper.

    Args:
        eta: symmetric mass ratio, (B,).
        chi_1: aligned spin of the heavier body, (B,).
        chi_2: aligned spin of the lighter body, (B,).
    """
    pi = math.pi
    delta = (1 - 4 * eta).sqrt()
    chi, deltas = torch.stack((chi_1, chi_2)), torch.stack((delta, -delta))  # of both bodies
    double, chi_square, product, eta_2 = 1 + deltas, chi**2, chi_1 * chi_2, eta**2
    squares, weighted = chi_square.sum(0), (double * chi_square).sum(0)
    third = (chi * (81 * double - 44 * eta)).sum(0) / 48
    fourth = (
        -27312085.0
        - 10287648 * weighted
        + 24 * eta * (-1975055 + 857304 * squares - 994896 * product)
        + 35371056 * eta_2
    ) / 8128512
    fifth = (
        (chi * (285197 * double - 4 * (91902 + 1579 * deltas) * eta - 35632 * eta_2)).sum(0)
        + 42840 * (4 * eta - 1) * pi
    ) / 32256
    sixth = (
        336 * eta_2 * (-3248849057.0 + 2943675504 * squares - 3339284256 * product)
        + 324322727232 * eta**3
        + 7 * (-177520268561 + 107414046432 * weighted + 11087290368 * pi * (double * chi).sum(0))
        - 12
        * eta
        * (
            -545384828789
            - 176491177632 * product
            + 77616 * (chi_square * (2610335 + 995766 * deltas)).sum(0)
            + 5841690624 * pi * (chi_1 + chi_2)
            + 21384760320 * pi**2
        )
    ) / 60085960704
    return {
        "0/3": torch.ones_like(eta),
        "2/3": pi ** (2 / 3) * (-969 + 1804 * eta) / 672,
        "3/3": pi * third,
        "4/3": pi ** (4 / 3) * fourth,
        "5/3": pi ** (5 / 3) * fifth,
        "6/3": pi**2 * sixth,
    }


def inspiral_phase(eta: Tensor, chi_1: Tensor, chi_2: Tensor) -> Powers:
    """Give the post-Newtonian phase to 3.5 orders, without the spin-spin term of the third; appendix B.

    Args:
        eta: symmetric mass ratio, (B,).
        chi_1: aligned spin of the heavier body, (B,).
        chi_2: aligned spin of the lighter body, (B,).
    """
    pi = math.pi
    delta = (1 - 4 * eta).sqrt()
    m, chi = (1 + torch.stack((delta, -delta))) / 2, torch.stack((chi_1, chi_2))  # of both bodies
    spin, eta_2, eta_3 = m * chi, eta**2, eta**3
    spin_3 = (spin * (25 + 38 / 3 * m)).sum(0)
    spin_4 = -98.75 * eta * chi_1 * chi_2 - 50.625 * (spin**2).sum(0)
    spin_5 = -(spin * (13915 / 84 - 10 / 3 * eta + m * (12760 / 81 + 170 / 9 * eta))).sum(0)
    spin_6 = pi * (spin * (1490 / 3 + 260 * m)).sum(0)
    spin_7 = (
        spin
        * (
            -170978035 / 48384
            + 2876425 / 672 * eta
            + 4735 / 144 * eta_2
            + m * (-7189233785 / 1524096 + 458555 / 3024 * eta - 5345 / 72 * eta_2)
        )
    ).sum(0)
    order = {
        0: torch.ones_like(eta),
        2: 5 / 9 * (743 / 84 + 11 * eta),
        3: spin_3 - 16 * pi,
        4: 5 / 72 * (3058673 / 7056 + 5429 / 7 * eta + 617 * eta_2) + spin_4,
        5: 5 / 9 * pi * (7729 / 84 - 13 * eta) + spin_5,
        6: 11583231236531 / 4694215680
        - 640 / 3 * pi**2
        - 6848 / 21 * (_EULER_GAMMA + math.log(4))
        + eta * (-15737765635 / 3048192 + 2255 / 12 * pi**2)
        + 76055 / 1728 * eta_2
        - 127825 / 1296 * eta_3
        + spin_6,
        7: pi * (77096675 / 254016 + 378515 / 1512 * eta - 74045 / 756 * eta_2) + spin_7,
    }
    # Terms in log v, v = (pi M f)^(1/3): 3 times the fifth order, and the sixth.
    scale = 3 / (128 * eta)
    log_5, log_6 = order[5], -6848 / 63 * torch.ones_like(eta)
    order[5] = order[5] + log_5 * math.log(pi)
    order[6] = order[6] + log_6 * math.log(pi)
    phase = {f"{k - 5}/3": scale * value * pi ** ((k - 5) / 3) for k, value in order.items()}
    phase["0/3"] = phase["0/3"] - pi / 4
    return phase | {"log": scale * log_5, "1/3 log": scale * log_6 * pi ** (1 / 3)}
