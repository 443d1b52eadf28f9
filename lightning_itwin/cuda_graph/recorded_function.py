"""RecordedFunction: a function of tables without gradients as one CUDA graph."""

# B rows

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lightning_itwin.cuda_graph.recording import record, warn_of_failure

Made = TypeVar("Made", Tensor, tuple[Tensor, ...])


class RecordedFunction(Generic[Made]):
    """A function whose many small launches are replayed as one.

    The graph is recorded for the largest number of rows that came yet; fewer take as long. A copy records
    its own. Where recording fails the function itself is called, with a warning.

    Args:
        function: of tensors on one CUDA device with B rows each; gives such a tensor or a tuple of them, each
            row of its own row alone. It draws no random numbers, waits for nothing and copies nothing from
            the host.
        buffers: gives those that it reads and that may move between calls, with their module.
    """

    _output: Made

    def __init__(
        self, function: Callable[..., Made], buffers: Callable[[], Iterable[Tensor]] = tuple
    ) -> None:
        self._function: Callable[..., Made] = function
        self._buffers = buffers
        self._where: list[int] = []
        self._rows = 0
        self._fails = False

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordedFunction, (self._function, self._buffers)

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Made:
        """Give the function of inputs that are alike from call to call but for B.

        Returns:
            B rows; the next call writes over them.
        """
        rows = len(inputs[0])
        where = [buffer.data_ptr() for buffer in self._buffers()]
        if (rows > self._rows or where != self._where) and not self._fails:
            self._where = where
            self._record(inputs)
        if self._fails:
            return self._function(*inputs)
        for to, of in zip(self._inputs, inputs):
            (to if rows == self._rows else to[:rows]).copy_(of)
        self._graph.replay()
        if rows == self._rows:
            return self._output
        return tree_map(lambda output: output[:rows], self._output)

    def _record(self, inputs: Sequence[Tensor]) -> None:
        self._inputs, self._rows = [each.clone() for each in inputs], len(inputs[0])
        try:
            self._graph, self._output = record(lambda: self._function(*self._inputs), inputs[0].device)
        except RuntimeError as error:
            self._fails = True
            warn_of_failure(f"{getattr(self._function, '__qualname__', repr(self._function))} is", error)
