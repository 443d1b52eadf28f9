"""accelerate: the sampling and density of an nflows flow, several times faster and the same numbers."""

# E events, N samples an event, F features

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lightning_itwin.flows.backends import CHOICES, TorchBackend, make_backend
from lightning_itwin.flows.base_distribution import BaseDistribution
from lightning_itwin.flows.fingerprint import fingerprint, training_parts
from lightning_itwin.flows.folding import UnknownPartError, fold
from lightning_itwin.flows.steps import make_direction

_MIN_ROWS_AN_EVENT = (
    32  # below, each row has its own context in the products, instead of an event after the other
)
_PRODUCTS = {"float32": None, "bfloat16": torch.bfloat16}


class AcceleratedFlow:
    """Samples and densities of an nflows flow, made by ``accelerate``: in evaluation mode, without gradients.

    Weights are folded in advance, and again when a parameter or buffer of the flow was written in place or
    replaced. A write through ``tensor.data`` leaves no trace: call ``refresh`` after one. A row depends on
    its own event alone: one whose (embedded) context is not finite gives NaN, and touches no other.

    Attributes:
        flow: the flow.
        fallback_reason: what makes it run through nflows; None where it is accelerated.
    """

    def __init__(self, flow: Any, products: torch.dtype | None, chunk_rows: int | None, compile: str) -> None:
        self.flow = flow
        self.fallback_reason: str | None = None
        self._products = products
        self._chunk_rows = chunk_rows
        self._compile = compile
        self._parts: tuple[TorchBackend, TorchBackend, BaseDistribution] | None = None
        self.refresh()

    def __reduce__(self) -> tuple[Any, ...]:  # a copy folds the weights of its own copy of the flow
        return AcceleratedFlow, (self.flow, self._products, self._chunk_rows, self._compile)

    def refresh(self) -> None:
        """Fold the weights that the flow has now."""
        self._fingerprint = fingerprint(self.flow._transform)
        self._parts, reason = None, None
        try:
            training = training_parts(self.flow._transform)
            if training:
                raise UnknownPartError(f"a {training[0]} in training mode (call eval() on it first)")
            base = BaseDistribution(self.flow._distribution)
            folded = fold(self.flow)
        except UnknownPartError as unknown:
            reason = str(unknown)
            if reason != self.fallback_reason:
                warnings.warn(
                    f"This flow runs through nflows, not accelerated: it has {reason}.", stacklevel=3
                )
        else:
            dtype = folded.couplings[0].final.dtype
            forward, inverse = (
                make_backend(
                    make_direction(folded, inverse=inverse, dtype=dtype, products=self._products),
                    self._compile,
                    self._chunk_rows,
                )
                for inverse in (False, True)
            )
            self._parts = forward, inverse, base
        self.fallback_reason = reason

    def sample(
        self,
        num_samples: int,
        context: Tensor | None = None,
        batch_size: int | None = None,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw samples.

        From torch's default generator the noise is what nflows draws: the same seed gives nflows' samples.

        Args:
            num_samples: samples an event, N.
            context: one row an event, (E, ...); None for a flow without a context.
            batch_size: samples at a time where the flow runs through nflows; other memory is bounded anyhow.
            noise: standard normal numbers to begin with, E N rows of F.
            generator: draws them instead of the default one.

        Returns:
            (E, N, F), or (N, F) without a context.

        Raises:
            TypeError: num_samples is no positive integer.
            ValueError: ``noise`` has another shape, or noise or generator is given for a flow that runs
                through nflows.
        """
        return self._draw(num_samples, context, batch_size, noise, generator)[0]

    def sample_and_log_prob(
        self,
        num_samples: int,
        context: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw samples with the logarithm of their density; arguments as ``sample``.

        Returns:
            Samples (E, N, F) and log-densities (E, N); (N, F) and (N,) without a context.
        """
        return self._draw(num_samples, context, None, noise, generator)

    @torch.no_grad()
    def log_prob(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
        """Give the log-density of parameters, without gradients.

        Args:
            inputs: (N, F).
            context: one row for each of them, (N, ...), or None. Neighbouring rows that are equal count as
                one event, which is embedded once and worked on together.

        Returns:
            (N,).

        Raises:
            ValueError: the shapes do not fit.
        """
        parts = self._ready()
        inputs = torch.as_tensor(inputs)
        if context is not None:
            context = torch.as_tensor(context)
            if len(inputs) != len(context):
                raise ValueError(
                    f"log_prob takes one context a row, not {len(context)} contexts for {len(inputs)} rows."
                )
        if parts is None:
            return self.flow.log_prob(inputs, context)
        forward, _, base = parts
        like = forward.direction.exit_matrix
        if inputs.ndim != 2 or inputs.shape[1] != len(like):
            raise ValueError(f"inputs must be (N, {len(like)}), not {tuple(inputs.shape)}.")
        rows = inputs.to(like).contiguous()
        noise, log_prob = torch.empty_like(rows), rows.new_empty(len(rows))
        firsts, lengths = _runs(context, len(rows))
        embedded = _embed(self.flow._embedding_net, None if context is None else context[firsts])
        with torch.autocast(rows.device.type, enabled=False):
            for span, one in _together(embedded, lengths, forward):
                forward.run(rows[span], one, noise[span], log_prob[span])
            for span, one in _events(embedded, lengths, forward.chunk_rows):
                log_prob[span] += base.log_prob(noise[span], one)
        _blank(log_prob, embedded, lengths)
        return log_prob

    @torch.no_grad()
    def _draw(
        self,
        num_samples: int,
        context: Tensor | None,
        batch_size: int | None,
        noise: Tensor | None,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
            raise TypeError(f"num_samples must be a positive integer, not {num_samples!r}.")
        if context is not None:
            context = torch.as_tensor(context)
        parts = self._ready()
        if parts is None:
            if noise is not None or generator is not None:
                raise ValueError(
                    f"nflows takes no noise, and this flow runs through it: {self.fallback_reason}."
                )
            return self._draw_through_nflows(num_samples, context, batch_size or num_samples)
        _, inverse, base = parts
        like = inverse.direction.exit_matrix
        embedded = _embed(self.flow._embedding_net, context)
        lengths = [num_samples] * (1 if embedded is None else len(embedded))
        shape = (sum(lengths), len(like))
        if noise is None:
            samples = torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)
        elif noise.numel() != shape[0] * shape[1] or noise.shape[-1] != shape[1]:
            raise ValueError(
                f"noise must have {shape[0]} rows of {shape[1]}, not the shape {tuple(noise.shape)}."
            )
        else:
            samples = noise.reshape(shape).to(like, copy=True)
        log_prob, logabsdet = samples.new_empty(2, len(samples))
        with torch.autocast(samples.device.type, enabled=False):
            for span, one in _events(embedded, lengths, inverse.chunk_rows):
                log_prob[span] = base.draw(samples[span], one)
            for span, one in _together(embedded, lengths, inverse):
                inverse.run(samples[span], one, samples[span], logabsdet[span])
            log_prob -= logabsdet
        _blank(log_prob, embedded, lengths)
        _blank(samples, embedded, lengths)
        if embedded is None:
            return samples, log_prob
        return samples.view(len(lengths), num_samples, -1), log_prob.view(len(lengths), num_samples)

    def _draw_through_nflows(
        self, num_samples: int, context: Tensor | None, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        counts = [min(batch_size, num_samples - k) for k in range(0, num_samples, batch_size)]
        if context is None:
            drawn = [self.flow.sample_and_log_prob(count) for count in counts]
            return torch.cat([each[0] for each in drawn]), torch.cat([each[1] for each in drawn])
        finite = context.flatten(1).isfinite().all(1)
        if not finite.any():
            raise ValueError("No event has a finite context.")
        drawn = [self.flow.sample_and_log_prob(count, context[finite]) for count in counts]
        good = [torch.cat([each[k] for each in drawn], dim=1) for k in (0, 1)]
        samples, log_prob = (part.new_full((len(context), *part.shape[1:]), torch.nan) for part in good)
        samples[finite], log_prob[finite] = good
        return samples, log_prob

    def _ready(self) -> tuple[TorchBackend, TorchBackend, BaseDistribution] | None:
        if self._fingerprint != fingerprint(self.flow._transform):
            self.refresh()
        return self._parts


def accelerate(
    flow: Any, *, dtype: str = "float32", chunk_rows: int | None = None, compile: str = "auto"
) -> AcceleratedFlow:
    """Make a faster equivalent of an nflows flow's ``sample``, ``sample_and_log_prob`` and ``log_prob``.

    What depends on the event alone is computed once an event; permutations, linear layers and batch norms are
    folded into one matrix a step; the splines know neither masks nor gathers; rows go in chunks, so that the
    memory beside the result does not depend on the number of samples.

    Known are nflows' coupling flows of rational-quadratic splines with linear tails, ``ResidualNet``
    conditioners and an elementwise activation, with or without batch norm, context and embedding net,
    between permutations, LU and other affine layers, over a ``StandardNormal`` or
    ``ConditionalDiagonalNormal``; also from a copy of nflows such as glasflow's. Any other flow runs through
    nflows, with a warning that names what is not known.

    Args:
        flow: an ``nflows.flows.base.Flow``.
        dtype: of the products with hidden layers. ``"bfloat16"`` changes the flow a little; the densities are
            exactly those of the changed flow, so that importance weights stay right. ``"float32"`` stands for
            the flow's own, which may be float64.
        chunk_rows: rows worked on at a time with torch; None for the default of the device.
        compile: ``"auto"``: native code for the processor at hand, built once a process with the C++ compiler
            (a few seconds), or a compiled CUDA graph on a GPU, and torch alone where there is neither;
            ``"native"``; ``"inductor"`` for ``torch.compile``; ``"no"``.

    Raises:
        ValueError: an argument is none of these.

    >>> from lightning_itwin.flows import neural_spline_flow
    >>> flow = neural_spline_flow(3, 2, hidden_features=8, num_flow_steps=1).eval()
    >>> accelerate(flow, compile="no").sample(5, torch.zeros(4, 2)).shape
    torch.Size([4, 5, 3])
    """
    if dtype not in _PRODUCTS:
        raise ValueError(f"dtype must be one of {', '.join(_PRODUCTS)}, not {dtype!r}.")
    if compile not in CHOICES:
        raise ValueError(f"compile must be one of {', '.join(CHOICES)}, not {compile!r}.")
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1, not {chunk_rows}.")
    return AcceleratedFlow(flow, _PRODUCTS[dtype], chunk_rows, compile)


def _embed(net: nn.Module, context: Tensor | None) -> Tensor | None:
    """Embed contexts in evaluation mode, whatever mode the net is in."""
    training = [part for part in net.modules() if part.training]
    for part in training:
        part.training = False
    try:
        return net(context)
    finally:
        for part in training:
            part.training = True


def _runs(context: Tensor | None, rows: int) -> tuple[Tensor, list[int]]:
    """Find runs of equal neighbouring rows: the first row of each, and their lengths."""
    if context is None or rows == 0:
        return torch.zeros(min(rows, 1), dtype=torch.long), [rows] if rows else []
    flat = context.flatten(1)
    differs = (flat[1:] != flat[:-1]).any(1)
    firsts = torch.cat((differs.new_ones(1), differs)).nonzero()[:, 0]
    return firsts, torch.diff(firsts, append=firsts.new_tensor([rows])).tolist()


def _events(
    embedded: Tensor | None, lengths: list[int], chunk_rows: int
) -> Iterator[tuple[slice, Tensor | None]]:
    """Cut rows into a span an event, or, where events are short, into chunks with a context a row."""
    total = sum(lengths)
    if embedded is None:
        if total:
            yield slice(0, total), None
    elif total >= _MIN_ROWS_AN_EVENT * len(lengths):
        begin = 0
        for one, length in zip(embedded.split(1), lengths):
            yield slice(begin, begin + length), one
            begin += length
    else:
        counts = torch.tensor(lengths, device=embedded.device)
        event_of_row = torch.arange(len(lengths), device=embedded.device).repeat_interleave(counts)
        for begin in range(0, total, chunk_rows):
            span = slice(begin, min(begin + chunk_rows, total))
            yield span, embedded[event_of_row[span]]


def _together(
    embedded: Tensor | None, lengths: list[int], backend: TorchBackend
) -> Iterator[tuple[slice, Tensor | None]]:
    """Cut rows as ``_events`` does, but leave events of one length together where the backend takes them."""
    long_enough = sum(lengths) >= _MIN_ROWS_AN_EVENT * len(lengths)
    if embedded is None or not backend.takes_several_events or len(set(lengths)) != 1 or not long_enough:
        yield from _events(embedded, lengths, backend.chunk_rows)
    else:
        yield slice(0, sum(lengths)), embedded


def _blank(rows: Tensor, embedded: Tensor | None, lengths: list[int]) -> None:
    """Write NaN over the rows of events whose context is not finite."""
    if embedded is None:
        return
    bad = ~embedded.flatten(1).isfinite().all(1)
    if bad.any():
        rows[bad.repeat_interleave(torch.tensor(lengths, device=bad.device))] = torch.nan
