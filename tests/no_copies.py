"""Finds copies from the host in what a GPU would do: each of them waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _MetaAlone(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)]
        assert all(tensor.device.type == "meta" for tensor in tensors), function
        return function(*args, **(kwargs or {}))


@contextmanager
def no_copies_from_the_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow tensors on the device ``meta`` alone, and none that is made of Python's or numpy's numbers."""
    with monkeypatch.context() as patched, _MetaAlone():
        for factory in ("tensor", "as_tensor", "from_numpy"):  # which no dispatch shows
            patched.delattr(torch, factory)
        yield
