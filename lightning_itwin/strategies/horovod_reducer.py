"""Gradients averaged over all ranks by Horovod, while backward still runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Horovod 0.28.1 has no kernel for these in torch; their gradients travel as another type of the same values.
_AVERAGED_AS = {torch.bfloat16: torch.float32}


class HorovodReducer:
    r"""Averages gradients over ranks: :math:`g = \frac{1}{N} \sum_{r=1}^{N} g_r`.

    As soon as backward has accumulated a gradient, Horovod begins to average it (``allreduce_async_`` with
    ``op=Average``); :meth:`synchronize` waits for all of them at the end of that backward. The gradients are
    then the same on all ranks, before anything clips or uses them, whichever optimizer owns them and however
    many there are. The user's optimizers stay untouched: Horovod's ``DistributedOptimizer`` makes new ones
    and counts backward passes, which manual optimisation with several optimizers breaks.

    A parameter that backward has reached on some ranks only is averaged with zeros of the others; one that it
    has reached on no rank keeps ``grad=None``, as in a single process. The ranks agree on it by one small
    all-reduce beside the gradients.

    Args:
        horovod: the module ``horovod.torch``, initialised.
        parameters: name and parameter, the same names on every rank.
    """

    def __init__(self, horovod: Any, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        self._horovod = horovod
        self._parameters = dict(parameters)
        self._active = horovod.size() > 1
        self._hooks: dict[str, Any] = {}
        self._fresh: set[str] = set()
        self._in_flight: dict[str, Callable[[], None]] = {}
        first = next(iter(self._parameters.values()), torch.zeros(0))
        self._flag_type = _wire_type(first.dtype) if first.is_floating_point() else torch.float32
        self._flag_device = first.device
        self._enabled = True
        self._managed = False
        self._callback_queued = False
        self.attach()

    def attach(self) -> None:
        """Watch every parameter that requires a gradient by now; those that are watched stay so."""
        if not self._active:
            return
        for name, parameter in self._parameters.items():
            if parameter.requires_grad and name not in self._hooks:
                hook = self._make_hook(name)
                self._hooks[name] = parameter.register_post_accumulate_grad_hook(hook)

    def detach(self) -> None:
        """Watch no parameter any more."""
        for hook in self._hooks.values():
            hook.remove()
        self._hooks.clear()

    @contextmanager
    def backward_pass(self) -> Iterator[None]:
        """Average what the backward inside reaches, also where it reaches nothing on this rank."""
        self.attach()
        self._managed = True
        try:
            yield
        finally:
            self._managed = False
        if self._enabled:
            self.synchronize()

    @contextmanager
    def accumulation(self) -> Iterator[None]:
        """Leave gradients as they are on each rank; the first backward after this averages their sum."""
        self._enabled = False
        try:
            yield
        finally:
            self._enabled = True

    def synchronize(self) -> None:
        """Wait until every gradient is the average over ranks; every rank calls it equally often."""
        if not self._active:
            return
        flags = [(name in self._fresh, self._is_sparse(name)) for name in self._parameters]
        # Horovod fuses it with gradients of the same type, device and operation: no round of its own.
        reached = torch.tensor(flags, dtype=self._flag_type, device=self._flag_device)
        reached_handle = self._horovod.allreduce_async_(reached, name="reached", op=self._horovod.Average)
        for name in self._parameters:
            if name in self._fresh and name not in self._in_flight:
                self._launch(name)
        idle = [name for name, p in self._parameters.items() if p.requires_grad and name not in self._fresh]
        if idle:  # who has reached all of its parameters need not wait for what the others have reached
            self._horovod.synchronize(reached_handle)
            elsewhere = dict(zip(self._parameters, reached.tolist()))
            for name in idle:
                anywhere, sparse = elsewhere[name]
                if anywhere:
                    self._launch(name, sparse=bool(sparse))
        for land in self._in_flight.values():
            land()
        if not idle:
            self._horovod.synchronize(reached_handle)
        self._in_flight.clear()
        self._fresh.clear()

    def _is_sparse(self, name: str) -> bool:
        gradient = self._parameters[name].grad
        return name in self._fresh and gradient is not None and gradient.is_sparse

    def _make_hook(self, name: str) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            if name in self._in_flight:
                raise RuntimeError(
                    f"The gradient of {name!r} was accumulated again while Horovod averaged it: backward "
                    "reached it twice. With activation checkpointing, say use_reentrant=False."
                )
            self._fresh.add(name)
            if not self._enabled:
                return
            if not self._is_sparse(name):
                self._launch(name)
            if not self._managed and not self._callback_queued:
                # ``loss.backward()`` without the strategy's knowledge, as in manual optimisation; DDP and
                # FSDP end their reduction by the same callback.
                self._callback_queued = True
                torch.autograd.Variable._execution_engine.queue_callback(self._end_of_backward)

        return hook

    def _end_of_backward(self) -> None:
        self._callback_queued = False
        self.synchronize()

    def _launch(self, name: str, sparse: bool = False) -> None:
        parameter = self._parameters[name]
        gradient = None if parameter.grad is None else parameter.grad.detach()
        if gradient is None:
            gradient = _no_gradient(parameter, sparse)
        launch = self._launch_sparse if gradient.is_sparse else self._launch_dense
        self._in_flight[name] = launch(f"gradient.{name}", parameter, gradient)

    def _launch_dense(self, key: str, parameter: nn.Parameter, gradient: Tensor) -> Callable[[], None]:
        numbers = torch.view_as_real(gradient) if gradient.is_complex() else gradient
        wire = numbers
        if numbers.dtype in _AVERAGED_AS or not numbers.is_contiguous():
            wire = numbers.to(_wire_type(numbers.dtype)).contiguous()
        handle = self._horovod.allreduce_async_(wire, name=key, op=self._horovod.Average)

        def land() -> None:
            self._horovod.synchronize(handle)
            if wire is not numbers:
                numbers.copy_(wire)
            if parameter.grad is None:
                parameter.grad = gradient

        return land

    def _launch_sparse(self, key: str, parameter: nn.Parameter, gradient: Tensor) -> Callable[[], None]:
        average = self._horovod.sparse_allreduce_async(gradient.coalesce(), key, self._horovod.Average)

        def land() -> None:
            parameter.grad = average()

        return land


def _wire_type(dtype: torch.dtype) -> torch.dtype:
    return _AVERAGED_AS.get(dtype, dtype)


def broadcast_module(horovod: Any, module: nn.Module) -> None:
    """Give every rank the parameters and buffers of rank 0, bit for bit.

    Args:
        horovod: the module ``horovod.torch``, initialised.
        module: the same on every rank but for its values.

    Raises:
        ValueError: a lazy module has not seen data yet.
    """
    handles = []
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise ValueError(
                f"{name!r} has no shape yet. Run one batch through the module, for example in "
                "configure_model, before a strategy of several processes takes it."
            )
        flat = tensor.detach().contiguous().flatten()
        handle = horovod.broadcast_async_(flat.view(torch.uint8), 0, f"state.{name}")
        handles.append((handle, tensor.detach(), flat))
    for handle, values, flat in handles:
        horovod.synchronize(handle)
        values.copy_(flat.reshape(values.shape))


def _no_gradient(parameter: nn.Parameter, sparse: bool) -> Tensor:
    if not sparse:
        return torch.zeros_like(parameter, memory_format=torch.contiguous_format)
    return torch.sparse_coo_tensor(
        torch.zeros((1, 0), dtype=torch.int64, device=parameter.device),
        parameter.new_zeros((0, *parameter.shape[1:])),
        parameter.shape,
        check_invariants=False,
    )
