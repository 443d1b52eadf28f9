"""Functions compiled by torch, or left as they are where the compiler fails."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any

import torch


def compiled(function: Any, dynamic: bool | None = False) -> Callable[..., Any]:
    """Compile a function at its next call; with a warning, do without where that fails.

    A code object of its own keeps torch's limit of recompilations a matter of this one alone.

    Args:
        function: a plain function.
        dynamic: as ``torch.compile`` has it.
    """
    fast: Callable[..., Any] | None = None
    failed = False

    def take(*arguments: Any) -> Any:
        nonlocal fast, failed
        if fast is None:  # not sooner: the compiler takes two seconds to import
            own = types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
            fast = torch.compile(own, dynamic=dynamic)
        if not failed:
            try:
                return fast(*arguments)
            except torch._dynamo.exc.TorchDynamoException as error:
                failed = True
                warnings.warn(f"The flow is not compiled: {str(error).splitlines()[0]}", stacklevel=2)
        return function(*arguments)

    return take
