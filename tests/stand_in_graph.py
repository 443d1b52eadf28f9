"""A stand-in for CUDA graphs without a GPU: a replay calls the function anew, into the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves


class StandInGraph:
    def __init__(self, function: Callable[[], Any], made: Any) -> None:
        self._function, self._made = function, made

    def replay(self) -> None:
        for to, of in zip(tree_leaves(self._made), tree_leaves(self._function())):
            if to is not None:
                to.copy_(of)


def record(function: Callable[[], Any], device: torch.device) -> tuple[StandInGraph, Any]:
    made = function()
    return StandInGraph(function, made), made
