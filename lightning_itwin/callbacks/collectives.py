"""What ranks tell each other about a measurement: every function here is a collective call."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from lightning.pytorch import Trainer


def gather(trainer: Trainer, row: Sequence[float], dtype: torch.dtype = torch.float64) -> list[list[float]]:
    """Give the rows of all ranks, by rank.

    Args:
        trainer: a Trainer whose processes are connected.
        row: this rank's numbers, as many as on the other ranks.
        dtype: how they travel; ``torch.int64`` for integers beyond 53 bits.
    """
    if trainer.world_size == 1:
        return [list(row)]
    mine = torch.tensor(row, dtype=dtype, device=trainer.strategy.root_device)
    rows: list[list[float]] = trainer.strategy.all_gather(mine).reshape(trainer.world_size, -1).tolist()
    return rows


def sum_over_ranks(trainer: Trainer, value: float | None) -> float | None:
    """Sum a number over all ranks; None where one of them does not know its part.

    Args:
        trainer: a Trainer whose processes are connected.
        value: this rank's part.
    """
    total = sum(part for [part] in gather(trainer, [math.nan if value is None else value]))
    return None if math.isnan(total) else total
