"""A stand-in for CUDA graphs without a GPU: a replay calls the function anew, into the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves


class StandInGraph:
    """As a graph it does what it did when it was recorded, whatever autocast and gradients are about."""

    def __init__(self, function: Callable[[], Any], made: Any, device: torch.device) -> None:
        self._function, self._made = function, made
        self._with_gradients, kind = torch.is_grad_enabled(), device.type
        self._cast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    def replay(self) -> None:
        kind, dtype, enabled = self._cast
        cast = torch.autocast(kind, dtype, enabled=enabled, cache_enabled=False)
        with torch.set_grad_enabled(self._with_gradients), cast:
            anew = self._function()
        for to, of in zip(tree_leaves(self._made), tree_leaves(anew)):
            if to is not None:
                to.data.copy_(of.data)


def record(
    function: Callable[[], Any],
    device: torch.device,
    *,
    warm_up: Callable[[], object] | None = None,
    beside: StandInGraph | None = None,
) -> tuple[StandInGraph, Any]:
    if beside is None:
        (warm_up or function)()
    made = function()
    return StandInGraph(function, made, device), made
