"""Sums over powers of the frequency, of a whole batch: amplitudes, phases and angles of a waveform.

``sum_k c_k b_k(M f)``: the functions b_k are the same for all binaries and for all that is a sum of them, so
that a batch is a matrix of coefficients, (B, K), and its values are one product of matrices.
"""

# B batch, F frequencies, K functions in the order of BASIS

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.waveforms.device_tables import DeviceTables

Powers = dict[str, Tensor]  # "5/3": the coefficient of (M f)^(5/3), "log": of log(M f); (B,) each

_THIRDS = (-9, -5, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
BASIS = (*(f"{k}/3" for k in _THIRDS), "3/4", "log", "1/3 log")

# every function is x^p or x^p log x
_POWER = np.array([*(k / 3 for k in _THIRDS), 0.75, 0.0, 1 / 3])
_WITH_LOG = np.array([float("log" in name) for name in BASIS])
_TO_PLAIN = np.zeros((len(BASIS), len(BASIS)))  # log(M f) = log M + log f
for _log, _plain in (("log", "0/3"), ("1/3 log", "1/3")):
    _TO_PLAIN[BASIS.index(_log), BASIS.index(_plain)] = 1.0
_LINE = np.eye(len(BASIS))[[BASIS.index("0/3"), BASIS.index("3/3")]]
_TABLES = DeviceTables(_POWER, _TO_PLAIN, _LINE)
# b(x) and its slope are x^p (q + r log x) each, of these p, q and r
_VALUE = DeviceTables(_POWER, 1 - _WITH_LOG, _WITH_LOG)
_SLOPE = DeviceTables(_POWER - 1, _POWER + _WITH_LOG * (1 - _POWER), _WITH_LOG * _POWER)


def power_basis(frequency: Tensor) -> Tensor:
    """Give the functions of a frequency.

    Args:
        frequency: in any unit, float64, (F,).

    Returns:
        powers f^(k/3), f^(3/4), log f and f^(1/3) log f, in the order of ``BASIS``, (K, F).
    """
    root, log = frequency ** (1 / 3), frequency.log()
    powers = {0: torch.ones_like(frequency), 1: root}
    for k in range(2, 10):
        powers[k] = powers[k - 1] * root
    for k in (-1, -2, -3, -5, -9):
        powers[k] = 1 / powers[-k]
    three_quarters = (frequency * frequency.sqrt()).sqrt()
    return torch.stack([*(powers[k] for k in _THIRDS), three_quarters, log, root * log])


def as_rows(parts: Powers) -> Tensor:
    """Write coefficients in the order of ``BASIS``, (B, K)."""
    zero = torch.zeros_like(next(iter(parts.values())))
    return torch.stack([parts.get(name, zero) for name in BASIS], dim=-1)


def per_frequency(rows: Tensor, mass: Tensor) -> Tensor:
    """Turn coefficients of functions of M f into those of f.

    Args:
        rows: coefficients, (..., B, K).
        mass: M, in the inverse unit of f, (B,).
    """
    power, to_plain, _ = _TABLES.on(mass.device)
    mass = mass[:, None]
    return (rows + (rows @ to_plain) * mass.log()) * mass**power


def line(constant: Tensor, slope: Tensor) -> Tensor:
    """Give the coefficients of ``constant + slope x``, (B, K), of (B,) each."""
    _, _, of_line = _TABLES.on(slope.device)
    return torch.stack((constant, slope), dim=-1) @ of_line


def value_at(rows: Tensor, x: Tensor) -> Tensor:
    """Give the values of sums.

    Args:
        rows: coefficients, (B, K).
        x: M f, (B,), or (B, N) for several values each.

    Returns:
        of the shape of ``x``.
    """
    return _summed(rows, x, _VALUE)


def slope_at(rows: Tensor, x: Tensor) -> Tensor:
    """Give the slopes of sums; as ``value_at``."""
    return _summed(rows, x, _SLOPE)


def _summed(rows: Tensor, x: Tensor, tables: DeviceTables) -> Tensor:
    power, plain, with_log = tables.on(x.device)
    x, rows = x[..., None], rows if x.ndim == 1 else rows[:, None]
    return (rows * x**power * (plain + with_log * x.log())).sum(-1)


class Joint:
    """A place M f, the same for all binaries, where two sums meet.

    Args:
        x: M f.
    """

    def __init__(self, x: float) -> None:
        each = torch.eye(len(BASIS), dtype=torch.float64)
        at = torch.full((len(BASIS),), x, dtype=torch.float64)
        self._table = DeviceTables(torch.stack((value_at(each, at), slope_at(each, at)), dim=1).numpy())

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Give values and slopes of sums there, (B,) each, of coefficients (B, K)."""
        (table,) = self._table.on(rows.device)
        value, slope = (rows @ table).unbind(-1)
        return value, slope
