"""What ranks tell each other about a measurement: every function here is a collective call."""

from __future__ import annotations

import atexit
import math
import time
from collections.abc import Sequence

import torch
from lightning.pytorch import Trainer
from torch import distributed

_PAUSE_S = 0.05


def gather(trainer: Trainer, row: Sequence[float], dtype: torch.dtype = torch.float64) -> list[list[float]]:
    """Give the rows of all ranks, by rank.

    Args:
        trainer: a Trainer whose processes are connected.
        row: this rank's numbers, as many as on the other ranks.
        dtype: how they travel; ``torch.int64`` for integers beyond 53 bits.
    """
    if trainer.world_size == 1:
        return [list(row)]
    leave_gloo_in_time()
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


def leave_gloo_in_time() -> None:
    """Have Gloo's threads ended before the interpreter ends; Lightning does so for NCCL alone.

    A thread of Gloo may let go of the last collective's tensors after the main thread has gone on. If the
    interpreter ends meanwhile, that thread cannot get the interpreter's lock any more, and the process
    dies of ``terminate called without an active exception`` behind a training that went well.
    """
    if distributed.is_available() and distributed.is_initialized() and distributed.get_backend() == "gloo":
        atexit.unregister(_leave)
        atexit.register(_leave)


def stay_in_gloo() -> None:
    """Take :func:`leave_gloo_in_time` back: after an exception it could wait for ranks that are gone."""
    atexit.unregister(_leave)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()  # joins the threads, unless a DDP module still holds the group
        time.sleep(_PAUSE_S)  # gives up the interpreter's lock to a thread that waits for it
