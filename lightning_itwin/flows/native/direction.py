"""The native backend: a direction of a folded flow on one core, compiled for the processor at hand."""

# F features, H hidden units (padded to whole tiles), M outputs of a product, K inputs of it, N rows

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lightning_itwin.flows.native.build import MAX_BINS, CBounds, NativeBuildError, library
from lightning_itwin.flows.steps import Direction, EventValues, Step

_GROUP_BLOCKS = 16  # blocks of rows that go through a step together, while its weights are in the cache
_MIN_ROWS_A_THREAD = 256
_TOGETHER = ((1024, 4), (512, 2), (0, 1))  # from this width on, so many blocks share a tile of weights
_FOLD_COST = 2.0  # of a folded product, beside one in the steps
_ACTIVATIONS: dict[Any, int] = {
    functional.relu: 0,
    torch.relu: 0,
    functional.elu: 1,
    functional.leaky_relu: 2,
    functional.silu: 3,
    functional.tanh: 4,
    torch.tanh: 4,
}


class _CStep(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("features", "identity", "hidden", "blocks", "bins", "outputs")),
        *((name, ctypes.c_int64) for name in ("activation", "inverse", "normed")),
        ("bounds", CBounds),
        *(
            (name, ctypes.c_void_p)
            for name in ("entry_values", "entry_bias", "entry_hidden", "vectors", "products")
        ),
    )


def serves(direction: Direction) -> bool:
    """Say whether the native backend knows what a direction is made of (not whether it can be built)."""
    return bool(direction.steps) and all(
        step.rule.activation in _ACTIVATIONS
        and step.rule.num_bins <= MAX_BINS
        and step.rule.products in (None, torch.bfloat16)
        and step.weights.entry.dtype == torch.float32
        and step.weights.entry.device.type == "cpu"
        for step in direction.steps
    )


class NativeDirection:
    """A direction with its weights packed for the native backend.

    Args:
        direction: in float32 on the CPU, of a kind that ``serves`` says yes to.

    Raises:
        NativeBuildError: the backend cannot be built, or the processor has no bfloat16 products.
    """

    def __init__(self, direction: Direction) -> None:
        self._library = library()
        self._tile = int(self._library.tile_size())
        self._rows = int(self._library.block_rows())
        self.bfloat16 = direction.steps[0].rule.products is not None
        if self.bfloat16 and not self._library.has_bfloat16():
            raise NativeBuildError("this processor has no bfloat16 products")
        self._features = len(direction.exit_matrix)
        self._hidden = -(-direction.steps[0].weights.final.shape[1] // self._tile) * self._tile
        self._together = next(count for size, count in _TOGETHER if self._hidden >= size)
        self._alive: list[Tensor] = []  # what the pointers point at
        self._finals = [_differences(step) for step in direction.steps]
        self._last_blocks = [
            (step.weights.blocks[-1].second, step.weights.blocks[-1].second_bias) for step in direction.steps
        ]
        steps = [self._step(step, final) for step, (final, _) in zip(direction.steps, self._finals)]
        self._steps = (_CStep * len(steps))(*steps)
        self._exit = self._keep(self._tiles(direction.exit_matrix, self._features, pairs=False))
        self._exit_bias = self._keep(self._padded(direction.exit_bias[:, 0]))
        self._logabsdet = direction.logabsdet
        self._scratch = threading.local()
        self._outputs = max(step.outputs for step in steps)
        self._scratch_floats = int(
            self._library.scratch_floats(
                self._features, self._hidden, self._outputs, _GROUP_BLOCKS, self._together
            )
        )

    def run(self, values: Sequence[EventValues], rows: Tensor, logabsdet: Tensor) -> None:
        """Take rows of one event through the direction, in place.

        Args:
            values: the event's, one a step, of width 1.
            rows: (N, F) float32, contiguous; overwritten.
            logabsdet: (N,) float32, contiguous; overwritten.
        """
        logabsdet.fill_(self._logabsdet)
        # Folding costs M H H products a step and event, and saves H (H - M) a row and step.
        fold = len(rows) * (self._hidden - self._outputs) > _FOLD_COST * self._outputs * self._hidden
        folded = (
            [self._fold(*parts) for parts in zip(values, self._finals, self._last_blocks)] if fold else []
        )
        vectors = [
            torch.cat((self._event(value), self._padded(folded[k][1] if fold else self._finals[k][1])))
            for k, value in enumerate(values)
        ]
        events = (ctypes.c_void_p * len(vectors))(*[vector.data_ptr() for vector in vectors])
        finals = (
            (ctypes.c_void_p * len(vectors))(*[final.data_ptr() for final, _ in folded]) if fold else None
        )
        threads = max(1, min(torch.get_num_threads(), len(rows) // _MIN_ROWS_A_THREAD))
        share = -(-len(rows) // threads // self._rows) * self._rows
        parts = [(rows[k : k + share], logabsdet[k : k + share]) for k in range(0, len(rows), share)]
        if len(parts) == 1:
            self._run_part(events, finals, *parts[0])
            return
        with ThreadPoolExecutor(len(parts)) as pool:  # the library runs without the interpreter's lock
            list(pool.map(lambda part: self._run_part(events, finals, *part), parts))

    def _run_part(self, events: Any, finals: Any, rows: Tensor, logabsdet: Tensor) -> None:
        scratch = getattr(self._scratch, "floats", None)
        if scratch is None:
            scratch = self._scratch.floats = torch.empty(self._scratch_floats)
        self._library.run(
            self._steps,
            len(self._steps),
            events,
            finals,
            self._exit,
            self._exit_bias,
            rows.data_ptr(),
            logabsdet.data_ptr(),
            len(rows),
            _GROUP_BLOCKS,
            self._together,
            int(self.bfloat16),
            scratch.data_ptr(),
        )

    def _event(self, value: EventValues) -> Tensor:
        ones = torch.ones_like(value.initial)
        columns = [value.initial, *(ones if gate is None else gate for gate in value.gates)]
        return torch.cat([self._padded(column[:, 0]) for column in columns])

    def _fold(
        self, value: EventValues, final: tuple[Tensor, Tensor], last: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Fold the last block's second product into the final one: (M, 2 H) packed, and its bias."""
        weight, bias = final
        second, second_bias = last
        gated = weight if value.gates[-1] is None else weight * value.gates[-1].t()
        hidden = weight.shape[1]
        both = weight.new_zeros(len(weight), 2 * self._hidden)
        both[:, :hidden] = weight
        torch.mm(gated, second.float(), out=both[:, self._hidden : self._hidden + hidden])
        return self._tiles(both, 2 * self._hidden, self.bfloat16), bias + (gated @ second_bias)[:, 0]

    def _step(self, step: Step, final: Tensor) -> _CStep:
        rule, weights = step.rule, step.weights
        features = rule.num_features
        nothing = weights.entry.new_zeros(len(weights.entry) - features)
        vectors, products = [], []
        for block in weights.blocks:
            for column in (block.scale, block.offset, block.first_bias, block.second_bias):
                vectors.append(self._padded(nothing if column is None else column[:, 0]))
            for matrix in (block.first, block.second):
                products.append(self._tiles(matrix, self._hidden, self.bfloat16))
        products.append(self._tiles(final, self._hidden, self.bfloat16))
        return _CStep(
            features=features,
            identity=rule.num_identity,
            hidden=self._hidden,
            blocks=len(weights.blocks),
            bins=rule.num_bins,
            outputs=len(final) + -len(final) % self._tile,
            activation=_ACTIVATIONS[rule.activation],
            inverse=rule.inverse,
            normed=weights.blocks[0].scale is not None,
            bounds=CBounds.of(rule.bounds),
            entry_values=self._keep(self._tiles(weights.entry[:features], features, pairs=False)),
            entry_bias=self._keep(self._padded(weights.entry_bias[:, 0])),
            entry_hidden=self._keep(self._tiles(weights.entry[features:], features, pairs=False)),
            vectors=self._keep(torch.cat(vectors)),
            products=self._keep(torch.cat(products)),
        )

    def _keep(self, tensor: Tensor) -> int:
        self._alive.append(tensor.contiguous())
        return self._alive[-1].data_ptr()

    def _padded(self, vector: Tensor) -> Tensor:
        return functional.pad(vector, (0, -len(vector) % self._tile))

    def _tiles(self, matrix: Tensor, inputs: int, pairs: bool) -> Tensor:
        """Pack (M, K) as tiles of outputs, inner index the output; bfloat16 in pairs of inputs."""
        padded = functional.pad(matrix, (0, inputs - matrix.shape[1], 0, -len(matrix) % self._tile))
        tiles = padded.view(-1, self._tile, inputs)
        if not pairs:
            return tiles.transpose(1, 2).float().flatten()
        grouped = tiles.bfloat16().view(-1, self._tile, inputs // 2, 2).transpose(1, 2)
        return grouped.flatten().view(torch.int32)


def _differences(step: Step) -> tuple[Tensor, Tensor]:
    """Give the final layer with each softmax's first logit taken off the others, (M, H) and (M,) float32.

    Only differences of logits matter, so that the rows of the first ones can be left out.
    """
    bins, weights = step.rule.num_bins, step.weights
    whole = torch.cat((weights.final.double(), weights.final_bias.double()), dim=1)
    planes = whole.view(3 * bins - 1, step.rule.num_features - step.rule.num_identity, -1)
    widths, heights = planes[1:bins] - planes[:1], planes[bins + 1 : 2 * bins] - planes[bins : bins + 1]
    less = torch.cat((widths, heights, planes[2 * bins :])).flatten(0, 1).float()
    return less[:, :-1].contiguous(), less[:, -1].contiguous()
