"""How the steps of a flow are carried out: with torch, compiled, as a CUDA graph, or natively on a core."""

# N rows, F features, R rows of a chunk

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import Tensor

from lightning_itwin.cuda_graph import record
from lightning_itwin.flows import native
from lightning_itwin.flows.compiling import compiled
from lightning_itwin.flows.steps import Direction, EventValues, affine, run_step, run_step_by_rows

CHOICES = ("auto", "native", "inductor", "no")
_CPU_ROWS = 512
_CUDA_ROWS = 65_536
_CUDA_UNITS = 3 * 2**23  # hidden units of a chunk on a GPU: more need more memory, fewer leave it waiting
_CHUNKS_IN_FLIGHT = 32  # chunks that go through a step together, while its weights are in the cache
_MAX_GRAPHS = 4
_GRAPH_ROWS = 64  # sizes of graphs are multiples of it

StepFunction = Callable[..., tuple[Tensor, Tensor]]


class TorchBackend:
    """Chunks of rows, step by step, with torch; the memory does not grow with the number of rows.

    Args:
        direction: what is done.
        chunk_rows: rows of a chunk; None for the default of the device.
        step: a compiled ``run_step`` for whole chunks; the rest of the rows goes without it.
    """

    def __init__(
        self, direction: Direction, chunk_rows: int | None = None, step: StepFunction | None = None
    ) -> None:
        self.direction = direction
        self.takes_several_events = False  # one context for each of several events with as many rows
        self.chunk_rows = chunk_rows or _chunk_rows(direction)
        self._step = step

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
                out[span] = affine(self.direction.exit_bias, self.direction.exit_matrix, state).t()
                logabsdet[span] = total

    def _take(self, state_FR: Tensor) -> StepFunction:
        if self._step is None or state_FR.shape[1] != self.chunk_rows:
            return run_step
        return self._step


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
    """CUDA graphs of all steps: one launch for a chunk of an event's rows, or for several shorter events."""

    def __init__(
        self, direction: Direction, chunk_rows: int | None = None, step: StepFunction | None = None
    ) -> None:
        super().__init__(direction, chunk_rows, step)
        self.takes_several_events = True
        self._graphs: dict[tuple[int, int], _Graph] = {}

    def run(self, rows: Tensor, context: Tensor | None, out: Tensor, logabsdet: Tensor) -> None:
        """Take rows through the direction; arguments as ``TorchBackend.run``.

        ``context`` may also have a row for each of several events that have as many rows each.
        """
        events = 1 if context is None else len(context)
        each = len(rows) // events
        if events > 1 and each == 1:
            super().run(rows, context, out, logabsdet)
            return
        chunks = -(-each // self.chunk_rows)
        size = -(-each // (chunks * _GRAPH_ROWS)) * _GRAPH_ROWS
        at_once = min(events, max(1, self.chunk_rows // size))
        for first in range(0, events, at_once):
            some = slice(first, min(first + at_once, events))
            graph = self._graph(size, at_once, None if context is None else context[some])
            span = slice(some.start * each, some.stop * each)
            parts = (rows[span], out[span], logabsdet[span])
            given, to, total = (part.view(some.stop - some.start, each, *part.shape[1:]) for part in parts)
            for begin in range(0, each, size):
                chunk = (slice(None), slice(begin, begin + size))
                graph.run(given[chunk], to[chunk], total[chunk])

    def _graph(self, size: int, events: int, context: Tensor | None) -> _Graph:
        key = (size, events)
        if key not in self._graphs:
            if len(self._graphs) == _MAX_GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[key] = _Graph(self.direction, self._step or run_step, size, events, context)
        self._graphs[key].meet(context)
        return self._graphs[key]


class _Graph:
    # of rows (events, size, F), with one graph before it for what depends on the events alone
    def __init__(
        self,
        direction: Direction,
        step_function: StepFunction,
        size: int,
        events: int,
        context: Tensor | None,
    ) -> None:
        like = direction.exit_matrix
        entry = like.new_zeros(events, size, len(like))
        self._entry, self._context = entry, None if context is None else context.clone()
        if context is None:
            values = event_values(direction, None)
        else:
            self._prepare, values = record(lambda: event_values(direction, self._context), like.device)

        def whole() -> tuple[Tensor, Tensor]:
            state = entry.flatten(0, 1).t().contiguous()
            total = state.new_full((events * size,), direction.logabsdet)
            for step, value in zip(direction.steps, values):
                state, total = step_function(step.rule, step.weights, value, state, total)
            exit_FR = affine(direction.exit_bias, direction.exit_matrix, state)
            return exit_FR.t().contiguous(), total

        self._graph, (exit_RF, total) = record(whole, like.device)
        self._exit, self._total = exit_RF.view_as(entry), total.view(events, size)

    def meet(self, context: Tensor | None) -> None:
        if context is not None and self._context is not None:
            self._context[: len(context)] = context
            self._prepare.replay()

    def run(self, rows: Tensor, out: Tensor, logabsdet: Tensor) -> None:
        events, count = rows.shape[:2]
        self._entry[:events, :count].copy_(rows)
        self._graph.replay()
        out.copy_(self._exit[:events, :count])
        logabsdet.copy_(self._total[:events, :count])


def _chunk_rows(direction: Direction) -> int:
    if direction.exit_matrix.device.type != "cuda":
        return _CPU_ROWS
    hidden = max(step.weights.final.shape[1] for step in direction.steps)
    return min(_CUDA_ROWS, _CUDA_UNITS // hidden)


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
        if on_cuda:
            return GraphBackend(direction, chunk_rows, compiled(run_step_by_rows))
        return TorchBackend(direction, chunk_rows, compiled(run_step))
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
