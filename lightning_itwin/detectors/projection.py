"""What a detector sees of a source: antenna patterns and arrival times, for batches on any device."""

# B batch, D detectors, F frequencies

from __future__ import annotations

import torch
from torch import Tensor

SPEED_OF_LIGHT_M_PER_S = 299792458.0  # SI, exact


def antenna_patterns(
    response: Tensor, ra_rad: Tensor, dec_rad: Tensor, psi_rad: Tensor, sidereal_time_rad: Tensor
) -> tuple[Tensor, Tensor]:
    """Give how strongly each detector answers to h plus and h cross.

    Args:
        response: detector tensors, (D, 3, 3).
        ra_rad: right ascensions, (B,).
        dec_rad: declinations, (B,).
        psi_rad: polarisation angles, (B,).
        sidereal_time_rad: Greenwich mean sidereal times, (B,).

    Returns:
        F plus and F cross, (B, D) each.

    Reference:
        Anderson et al. 2001, gr-qc/0008066, appendix B, with bilby's sign of psi.
    """
    longitude = ra_rad - sidereal_time_rad
    zero = torch.zeros_like(longitude)
    south = torch.stack(
        [longitude.cos() * dec_rad.sin(), longitude.sin() * dec_rad.sin(), -dec_rad.cos()], dim=-1
    )
    east = torch.stack([-longitude.sin(), longitude.cos(), zero], dim=-1)
    sine, cosine = psi_rad.sin()[:, None], psi_rad.cos()[:, None]
    m = -south * sine - east * cosine
    n = -south * cosine + east * sine
    m_response = torch.einsum("bi,dij->bdj", m, response)
    n_response = torch.einsum("bi,dij->bdj", n, response)
    plus = torch.einsum("bdj,bj->bd", m_response, m) - torch.einsum("bdj,bj->bd", n_response, n)
    cross = 2 * torch.einsum("bdj,bj->bd", m_response, n)  # the tensors are symmetric
    return plus, cross


def arrival_delays_s(vertex_m: Tensor, ra_rad: Tensor, dec_rad: Tensor, sidereal_time_rad: Tensor) -> Tensor:
    """Give how much later than at the centre of the Earth a wave comes to each detector.

    Args:
        vertex_m: positions, (D, 3).
        ra_rad: right ascensions, (B,).
        dec_rad: declinations, (B,).
        sidereal_time_rad: Greenwich mean sidereal times, (B,).

    Returns:
        delays, (B, D); negative where the detector stands towards the source.
    """
    return delays_s(vertex_m, unit_vectors(ra_rad - sidereal_time_rad, dec_rad))


def delays_s(vertex_m: Tensor, to_source: Tensor) -> Tensor:
    """Give the delays of ``arrival_delays_s`` for unit vectors to the sources, (..., 3); (..., D)."""
    return -(to_source @ vertex_m.T) / SPEED_OF_LIGHT_M_PER_S


def unit_vectors(longitude_rad: Tensor, latitude_rad: Tensor) -> Tensor:
    """Give unit vectors to points of a sphere, (...) each; (..., 3)."""
    cosine = latitude_rad.cos()
    return torch.stack(
        [longitude_rad.cos() * cosine, longitude_rad.sin() * cosine, latitude_rad.sin()], dim=-1
    )


def time_shift(delay_s: Tensor, first: int, count: int, step_hz: float, dtype: torch.dtype) -> Tensor:
    """Give exp(-2 pi i f t) for evenly spaced f, without a sine for every one of them.

    With k = 64 a + b the factor of frequency k is the product of that of 64 a and that of b; both are
    computed in float64 and multiplied in the precision that is asked for.

    Args:
        delay_s: t, any shape (...), float64.
        first: number of the first frequency, in steps.
        count: F.
        step_hz: spacing of the frequencies.
        dtype: complex64 or complex128.

    Returns:
        factors, (..., F).
    """
    fine_count = 64
    coarse_count = -(-count // fine_count)
    turns = delay_s.to(torch.float64)[..., None] * step_hz
    steps = torch.arange(max(coarse_count, fine_count), device=delay_s.device, dtype=torch.float64)
    coarse = _unit_circle(turns * (first + fine_count * steps[:coarse_count]), dtype)
    fine = _unit_circle(turns * steps[:fine_count], dtype)
    return (coarse[..., :, None] * fine[..., None, :]).flatten(-2)[..., :count]


def _unit_circle(turns: Tensor, dtype: torch.dtype) -> Tensor:
    # Whole turns are taken off before the angle is made, so that it keeps its digits.
    angle = -2 * torch.pi * (turns - turns.round())
    return torch.complex(angle.cos(), angle.sin()).to(dtype)
