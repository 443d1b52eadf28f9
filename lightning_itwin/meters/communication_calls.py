"""What a host process does to communicate, seen by wrapping the calls that do it.

A trace does not show all of it: Horovod's background thread leaves nothing in PyTorch's profiler, ZeRO waits
within autograd's hooks, where the wait looks like the operator around it, and DDP waits for its buckets in
C++ at the end of backward. So for the time of a window these calls are wrapped and their times noted:

- the collectives of ``torch.distributed`` and ``deepspeed.comm``, ``Work.wait`` and the futures' ``wait``;
- Horovod's operations, ``synchronize``, and the flight of each handle from its launch to its end;
- communication hooks of DDP, and the flight of their futures;
- ``torch.autograd.backward``: from the moment at which autograd has run the whole graph until it returns.

Nothing is changed in what they do, and nothing is wrapped outside a window.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from lightning_itwin.meters.collective_names import (
    COLLECTIVE_MODULES,
    COLLECTIVES,
    HOROVOD_CALLS,
    HOROVOD_LAUNCHES,
    HOROVOD_MODULES,
)
from lightning_itwin.meters.communication import HostCommunication
from lightning_itwin.meters.intervals import intervals

Call = Callable[..., Any]
Target = tuple[Any, str, Callable[[Call], Call]]  # owner, name, what wraps it


class CommunicationCalls:
    """Notes, between :meth:`start` and :meth:`stop`, the calls of this process that communicate.

    >>> calls = CommunicationCalls()
    >>> calls.start()
    >>> calls.stop().operations
    0
    """

    def __init__(self) -> None:
        self._noting = False
        self._training_thread = 0
        self._patches: list[tuple[Any, str, Any, Any]] = []
        self._wrappers: dict[int, Any] = {}
        self._forget()

    def start(self, optimizers: Iterable[Any] = (), *, on_gpu: bool = False) -> None:
        """Wrap the calls of the libraries that are loaded by now; this thread is the training's.

        Args:
            optimizers: the training's; Horovod's among them wait in their own ``synchronize``.
            on_gpu: the training runs on a GPU, where kernels and Gloo's threads tell of all communication but
                Horovod's, so that nothing else is wrapped.
        """
        self._forget()
        self._training_thread = threading.get_ident()
        if not on_gpu:
            self._patch_all(self._torch_targets())
        self._patch_all(self._horovod_targets(optimizers))
        self._noting = True

    def stop(self) -> HostCommunication:
        """Undo the wrapping and tell what was seen; what is still in flight ends now."""
        self._noting = False
        now = time.time_ns()
        for owner, name, original, wrapper in reversed(self._patches):
            # Whoever has wrapped our wrapper meanwhile keeps it; it passes everything through from now on.
            if _get(owner, name) is wrapper:
                _set(owner, name, original)
        self._patches.clear()
        self._wrappers.clear()
        still = [*self._flying.values(), *self._handles.values()]
        flights = [*self._flights, *((start, now) for start in still)]
        seen = HostCommunication(
            blocking=intervals(self._blocking),
            elsewhere=intervals(self._elsewhere),
            flights=intervals(flights),
            drains=intervals(self._drains),
            operations=self._operations,
        )
        self._forget()
        return seen

    def look(self) -> None:
        """Look which of Horovod's operations are done; it does not say so itself."""
        if self._handles:
            self._land_finished()

    @property
    def notes(self) -> int:
        """Number of times noted so far: what it cost to note them grows with it."""
        return len(self._blocking) + len(self._elsewhere) + len(self._flights) + len(self._drains)

    def watch_hook(self, hook: Call) -> Call:
        """Wrap a communication hook of DDP, for as long as it lives.

        The time in the hook is communication, and so is the flight from its start until its future is done.
        """

        @functools.wraps(hook)
        def watched(state: object, bucket: Any) -> Any:
            if not self._noting:
                return hook(state, bucket)
            start = time.time_ns()
            try:
                future = hook(state, bucket)
            finally:
                self._note(start)
            if (
                bucket.buffer().device.type == "cpu"
            ):  # on a GPU a future tells of launches, kernels of the rest
                flying = self._flying
                flying[key := object()] = start
                flights = self._flights
                future.add_done_callback(lambda _: flights.append((flying.pop(key), time.time_ns())))
            return future

        return watched

    def _forget(self) -> None:
        # New lists: a callback of an earlier window may still be under way.
        self._blocking: list[tuple[int, int]] = []
        self._elsewhere: list[tuple[int, int]] = []
        self._flights: list[tuple[int, int]] = []
        self._drains: list[tuple[int, int]] = []
        self._flying: dict[object, int] = {}  # start of each future's flight
        self._handles: dict[int, int] = {}  # start of each flight of Horovod's
        self._operations = 0

    def _torch_targets(self) -> Iterator[Target]:
        for owner in _loaded(COLLECTIVE_MODULES):
            for name in COLLECTIVES:
                yield owner, name, self._blocking_call
        if torch.distributed.is_available():
            yield torch.distributed.Work, "wait", self._blocking_call
        yield torch.futures.Future, "wait", self._drain
        yield torch._C.Future, "wait", self._drain
        yield torch.autograd, "backward", self._backward

    def _horovod_targets(self, optimizers: Iterable[Any]) -> Iterator[Target]:
        for owner in _loaded(HOROVOD_MODULES):
            for name in HOROVOD_CALLS:
                yield owner, name, self._blocking_call
            for name in HOROVOD_LAUNCHES:
                yield owner, name, self._launch
            yield owner, "synchronize", self._synchronize
        for optimizer in optimizers:
            if hasattr(optimizer, "synchronize") and hasattr(optimizer, "_handles"):
                yield optimizer, "synchronize", self._blocking_call

    def _patch_all(self, targets: Iterable[Target]) -> None:
        for owner, name, wrap in targets:
            original = _get(owner, name)
            if original is None:
                continue
            if id(original) not in self._wrappers:
                self._wrappers[id(original)] = wrap(original)
            wrapper = self._wrappers[id(original)]
            self._patches.append((owner, name, vars(owner).get(name), wrapper))
            _set(owner, name, wrapper)

    def _note(self, start_ns: int) -> None:
        own = threading.get_ident() == self._training_thread
        (self._blocking if own else self._elsewhere).append((start_ns, time.time_ns()))

    def _blocking_call(self, call: Call) -> Call:
        @functools.wraps(call)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            if not self._noting:
                return call(*args, **kwargs)
            start = time.time_ns()
            try:
                return call(*args, **kwargs)
            finally:
                self._note(start)

        return blocking

    def _drain(self, call: Call) -> Call:
        @functools.wraps(call)
        def waiting(*args: Any, **kwargs: Any) -> Any:
            if not self._noting or threading.get_ident() != self._training_thread:
                return call(*args, **kwargs)
            start = time.time_ns()
            try:
                return call(*args, **kwargs)
            finally:
                self._drains.append((start, time.time_ns()))

        return waiting

    def _backward(self, backward: Call) -> Call:
        @functools.wraps(backward)
        def watched(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._noting or threading.get_ident() != self._training_thread:
                return backward(tensors, *args, **kwargs)
            self.look()
            graph_done: list[int] = []
            hook = _call_when_graph_is_done(tensors, lambda: graph_done.append(time.time_ns()))
            try:
                return backward(tensors, *args, **kwargs)
            finally:
                if hook is not None:
                    hook.remove()
                self._drains.extend((start, time.time_ns()) for start in graph_done)

        return watched

    def _launch(self, launch: Call) -> Call:
        blocking = self._blocking_call(launch)

        @functools.wraps(launch)
        def launched(*args: Any, **kwargs: Any) -> Any:
            if not self._noting:
                return launch(*args, **kwargs)
            self.look()
            start = time.time_ns()
            handle = blocking(*args, **kwargs)
            if handle is not None:
                self._handles[handle] = start
                self._operations += 1
            return handle

        return launched

    def _synchronize(self, synchronize: Call) -> Call:
        blocking = self._blocking_call(synchronize)

        @functools.wraps(synchronize)
        def synchronized(handle: int) -> Any:
            if not self._noting:
                return synchronize(handle)
            self.look()
            try:
                return blocking(handle)
            finally:
                self._land(handle)

        return synchronized

    def _land(self, handle: int) -> None:
        start = self._handles.pop(handle, None)
        if start is not None:
            self._flights.append((start, time.time_ns()))

    def _land_finished(self) -> None:
        from horovod.torch.mpi_ops import poll

        while self._handles:
            oldest = next(iter(self._handles))
            try:
                if not poll(oldest):
                    return
            except (ValueError, RuntimeError):  # someone waited for it behind our back
                pass
            self._land(oldest)


def _call_when_graph_is_done(tensors: Any, callback: Callable[[], None]) -> Any:
    # Autograd runs queued callbacks in order once the graph is done. The root's hook runs first, so ours
    # comes before the one in which DDP waits for its buckets.
    roots = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
    root = next((root for root in roots if isinstance(root, torch.Tensor) and root.requires_grad), None)
    if root is None:
        return None

    def queue(_: torch.Tensor) -> None:
        torch.autograd.Variable._execution_engine.queue_callback(callback)

    return root.register_hook(queue)


def _loaded(names: Iterable[str]) -> Iterator[Any]:
    return (sys.modules[name] for name in names if name in sys.modules)


def _get(owner: Any, name: str) -> Any:
    return vars(owner).get(name) if isinstance(owner, type) else getattr(owner, name, None)


def _set(owner: Any, name: str, value: Any) -> None:
    if value is None:
        delattr(owner, name)
    else:
        setattr(owner, name, value)
