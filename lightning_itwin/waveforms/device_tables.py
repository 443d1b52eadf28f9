"""Tables of constants that live on every device that asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class DeviceTables:
    """Tables that are copied to a device once: a CUDA graph cannot copy from the host.

    Args:
        tables: any shape.
    """

    def __init__(self, *tables: np.ndarray) -> None:
        self._tables = tuple(torch.from_numpy(table) for table in tables)
        self._on = {torch.device("cpu"): self._tables}

    def __getstate__(self) -> dict[str, Any]:
        return {"_tables": self._tables, "_on": {torch.device("cpu"): self._tables}}

    def on(self, device: torch.device) -> tuple[Tensor, ...]:
        """Give the tables on a device."""
        if device not in self._on:
            self._on[device] = tuple(table.to(device) for table in self._tables)
        return self._on[device]
