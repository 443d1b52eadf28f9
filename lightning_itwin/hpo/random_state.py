"""The random numbers of one rank, kept beside a checkpoint: a resumed training draws what it would have."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch


def save(path: Path, steps: int) -> None:
    """Write the state of this process's generators.

    Args:
        path: the file.
        steps: optimizer steps so far, by which a reader knows that it fits the checkpoint.
    """
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = {
        "steps": steps,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), torch.from_numpy(np.array(keys, dtype=np.int64)), position, has_gauss, cached],
    }
    torch.save(state, path)


def restore(path: Path, steps: int) -> bool:
    """Set this process's generators; say whether the file was there and fits.

    Args:
        path: the file.
        steps: optimizer steps of the checkpoint that was loaded.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except FileNotFoundError:
        return False
    if state["steps"] != steps:
        return False
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count() and state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    return True
