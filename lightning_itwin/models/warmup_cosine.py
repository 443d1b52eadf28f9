"""A learning rate that rises for a few steps and falls as a cosine to zero at the last one."""

from __future__ import annotations

import math

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, num_steps: float, warmup_steps: int) -> OptimizerLRScheduler:
    """Give an optimizer the schedule, in the form that ``configure_optimizers`` returns.

    ``rate(k) = min(1, (k + 1) / warmup_steps) * (1 + cos(pi k / num_steps)) / 2``, of the optimizer's own.

    Args:
        optimizer: its learning rate is the highest.
        num_steps: steps of the whole training, such as ``trainer.estimated_stepping_batches``; after them
            the rate stays zero. Infinitely many: it never falls.
        warmup_steps: steps of the rise; at most 1 is none.
    """
    last_step = max(1, num_steps)

    def rate(step: int) -> float:
        done = min(1.0, step / last_step)
        return min(1.0, (step + 1) / max(1, warmup_steps)) * 0.5 * (1.0 + math.cos(math.pi * done))

    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": LambdaLR(optimizer, rate), "interval": "step"},
    }
