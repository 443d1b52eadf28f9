"""Forecasts whose scores are known: anomalies that fade as an AR(1) does, forecast by what is best."""

# C cells, O origins, L leads, Q levels

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.forecasts import Verification

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
LEADS = (1, 3, 7, 14, 21, 30, 45, 60)
_NORMAL = [NormalDist().inv_cdf(level) for level in LEVELS]
_DROUGHT = [NormalDist().inv_cdf(level) for level in (0.2, 0.1, 0.05)]


def grid(rows: int = 4, columns: int = 5, realizations: int = 1, days: int = 400) -> SimpleNamespace:
    """Give a grid with two cells missing in the middle."""
    there = np.ones((rows, columns), dtype=bool)
    there[rows // 2, columns // 2 : columns // 2 + 2] = False
    row, column = np.nonzero(there)
    return SimpleNamespace(
        lat=np.linspace(47.5, 45.8, rows),
        lon=np.linspace(10.0, 12.6, columns),
        row=row,
        column=column,
        realizations=realizations,
        times=np.datetime64("2001-01-01", "D") + np.arange(days),
        dims=("lat", "lon"),
    )


@dataclass
class Batch:
    """What ``Verification.update`` takes, by its names."""

    quantiles: Tensor
    target: Tensor
    series: Tensor
    origin: Tensor
    year_fraction: Tensor
    probability_below: Tensor
    thresholds: Tensor
    references: dict[str, Tensor]
    state: Tensor
    median_value: Tensor
    target_value: Tensor

    def part(self, index: slice) -> dict[str, object]:
        """Give some rows as keywords."""
        found = {name: value[index] for name, value in vars(self).items() if name != "references"}
        return found | {"references": {name: value[index] for name, value in self.references.items()}}


def batch(
    cells: int = 20, origins: int = 30, seed: int = 0, width: float = 1.0, memory_days: float = 25.0
) -> Batch:
    """Draw forecasts, origins after one another, each of all cells.

    Args:
        cells, origins: how many.
        seed: of the truth.
        width: of the forecast's spread; 1 is calibrated.
        memory_days: of the anomalies; those of cells differ.
    """
    generator = torch.Generator().manual_seed(seed)
    size, leads = cells * origins, torch.tensor(LEADS, dtype=torch.float32)
    series = torch.arange(cells).repeat(origins)
    origin = (10 * torch.arange(origins)).repeat_interleave(cells)
    memory = memory_days * (0.5 + torch.arange(cells) / cells)
    rho = torch.exp(-leads / memory.unsqueeze(-1))[series]
    regional = torch.randn(origins, generator=generator).repeat_interleave(cells)
    state = 0.8 * regional + 0.6 * torch.randn(size, generator=generator)
    spread = (1 - rho**2).sqrt()
    target = rho * state.unsqueeze(-1) + spread * torch.randn(size, len(LEADS), generator=generator)
    normal, drought = torch.tensor(_NORMAL), torch.tensor(_DROUGHT)
    middle = (rho * state.unsqueeze(-1)).unsqueeze(-1)
    quantiles = middle + width * spread.unsqueeze(-1) * normal
    damped = 0.9 * middle + (1 - 0.81 * rho**2).sqrt().unsqueeze(-1) * normal
    below = torch.special.ndtr((drought - middle) / (width * spread.unsqueeze(-1)))
    days = (origin.unsqueeze(-1) + leads) % 365 / 365
    target[::11, 2] = torch.nan
    return Batch(
        quantiles=quantiles,
        target=target,
        series=series,
        origin=origin,
        year_fraction=days,
        probability_below=below,
        thresholds=drought.expand(size, len(LEADS), 3),
        references={"climatology": normal.expand(quantiles.shape), "damped_persistence": damped},
        state=state,
        median_value=0.3 + 0.05 * quantiles[..., 6],
        target_value=0.3 + 0.05 * target,
    )


def verification(cells: int | None = 20) -> Verification:
    """Give a verification of such batches."""
    return Verification(LEVELS, LEADS, cells=cells)
