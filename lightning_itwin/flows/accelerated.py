"""accelerate: the sampling and density of an nflows flow, several times faster and the same numbers."""

# E events, N samples an event, F features, R rows of a chunk

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from lightning_itwin.flows.folding import UnknownPartError, fold, nflows_name
from lightning_itwin.flows.steps import Direction, make_direction, run_step

_MIN_ROWS_AN_EVENT = 32  # below, contexts are worked on row by row, not event by event
_CHUNKS_IN_FLIGHT = 32


class AcceleratedFlow:
    """Samples and densities of an nflows flow; made by ``accelerate``.

    Weights are folded when it is made and again when a parameter or buffer of the flow has changed in
    place or was replaced; a change through ``tensor.data`` is invisible: call ``refresh`` after one.
    Everything runs in evaluation mode and without gradients.
    """

    def __init__(
        self, flow: Any, products: torch.dtype | None, chunk_rows: int | None, compile: bool | str
    ) -> None:
        self.flow = flow
        self._products = products
        self._chunk_rows = chunk_rows
        self._compile = compile
        self._fingerprint: tuple[Any, ...] | None = None
        self._forward: Direction | None = None
        self._inverse: Direction | None = None
        self.fallback_reason: str | None = None
        self.refresh()

    def refresh(self) -> None:
        """Fold the weights that the flow has now."""
        self._fingerprint = _fingerprint(self.flow)
        reason = None
        try:
            _check_mode(self.flow)
            _check_base(self.flow)
            folded = fold(self.flow)
        except UnknownPartError as unknown:
            reason = str(unknown)
            self._forward = self._inverse = None
        else:
            dtype = next(self.flow.parameters()).dtype
            self._forward = make_direction(folded, inverse=False, dtype=dtype, products=self._products)
            self._inverse = make_direction(folded, inverse=True, dtype=dtype, products=self._products)
        if reason is not None and reason != self.fallback_reason:
            warnings.warn(f"This flow runs through nflows, not accelerated: it has {reason}.", stacklevel=3)
        self.fallback_reason = reason

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        context: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw samples.

        Args:
            num_samples: samples an event, N.
            context: one row an event, (E, ...); None for a flow without a context.
            noise: standard normal numbers to begin with, (E, N, F), or (N, F) without a context.
            generator: draws them instead of torch's default one.

        Returns:
            (E, N, F), or (N, F) without a context.
        """
        return self._sample(num_samples, context, noise, generator)[0]

    @torch.no_grad()
    def sample_and_log_prob(
        self,
        num_samples: int,
        context: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw samples with the logarithm of their density; arguments and shapes as ``sample``.

        Returns:
            Samples (E, N, F) and log-densities (E, N).
        """
        return self._sample(num_samples, context, noise, generator)

    @torch.no_grad()
    def log_prob(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
        """Give the log-density of parameters.

        Args:
            inputs: (N, F).
            context: one row for each of them, (N, ...), or None. Rows that repeat are worked on once.

        Returns:
            (N,).
        """
        direction = self._ready()[0]
        inputs = torch.as_tensor(inputs)
        if context is not None:
            context = torch.as_tensor(context)
            if len(inputs) != len(context):
                raise ValueError(
                    f"log_prob takes one context a row: {len(inputs)} rows, {len(context)} contexts."
                )
        if direction is None:
            return self.flow.log_prob(inputs, context)
        if inputs.ndim != 2 or inputs.shape[1] != len(direction.exit_matrix):
            raise ValueError(f"inputs must be (N, {len(direction.exit_matrix)}), not {tuple(inputs.shape)}.")
        rows = inputs.to(direction.exit_matrix)
        noise, result = torch.empty_like(rows), rows.new_empty(len(rows))
        if context is None:
            self._run(direction, rows, None, noise, result)
            return result + self._base_log_prob(noise, self._embed(None))
        firsts, lengths = _runs(context)
        embedded = self._embed(context[firsts])
        if len(rows) >= _MIN_ROWS_AN_EVENT * len(lengths):
            parts = torch.split(torch.arange(len(rows)), lengths)
            for event, part in zip(embedded.split(1), parts):
                span = slice(int(part[0]), int(part[-1]) + 1)
                self._run(direction, rows[span], event, noise[span], result[span])
                result[span] += self._base_log_prob(noise[span], event)
            return result
        each = embedded.repeat_interleave(torch.tensor(lengths, device=embedded.device), dim=0)
        self._run(direction, rows, each, noise, result)
        return result + self._base_log_prob(noise, each)

    def _sample(
        self,
        num_samples: int,
        context: Tensor | None,
        noise: Tensor | None,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
            raise TypeError(f"num_samples must be a positive integer, not {num_samples!r}.")
        direction = self._ready()[1]
        if direction is None:
            if noise is not None or generator is not None:
                raise ValueError(
                    f"This flow runs through nflows, which takes no noise: {self.fallback_reason}."
                )
            return self.flow.sample_and_log_prob(num_samples, context)
        like = direction.exit_matrix
        embedded = self._embed(torch.as_tensor(context) if context is not None else None)
        events = len(embedded) if embedded is not None else 1
        shape = (events * num_samples, len(like))
        if noise is None:  # one draw for all, as nflows makes it: the same seed gives the same samples
            samples = torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)
        elif noise.numel() != shape[0] * shape[1] or noise.shape[-1] != shape[1]:
            raise ValueError(
                f"noise must have {shape[0]} rows of {shape[1]}, not the shape {tuple(noise.shape)}."
            )
        else:
            samples = noise.reshape(shape).to(like, copy=True)
        log_prob = samples.new_empty(shape[0])
        if embedded is None or num_samples >= _MIN_ROWS_AN_EVENT:
            for number in range(events):
                span = slice(number * num_samples, (number + 1) * num_samples)
                event = embedded[number : number + 1] if embedded is not None else None
                self._draw(direction, samples[span], event, log_prob[span])
        else:
            for begin in range(0, events, max(1, self._rows() // num_samples)):
                end = min(events, begin + max(1, self._rows() // num_samples))
                span = slice(begin * num_samples, end * num_samples)
                each = embedded[begin:end].repeat_interleave(num_samples, dim=0)
                self._draw(direction, samples[span], each, log_prob[span])
        if embedded is None:
            return samples, log_prob
        return samples.view(events, num_samples, -1), log_prob.view(events, num_samples)

    def _draw(self, direction: Direction, rows: Tensor, context: Tensor | None, log_prob: Tensor) -> None:
        """Turn standard normal rows into samples where they lie, and fill in their log-density."""
        base = self._base_parameters(context)
        base_log_prob = self._standard_log_prob(rows)
        if base is not None:
            mean, log_std = base
            rows.mul_(log_std.exp()).add_(mean)
            base_log_prob = base_log_prob - log_std.sum(1)
        self._run(direction, rows, context, rows, log_prob)
        torch.sub(base_log_prob, log_prob, out=log_prob)

    def _run(
        self, direction: Direction, rows: Tensor, context: Tensor | None, out: Tensor, logabsdet: Tensor
    ) -> None:
        """Take rows (N, F) through a direction into ``out``, which may be ``rows``, and ``logabsdet`` (N,)."""
        with torch.autocast(rows.device.type, enabled=False):
            shared = context is None or len(context) == 1
            values = [step.event(context) for step in direction.steps] if shared else None
            size = self._rows()
            chunks = -(-len(rows) // size)
            size = -(-len(rows) // chunks)
            for group in range(0, len(rows), size * _CHUNKS_IN_FLIGHT):
                spans = [
                    slice(begin, min(begin + size, len(rows)))
                    for begin in range(group, min(group + size * _CHUNKS_IN_FLIGHT, len(rows)), size)
                ]
                states = [rows[span].t().contiguous() for span in spans]
                sums = [state.new_full((state.shape[1],), direction.logabsdet) for state in states]
                for number, step in enumerate(direction.steps):
                    for place, span in enumerate(spans):
                        value = values[number] if values is not None else step.event(context[span])  # type: ignore[index]
                        states[place], sums[place] = run_step(
                            step.rule, step.weights, value, states[place], sums[place]
                        )
                for span, state, total in zip(spans, states, sums):
                    out[span] = torch.addmm(direction.exit_bias, direction.exit_matrix, state).t()
                    logabsdet[span] = total

    def _rows(self) -> int:
        return self._chunk_rows or 512

    def _ready(self) -> tuple[Direction | None, Direction | None]:
        if self._fingerprint != _fingerprint(self.flow):
            self.refresh()
        return self._forward, self._inverse

    def _embed(self, context: Tensor | None) -> Tensor | None:
        net = self.flow._embedding_net
        was_training = net.training
        net.eval()
        try:
            return net(context)
        finally:
            net.train(was_training)

    def _base_parameters(self, context: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Give mean and logarithm of the deviation of a conditional base, (N, F) or (1, F) each."""
        base = self.flow._distribution
        if nflows_name(base) == "distributions.normal.StandardNormal":
            return None
        mean, log_std = base._context_encoder(context).chunk(2, dim=-1)
        return mean, log_std

    def _standard_log_prob(self, rows: Tensor) -> Tensor:
        return -0.5 * rows.square().sum(1) - 0.5 * rows.shape[1] * math.log(2 * math.pi)

    def _base_log_prob(self, noise: Tensor, context: Tensor | None) -> Tensor:
        base = self._base_parameters(context)
        if base is None:
            return self._standard_log_prob(noise)
        mean, log_std = base
        return self._standard_log_prob((noise - mean) * torch.exp(-log_std)) - log_std.sum(1)


def accelerate(
    flow: Any,
    *,
    dtype: str = "float32",
    chunk_rows: int | None = None,
    compile: bool | str = "auto",
) -> AcceleratedFlow:
    """Make a faster equivalent of an nflows flow's ``sample``, ``sample_and_log_prob`` and ``log_prob``."""
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype must be 'float32' or 'bfloat16', not {dtype!r}.")
    return AcceleratedFlow(flow, torch.bfloat16 if dtype == "bfloat16" else None, chunk_rows, compile)


def _fingerprint(flow: nn.Module) -> tuple[Any, ...]:
    """Say which tensors the flow has and how often each was written to."""
    tensors = itertools.chain(flow._transform.parameters(), flow._transform.buffers())
    marks = [
        (id(tensor), tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors
    ]
    return (_training_parts(flow) != [], *marks)


def _training_parts(flow: nn.Module) -> list[str]:
    """Name the modules whose training mode changes what the transform does."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return [
        type(part).__qualname__
        for part in flow._transform.modules()
        if part.training
        and (isinstance(part, kinds) or nflows_name(part) == "transforms.normalization.BatchNorm")
        and getattr(part, "p", 1) > 0
    ]


def _check_mode(flow: nn.Module) -> None:
    found = _training_parts(flow)
    if found:
        raise UnknownPartError(f"{found[0]} in training mode (call flow.eval() first)")


def _check_base(flow: nn.Module) -> None:
    name = nflows_name(flow._distribution)
    if name not in ("distributions.normal.StandardNormal", "distributions.normal.ConditionalDiagonalNormal"):
        raise UnknownPartError(f"the base distribution {type(flow._distribution).__qualname__}")


def _runs(context: Tensor) -> tuple[Tensor, list[int]]:
    """Find runs of equal neighbouring rows: the first row of each and their lengths."""
    if len(context) == 0:
        return torch.zeros(0, dtype=torch.long, device=context.device), []
    flat = context.flatten(1)
    differs = (flat[1:] != flat[:-1]).any(1)
    firsts = torch.cat((differs.new_ones(1), differs)).nonzero()[:, 0]
    ends = torch.cat((firsts[1:], firsts.new_tensor([len(context)])))
    return firsts, (ends - firsts).tolist()
