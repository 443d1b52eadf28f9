"""Communication hooks of DistributedDataParallel, watched from their registration on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from lightning_itwin.meters.communication_calls import CommunicationCalls

_REGISTER = "register_comm_hook"


class CommunicationHooks:
    """Wraps the communication hooks that DDP modules get while it is installed.

    A hook is handed to DDP's reducer, which keeps it in C++, so it has to be wrapped on its way there.

    Args:
        calls: what notes the hooks' times.
    """

    def __init__(self, calls: CommunicationCalls) -> None:
        self._calls = calls
        self._original: Callable[..., Any] | None = None
        self._wrapper: Callable[..., Any] | None = None

    def install(self) -> None:
        """Wrap ``DistributedDataParallel.register_comm_hook``; a second call changes nothing."""
        if self._original is not None or not torch.distributed.is_available():
            return
        original = self._original = _ddp_methods()[_REGISTER]

        @functools.wraps(original)
        def register(module: Any, state: object, hook: Callable[..., Any]) -> Any:
            return original(module, state, self._calls.watch_hook(hook))

        self._wrapper = register
        setattr(torch.nn.parallel.DistributedDataParallel, _REGISTER, register)

    def remove(self) -> None:
        """Undo it; hooks that are registered pass through from now on."""
        if self._original is not None and _ddp_methods()[_REGISTER] is self._wrapper:
            setattr(torch.nn.parallel.DistributedDataParallel, _REGISTER, self._original)
        self._original = self._wrapper = None


def _ddp_methods() -> dict[str, Any]:
    return dict(vars(torch.nn.parallel.DistributedDataParallel))
