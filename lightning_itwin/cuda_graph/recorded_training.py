"""RecordedTraining: forward and backward pass of a function as two CUDA graphs, for training steps."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_itwin.cuda_graph.gradient_pack import GradientPack
from lightning_itwin.cuda_graph.recording import record, warn_of_failure

Function = Callable[..., Tensor]


class RecordedTraining:
    """A function with gradients whose many small launches are replayed as two.

    They are recorded at the second of two calls in a row with the same shapes, under the same autocast, with
    gradients, and with the parameters where they were. Every other call, and one before the backward pass of
    the last, goes through the function itself; so does everything, with a warning, where recording fails.

    Args:
        function: of tensors or None; it draws no random numbers and waits for nothing.
        parameters: that it reads, of one dtype.
        buffers: gives those that it changes, such as running means.
        gradients_in_place: the backward pass writes ``parameter.grad`` itself, the same tensor at every step,
            which spares the host the way of each gradient through autograd. For ``backward`` alone:
            ``torch.autograd.grad`` finds no parameters. Without effect where a parameter has hooks or
            ``torch.distributed`` is at work, which wait there; Horovod waits there unseen.
    """

    def __init__(
        self,
        function: Function,
        parameters: Sequence[nn.Parameter],
        buffers: Callable[[], Iterable[Tensor]] = tuple,
        gradients_in_place: bool = False,
    ) -> None:
        self._function = function
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._buffers = buffers
        self._in_place = gradients_in_place
        self._seen: Any = None
        self._recorded: _Recorded | None = None
        self._fails = False

    def __reduce__(self) -> tuple[Any, ...]:  # a copy records graphs of its own parameters
        return RecordedTraining, (self._function, self._parameters, self._buffers, self._in_place)

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Give the function of inputs that are alike from call to call."""
        device = next((each.device for each in inputs if each is not None), None)
        if device is None or self._fails or not torch.is_grad_enabled() or not self._parameters:
            return self._function(*inputs)
        kind = device.type
        cast = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        what = [None if each is None else (each.shape, each.dtype, each.requires_grad) for each in inputs]
        where = [parameter.data_ptr() for parameter in self._parameters]
        # a weight that autocast has cast and keeps would be no part of a graph
        with torch.autocast(kind, cast[1], enabled=cast[0], cache_enabled=False):
            # a parameter that lies nowhere is elsewhere between the steps
            if (what, where, cast) != self._seen or 0 in where:
                self._seen, self._recorded = (what, where, cast), None
                return self._function(*inputs)
            if self._recorded is None:
                self._recorded = self._record(inputs)
            if self._recorded is None or self._recorded.in_use:
                return self._function(*inputs)
        if self._in_place and not self._awaited():
            # autograd asks for a backward pass where something has gradients
            return _Replay.apply(self._recorded, True, *inputs, torch.empty(0, requires_grad=True))
        return _Replay.apply(self._recorded, False, *inputs, *self._parameters)

    def _awaited(self) -> bool:
        # whether someone waits for gradients where autograd brings them
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return True
        return any(
            parameter._backward_hooks or parameter._post_accumulate_grad_hooks
            for parameter in self._parameters
        )

    def _record(self, inputs: Sequence[Tensor | None]) -> _Recorded | None:
        buffers = list(self._buffers())
        before = [buffer.clone() for buffer in buffers]
        try:
            return _Recorded(self._function, inputs, self._parameters)
        except RuntimeError as error:
            self._fails = True
            warn_of_failure("Training steps are", error)
            return None
        finally:  # it was called a few times for nothing
            with torch.no_grad():
                for buffer, value in zip(buffers, before):
                    buffer.copy_(value)


class _Recorded:
    """The two graphs, and the tensors that they read and write."""

    def __init__(
        self,
        function: Function,
        inputs: Sequence[Tensor | None],
        parameters: Sequence[nn.Parameter],
    ) -> None:
        self.inputs = [
            None if each is None else each.detach().clone().requires_grad_(each.requires_grad)
            for each in inputs
        ]
        leaves = [each for each in (*self.inputs, *parameters) if each is not None and each.requires_grad]
        device = leaves[0].device

        def gradients(output: Tensor, slope: Tensor) -> tuple[Tensor | None, ...]:
            with torch.autocast(device.type, enabled=False):  # as a backward pass is outside of it
                return torch.autograd.grad(output, leaves, slope, allow_unused=True)

        def both() -> tuple[Tensor | None, ...]:
            output = function(*self.inputs)
            return gradients(output, torch.ones_like(output))

        made: list[Tensor] = []

        def forward() -> Tensor:
            made[:] = [function(*self.inputs)]
            return made[0]

        def backward() -> None:
            self._pack.write([each for each in gradients(made[0], self.slope) if each is not None])

        with torch.enable_grad():
            self._used = [gradient is not None for gradient in both()]
            self._leaves = [leaf for leaf, is_used in zip(leaves, self._used) if is_used]
            self._pack = GradientPack(self._leaves)
            self.forward, output = record(forward, device, warm_up=both)
            self.slope = torch.empty_like(output)
            self.backward, _ = record(backward, device, beside=self.forward)
        self.output = output.detach()
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

    def gradients(self) -> list[Tensor | None]:
        """Run the backward pass; give copies of what it made, one an input and one a parameter.

        The optimizer keeps what it is given, and the next step writes over its own.
        """
        self.backward.replay()
        found = self._in_order(self._pack.copies())
        return [*self._of_inputs(found), *found]

    def gradients_in_place(self) -> list[Tensor | None]:
        """Run the backward pass, leave gradients in the parameters, and give copies of the inputs' own."""
        before = [leaf.grad for leaf in self._leaves]
        views = self._pack.views
        # where nobody has taken the gradients of an earlier step away, these are added to them
        kept = self._pack.copies() if any(grad is view for grad, view in zip(before, views)) else None
        self.backward.replay()
        of_inputs: list[Tensor] = []
        for place, (leaf, grad, view) in enumerate(zip(self._leaves, before, views)):
            if not isinstance(leaf, nn.Parameter):
                of_inputs.append(view.clone())
            elif grad is None:
                leaf.grad = view
            elif grad is not view:
                grad.add_(view)
            elif kept is not None:
                view.add_(kept[place])
        return self._of_inputs(self._in_order(of_inputs))

    def _in_order(self, gradients: Iterable[Tensor]) -> Iterator[Tensor | None]:
        # of all that has gradients, the inputs first: None for what the function does not read
        used = iter(gradients)
        return (next(used) if is_used else None for is_used in self._used)

    def _of_inputs(self, found: Iterator[Tensor | None]) -> list[Tensor | None]:
        return [next(found) if each is not None and each.requires_grad else None for each in self.inputs]


class _Call:
    """Lives as long as the backward pass of a call can come."""


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, recorded: _Recorded, in_place: bool, *tensors: Tensor | None) -> Tensor:
        ctx.recorded, ctx.call, ctx.in_place = recorded, recorded.begin(), in_place
        ctx.number = recorded.calls
        for to, of in zip(recorded.inputs, tensors):
            if to is not None and of is not None:
                to.data.copy_(of)
        recorded.forward.replay()
        return recorded.output.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        recorded = ctx.recorded
        if ctx.number != recorded.calls:
            raise RuntimeError(
                "A second backward pass of a recorded step came after another forward pass, which has "
                "written over it. Sum the losses and call backward once, or record nothing: "
                "fast_training(flow, compile='no') or EmbeddingSettings(compile=False)."
            )
        ctx.call = None
        recorded.slope.copy_(slope)
        if ctx.in_place:
            return (None, None, *recorded.gradients_in_place(), None)
        return (None, None, *recorded.gradients())
