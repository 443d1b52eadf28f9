"""How the steps of a flow are carried out: with torch, compiled, as a CUDA graph, or natively on a core."""

# N rows, F features, R rows of a chunk

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.flows import native
from lightning_itwin.flows.steps import Direction, EventValues, run_step

CHOICES = ("auto", "native", "inductor", "no")
_CPU_ROWS = 512
_CUDA_ROWS = 16_384
_CHUNKS_IN_FLIGHT = 32  # chunks that go through a step together, while its weights are in the cache
_MAX_GRAPHS = 4
_GRAPH_ROWS = 64  # sizes of graphs are multiples of it

StepFunction = Callable[..., tuple[Tensor, Tensor]]


class TorchBackend:
    """Chunks of rows, step by step, with torch; the memory does not grow with the number of rows.

    Args:
        direction: what is done.
        chunk_rows: rows of a chunk; None for the default of the device.
        compiled: a compiled ``run_step`` for whole chunks; the rest of the rows goes without it.
    """

    def __init__(
        self, direction: Direction, chunk_rows: int | None = None, compiled: StepFunction | None = None
    ) -> None:
        self.direction = direction
        on_cuda = direction.exit_matrix.device.type == "cuda"
        self.chunk_rows = chunk_rows or (_CUDA_ROWS if on_cuda else _CPU_ROWS)
        self._compiled = compiled

    def run(self, rows: Tensor, context: Tensor | None, out: Tensor, logabsdet: Tensor) -> None:
        """Take rows through the direction.

        Args:
            rows: (N, F).
            context: embedded, (1, C) for all rows, (N, C) for each its own, or None.
            out: where they go, (N, F); may be ``rows``.
            logabsdet: where the log-determinants go, (N,).
        """
        shared = context is None or len(context) == 1
        values = event_values(self.direction, context) if shared else None
        size = self.chunk_rows
        for begin in range(0, len(rows), size * _CHUNKS_IN_FLIGHT):
            end = min(begin + size * _CHUNKS_IN_FLIGHT, len(rows))
            spans = [slice(k, min(k + size, end)) for k in range(begin, end, size)]
            states = [rows[span].t().contiguous() for span in spans]
            sums = [state.new_full((state.shape[1],), self.direction.logabsdet) for state in states]
            for k, step in enumerate(self.direction.steps):
                for place, span in enumerate(spans):
                    value = values[k] if values is not None else step.event(context[span])  # type: ignore[index]
                    take = self._take(states[place])
                    states[place], sums[place] = take(
                        step.rule, step.weights, value, states[place], sums[place]
                    )
            for span, state, total in zip(spans, states, sums):
                out[span] = torch.addmm(self.direction.exit_bias, self.direction.exit_matrix, state).t()
                logabsdet[span] = total

    def _take(self, state_FR: Tensor) -> StepFunction:
        if self._compiled is None or state_FR.shape[1] != self.chunk_rows:
            return run_step
        return self._compiled


class NativeBackend(TorchBackend):
    """The native backend for the rows of one event, torch for rows that each have their own context."""

    def __init__(self, direction: Direction, chunk_rows: int | None = None) -> None:
        super().__init__(direction, chunk_rows)
        self._native = native.NativeDirection(direction)

    def run(self, rows: Tensor, context: Tensor | None, out: Tensor, logabsdet: Tensor) -> None:
        """Take rows through the direction; arguments as ``TorchBackend.run``."""
        if context is not None and len(context) > 1:
            super().run(rows, context, out, logabsdet)
            return
        if out.data_ptr() != rows.data_ptr():
            out.copy_(rows)
        self._native.run(event_values(self.direction, context), out, logabsdet)


class GraphBackend(TorchBackend):
    """CUDA graphs of all steps for the rows of one event: one launch a chunk."""

    def __init__(
        self, direction: Direction, chunk_rows: int | None = None, compiled: StepFunction | None = None
    ) -> None:
        super().__init__(direction, chunk_rows, compiled)
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, list[EventValues], Tensor, Tensor]] = {}

    def run(self, rows: Tensor, context: Tensor | None, out: Tensor, logabsdet: Tensor) -> None:
        """Take rows through the direction; arguments as ``TorchBackend.run``."""
        if context is not None and len(context) > 1:
            super().run(rows, context, out, logabsdet)
            return
        values = event_values(self.direction, context)
        chunks = -(-len(rows) // self.chunk_rows)
        size = -(-len(rows) // (chunks * _GRAPH_ROWS)) * _GRAPH_ROWS
        if size not in self._graphs:
            if len(self._graphs) == _MAX_GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[size] = self._capture(size, values)
        graph, entry, held, exit_RF, total = self._graphs[size]
        for kept, value in zip(held, values):
            for to, of in zip((kept.initial, *kept.gates), (value.initial, *value.gates)):
                if to is not None and of is not None:
                    to.copy_(of)
        for begin in range(0, len(rows), size):
            span = slice(begin, min(begin + size, len(rows)))
            count = span.stop - begin
            entry[:count].copy_(rows[span])
            graph.replay()
            out[span].copy_(exit_RF[:count])
            logabsdet[span].copy_(total[:count])

    def _capture(self, size: int, values: Sequence[EventValues]) -> Any:
        like = self.direction.exit_matrix
        entry = like.new_zeros(size, len(like))
        held = [
            EventValues(value.initial.clone(), tuple(None if g is None else g.clone() for g in value.gates))
            for value in values
        ]

        def whole() -> tuple[Tensor, Tensor]:
            state = entry.t().contiguous()
            total = state.new_full((size,), self.direction.logabsdet)
            take = self._compiled or run_step
            for step, value in zip(self.direction.steps, held):
                state, total = take(step.rule, step.weights, value, state, total)
            return torch.addmm(
                self.direction.exit_bias, self.direction.exit_matrix, state
            ).t().contiguous(), total

        side = torch.cuda.Stream(like.device)
        side.wait_stream(torch.cuda.current_stream(like.device))
        with torch.cuda.stream(side):
            for _ in range(3):
                whole()
        torch.cuda.current_stream(like.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            exit_RF, total = whole()
        return graph, entry, held, exit_RF, total


def event_values(direction: Direction, context: Tensor | None) -> list[EventValues]:
    """Compute what depends on the event alone, for every step."""
    return [step.event(context) for step in direction.steps]


def make_backend(direction: Direction, choice: str, chunk_rows: int | None) -> TorchBackend:
    """Choose how a direction is carried out.

    Args:
        direction: the direction.
        choice: ``"auto"``: native on the CPU where it is known, a compiled CUDA graph on a GPU, torch alone
            otherwise; ``"native"``; ``"inductor"``: one step compiled by ``torch.compile``; ``"no"``.
        chunk_rows: rows of a chunk.

    Raises:
        ValueError: ``"native"`` was asked for what it does not know.
    """
    on_cuda = direction.exit_matrix.device.type == "cuda"
    if choice == "no":
        return TorchBackend(direction, chunk_rows)
    if choice == "inductor" or (choice == "auto" and on_cuda):
        compiled = _compiled_step()
        return (GraphBackend if on_cuda else TorchBackend)(direction, chunk_rows, compiled)
    if native.serves(direction):
        try:
            return NativeBackend(direction, chunk_rows)
        except native.NativeBuildError as error:
            warnings.warn(f"The flow runs with torch alone, since {error}.", stacklevel=5)
            return TorchBackend(direction, chunk_rows)
    if choice == "native":
        raise ValueError(
            "The native backend takes float32 flows on the CPU with relu, elu, leaky_relu, silu or tanh and "
            "at most 64 bins; leave compile at 'auto'."
        )
    return TorchBackend(direction, chunk_rows)


def _compiled_step() -> StepFunction:
    """Compile ``run_step`` for the steps of one direction.

    A code object of its own keeps torch's limit of recompilations a matter of this flow alone.
    """
    own = types.FunctionType(run_step.__code__.replace(), run_step.__globals__, run_step.__name__)
    compiled = torch.compile(own, dynamic=False)
    failed = False

    def take(*arguments: Any) -> tuple[Tensor, Tensor]:
        nonlocal failed
        if not failed:
            try:
                return compiled(*arguments)
            except torch._dynamo.exc.TorchDynamoException as error:
                failed = True
                warnings.warn(f"The flow is not compiled: {str(error).splitlines()[0]}", stacklevel=2)
        return run_step(*arguments)

    return take
