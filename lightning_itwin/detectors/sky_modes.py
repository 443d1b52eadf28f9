"""The eight places in the sky that one triangle of interferometers can hardly tell apart.

All three interferometers of a triangle lie in one plane and, for the waves that they hear, in one place.
Turning a source by a quarter turn about the vertical flips the sign of every antenna pattern, which a quarter
turn of its polarisation undoes: four places. Mirroring a source in the plane leaves h plus as it is and flips
the sign of h cross, which looking at the binary from the opposite side undoes: twice four places. The
symmetry is broken only by the Earth's curvature between the vertices (1e-3 rad) and by their distance (33
microseconds).

Reference:
    Marsat, Baker and Dal Canton 2021, arXiv:2003.00357, the same modes for LISA; arXiv:2504.21087 for the
    Einstein Telescope.
"""

# B batch, P parameters, M = 8 modes, D detectors

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_itwin.detectors.observation import Observation
from lightning_itwin.detectors.projection import arrival_delays_s
from lightning_itwin.detectors.sidereal_time import sidereal_rate_rad_per_s, sidereal_time_rad

MODES = 8
_CHANGED = ("ra", "dec", "psi", "theta_jn")


def sky_modes(observation: Observation, names: Sequence[str], theta: Tensor) -> Tensor:
    """List the eight versions of each binary that a triangle sees alike.

    Changed are ``ra``, ``dec``, ``psi``, ``theta_jn`` and, where they are there, ``phi_jl`` and
    ``geocent_time`` (the wave passes the centre of the Earth earlier or later if it comes from elsewhere).
    For a precessing binary the mirror symmetry holds only if ``phi_jl`` is there.

    Args:
        observation: of one triangle.
        names: of the columns.
        theta: parameters, (B, P).

    Returns:
        parameters, (B, 8, P) float64: mode k is turned by k mod 4 quarter turns, the modes from 4 on are
        mirrored; mode 0 is ``theta`` itself.

    Raises:
        ValueError: the observation is not one triangle, or a parameter is missing.
    """
    if observation.num_detectors != 3 or len(observation.settings.detectors) != 1:
        raise ValueError(f"Sky modes are those of one triangle such as ET, not of {observation.names}.")
    missing = [name for name in _CHANGED if name not in names]
    if missing:
        raise ValueError(f"The parameter {missing} is missing.")
    column = {name: number for number, name in enumerate(names)}
    theta = theta.to(torch.float64)
    ra, dec, psi = (theta[:, column[name]] for name in ("ra", "dec", "psi"))
    time_s = theta[:, column["geocent_time"]] if "geocent_time" in column else torch.zeros_like(ra)
    gps_s = observation.settings.gps_time_s
    sidereal = sidereal_time_rad(gps_s) + sidereal_rate_rad_per_s(gps_s) * time_s
    source, south, east = _directions(ra - sidereal, dec)
    wave = -south * psi.sin()[:, None] - east * psi.cos()[:, None]
    delay_s = arrival_delays_s(observation.vertex_m, ra, dec, sidereal).mean(1)
    up = _normal(observation.response)
    modes = theta[:, None].repeat(1, MODES, 1)
    for mode in range(1, MODES):
        quarters, mirrored = mode % 4, mode >= 4
        change = _turn_and_mirror(up, quarters * math.pi / 2, mirrored)
        there = source @ change.T
        longitude, latitude = torch.atan2(there[:, 1], there[:, 0]), there[:, 2].clamp(-1, 1).asin()
        _, south, east = _directions(longitude, latitude)
        wave_there = wave @ change.T
        turned = torch.atan2(-(wave_there * south).sum(1), -(wave_there * east).sum(1))
        changed = {
            "ra": (longitude + sidereal) % (2 * math.pi),
            "dec": latitude,
            "psi": (turned + quarters * math.pi / 2) % math.pi,
        }
        if "geocent_time" in column:
            here = arrival_delays_s(observation.vertex_m, changed["ra"], latitude, sidereal).mean(1)
            changed["geocent_time"] = time_s + delay_s - here
        if mirrored:
            changed["theta_jn"] = math.pi - theta[:, column["theta_jn"]]
            if "phi_jl" in column:
                changed["phi_jl"] = (theta[:, column["phi_jl"]] + math.pi) % (2 * math.pi)
        for name, values in changed.items():
            modes[:, mode, column[name]] = values
    return modes


def _directions(longitude: Tensor, latitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    zero = torch.zeros_like(longitude)
    sine, cosine = latitude.sin(), latitude.cos()
    source = torch.stack([longitude.cos() * cosine, longitude.sin() * cosine, sine], dim=1)
    south = torch.stack([longitude.cos() * sine, longitude.sin() * sine, -cosine], dim=1)
    east = torch.stack([-longitude.sin(), longitude.cos(), zero], dim=1)
    return source, south, east


def _normal(response: Tensor) -> Tensor:
    # The direction in which none of the detectors answers.
    _, vectors = torch.linalg.eigh((response @ response).sum(0))
    return vectors[:, 0]


def _turn_and_mirror(up: Tensor, angle: float, mirrored: bool) -> Tensor:
    # Rodrigues' rotation about the vertical, after a mirror in the plane.
    along = torch.outer(up, up)
    one = torch.eye(3, dtype=up.dtype, device=up.device)
    cross = torch.linalg.cross(up.expand(3, 3), one).T
    turn = math.cos(angle) * one + (1 - math.cos(angle)) * along + math.sin(angle) * cross
    return turn @ (one - 2 * along) if mirrored else turn
