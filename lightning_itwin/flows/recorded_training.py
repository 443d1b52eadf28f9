"""RecordedDensity: forward and backward pass of a flow's density as two CUDA graphs, for training steps."""

# B rows of a batch, F features, C context features

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_itwin.cuda_graph import record

Density = Callable[[Tensor, Tensor | None], Tensor]


class RecordedDensity:
    """A density with gradients whose thousands of small launches are replayed as two.

    They are recorded at the second of two calls in a row with the same shapes, with gradients and with the
    parameters where they were. Every other call, and one before the backward pass of the last, goes through
    the function itself.

    Args:
        density: of inputs (B, F) and an embedded context (B, C) or None; (B,). It draws no random numbers and
            changes no buffer.
        parameters: that it reads.
    """

    def __init__(self, density: Density, parameters: Sequence[nn.Parameter]) -> None:
        self._density = density
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._seen: Any = None
        self._recorded: _Recorded | None = None

    def __call__(self, inputs: Tensor, context: Tensor | None) -> Tensor:
        if not torch.is_grad_enabled() or not self._parameters:
            return self._density(inputs, context)
        given = (inputs, context)
        what = tuple(None if each is None else (each.shape, each.dtype, each.requires_grad) for each in given)
        seen = (what, tuple(parameter.data_ptr() for parameter in self._parameters))
        if seen != self._seen:
            self._seen, self._recorded = seen, None
            return self._density(inputs, context)
        if self._recorded is None:
            self._recorded = _Recorded(self._density, inputs, context, self._parameters)
        if self._recorded.in_use:
            return self._density(inputs, context)
        return _Replay.apply(self._recorded, inputs, context, *self._parameters)


class _Recorded:
    """The two graphs, and the tensors that they read and write."""

    def __init__(
        self, density: Density, inputs: Tensor, context: Tensor | None, parameters: Sequence[nn.Parameter]
    ) -> None:
        own_inputs = inputs.detach().clone().requires_grad_(inputs.requires_grad)
        own_context = None
        if context is not None:
            own_context = context.detach().clone().requires_grad_(context.requires_grad)
        self.given = (own_inputs, own_context)
        device = inputs.device
        wanted = [each for each in self.given if each is not None and each.requires_grad]
        leaves = [*wanted, *parameters]

        def gradients(log_prob: Tensor, slope: Tensor) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(log_prob, leaves, slope, allow_unused=True)

        def both() -> None:
            log_prob = density(own_inputs, own_context)
            gradients(log_prob, torch.ones_like(log_prob))

        with torch.enable_grad():
            self.forward, self.log_prob = record(
                lambda: density(own_inputs, own_context), device, warm_up=both
            )
            self.slope = torch.empty_like(self.log_prob)
            self.backward, self.gradients = record(
                lambda: gradients(self.log_prob, self.slope), device, beside=self.forward
            )
        self.log_prob = self.log_prob.detach()
        self.calls = 0
        self._call: weakref.ref[_Call] = weakref.ref(_Call())

    @property
    def in_use(self) -> bool:
        """Whether a forward pass waits for its backward pass, whose tensors another would write over."""
        return self._call() is not None

    def begin(self) -> _Call:
        call = _Call()
        self._call = weakref.ref(call)
        self.calls += 1
        return call


class _Call:
    """Lives as long as the backward pass of a call can come."""


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, recorded: _Recorded, inputs: Tensor, context: Tensor | None, *parameters: Tensor
    ) -> Tensor:
        ctx.recorded, ctx.call = recorded, recorded.begin()
        ctx.number = recorded.calls
        for to, of in zip(recorded.given, (inputs, context)):
            if to is not None and of is not None:
                to.detach().copy_(of)
        recorded.forward.replay()
        return recorded.log_prob.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        recorded = ctx.recorded
        if ctx.number != recorded.calls:
            raise RuntimeError(
                "A second backward pass of this density came after another forward pass, which has written "
                "over it. Sum the losses and call backward once, or use fast_training(flow, compile='no')."
            )
        ctx.call = None
        recorded.slope.copy_(slope)
        recorded.backward.replay()
        # The optimizer keeps what it is given: copies, a few launches for all of them.
        there = [gradient for gradient in recorded.gradients if gradient is not None]
        copies = iter(torch._foreach_mul(there, 1.0))
        found = iter([None if gradient is None else next(copies) for gradient in recorded.gradients])
        given = [next(found) if each is not None and each.requires_grad else None for each in recorded.given]
        return (None, *given, *found)
