"""Buffers of a module, such as the running statistics of a batch norm: each rank's own while it trains."""

from __future__ import annotations

import torch
from torch import nn


def broadcast_buffers(module: nn.Module) -> None:
    """Give every rank the buffers of rank 0, bit for bit, as DDP does at each forward.

    Args:
        module: the same on every rank but for its values.
    """
    for buffer in module.buffers():
        if buffer.numel():
            flat = buffer.detach().contiguous().flatten()
            torch.distributed.broadcast(flat.view(torch.uint8), 0)
            buffer.detach().copy_(flat.reshape(buffer.shape))
