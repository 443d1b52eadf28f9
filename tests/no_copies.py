"""Finds copies from the host in what a GPU would do: each of them waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Watched(TorchDispatchMode):
    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)]
        assert all(tensor.device.type == self.device for tensor in tensors), function
        # made of Python's numbers, as a list that is an index is: seen on the CPU alone
        assert function is not torch.ops.aten.lift_fresh.default
        return function(*args, **(kwargs or {}))


@contextmanager
def no_copies_from_the_host(monkeypatch: pytest.MonkeyPatch, device: str = "meta") -> Iterator[None]:
    """Allow tensors on one device alone, and none that is made of Python's or numpy's numbers.

    On ``meta`` it sees every tensor that comes from the CPU; on ``cpu`` lists of numbers too.
    """
    with monkeypatch.context() as patched, _Watched(device):
        for factory in ("tensor", "as_tensor", "from_numpy"):  # which no dispatch shows
            patched.delattr(torch, factory)
        yield
