"""Short hashes of weights and settings, so that a writer of results knows which are done."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn


def digest(*parts: Any) -> str:
    """Give a short hash of tensors and plain values."""
    told = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            told.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        else:
            told.update(json.dumps(part, sort_keys=True).encode())
    return told.hexdigest()


def weights_digest(module: nn.Module) -> str:
    """Give a short hash of a module's parameters and buffers."""
    return digest(*(tensor.flatten() for tensor in module.state_dict().values() if tensor.numel()))
