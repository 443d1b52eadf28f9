"""The value over two hyperparameters: a smooth mean of what was tried near a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROWS = 80
_FEWEST = 8
_LEAST_WEIGHT = 0.12  # of the nearest configuration: beyond two bandwidths nothing was tried


@dataclass(frozen=True, kw_only=True)
class Band:
    """A rectangle of one level of the surface; positions from 0 to 1.

    Args:
        x0, x1, y0, y1: its edges.
        level: number of the level, 0 the best.
    """

    x0: float
    x1: float
    y0: float
    y1: float
    level: int


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The value over two axes, in levels.

    Args:
        bands: what is drawn.
        edges: values between the levels, from the best to the worst.
    """

    bands: tuple[Band, ...]
    edges: tuple[float, ...]


def surface(
    x: Sequence[float],
    y: Sequence[float],
    values: Sequence[float],
    sign: float,
    cells: tuple[int | None, int | None] = (None, None),
    levels: int = 8,
) -> Surface | None:
    """Smooth values over the unit square with a Gaussian kernel; None where there are fewer than 8.

    Args:
        x, y: positions, 0 to 1.
        values: the best value of each configuration.
        sign: 1 where lower values are better, else -1.
        cells: number of choices along x and y; None for a range.
        levels: into which the values are cut.

    Reference:
        E. A. Nadaraya, Theory of Probability and its Applications 9, 141 (1964); bandwidth by D. W. Scott's
        rule, n ** (-1 / 6), for points spread evenly.
    """
    if len(values) < _FEWEST:
        return None
    told = np.asarray(values, dtype=float)
    logs = np.log(told) if told.min() > 0 and told.max() > 3 * told.min() else told
    width = max(0.06, 0.29 * len(values) ** (-1 / 6))
    across, up = _centres(cells[0]), _centres(cells[1])
    weights = _kernel(np.asarray(x), across, cells[0], width)[:, None, :]
    weights = weights * _kernel(np.asarray(y), up, cells[1], width)[None, :, :]
    total = weights.sum(axis=2)
    mean = (weights * logs).sum(axis=2) / np.maximum(total, 1e-300)
    known = weights.max(axis=2) > _LEAST_WEIGHT
    if not known.any():
        return None
    edges = np.unique(np.quantile(mean[known], np.linspace(0, 1, levels + 1)[1:-1]))
    level = np.searchsorted(edges, mean)
    if sign < 0:
        level = len(edges) - level
    shown = edges if sign > 0 else edges[::-1]
    return Surface(
        bands=tuple(_runs(np.where(known, level, -1))),
        edges=tuple(float(edge) for edge in (np.exp(shown) if logs is not told else shown)),
    )


def _centres(cells: int | None) -> np.ndarray:
    count = cells or ROWS
    return (np.arange(count) + 0.5) / count


def _kernel(points: np.ndarray, centres: np.ndarray, cells: int | None, width: float) -> np.ndarray:
    if cells is not None:  # one choice says little about another
        return np.where(np.abs(points[None, :] - centres[:, None]) < 1e-9, 1.0, 0.05)
    distance = (points[None, :] - centres[:, None]) / width
    kernel: np.ndarray = np.exp(-0.5 * distance**2)
    return kernel


def _runs(level: np.ndarray) -> list[Band]:
    """Join neighbours of one level along x."""
    across, up = level.shape
    found = []
    for row in range(up):
        start = 0
        for column in range(1, across + 1):
            if column < across and level[column, row] == level[start, row]:
                continue
            if level[start, row] >= 0:
                found.append(
                    Band(
                        x0=start / across,
                        x1=column / across,
                        y0=row / up,
                        y1=(row + 1) / up,
                        level=int(level[start, row]),
                    )
                )
            start = column
    return found
