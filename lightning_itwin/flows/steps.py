"""One step of a folded flow in either direction, feature-major: what is done to a chunk of rows."""

# F features, I identity features, T = F - I transformed ones, H hidden units, C context features, R rows of a
# chunk, W width of a per-event value: 1 for the rows of one event, R where each row has its own context, and
# else the events that have as many rows each, one after the other

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lightning_itwin.flows.folding import Affine, Coupling, FoldedFlow
from lightning_itwin.flows.rational_quadratic import SplineBounds, rational_quadratic_spline


class StepRule(NamedTuple):
    """What is not a tensor in a step; steps of one rule share a compiled function."""

    num_features: int
    num_identity: int
    num_bins: int
    bounds: SplineBounds
    activation: Any
    inverse: bool
    products: torch.dtype | None  # of the large matrix products; None: that of the flow


class BlockWeights(NamedTuple):
    """A residual block without what depends on the event; vectors are columns (H, 1)."""

    scale: Tensor | None
    offset: Tensor | None
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor


class StepWeights(NamedTuple):
    """A step without what depends on the event.

    ``entry`` (F + H, F) makes both the features of the coupling layer and the first hidden layer's share of
    them out of what the step before left; ``entry_bias`` is that of the features, (F, 1).
    """

    entry: Tensor
    entry_bias: Tensor
    blocks: tuple[BlockWeights, ...]
    final: Tensor
    final_bias: Tensor


class EventValues(NamedTuple):
    """What depends on the event alone: the first hidden layer's bias (H, W) and each block's gate (H, W)."""

    initial: Tensor
    gates: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class EventWeights:
    """What makes a step's ``EventValues`` of a context; gates stacked, (blocks H, C)."""

    initial_context: Tensor | None
    initial_bias: Tensor
    gate_weight: Tensor | None
    gate_bias: Tensor | None
    num_blocks: int

    def __call__(self, context_RC: Tensor | None) -> EventValues:
        """Work on contexts (W, C)."""
        if context_RC is None or self.initial_context is None:
            return EventValues(self.initial_bias[:, None], (None,) * self.num_blocks)
        context_CR = context_RC.t()
        initial = torch.addmm(self.initial_bias[:, None], self.initial_context, context_CR)
        if self.gate_weight is None or self.gate_bias is None:
            return EventValues(initial, (None,) * self.num_blocks)
        gates = torch.addmm(self.gate_bias[:, None], self.gate_weight, context_CR).sigmoid_()
        return EventValues(initial, gates.chunk(self.num_blocks))


@dataclass(frozen=True)
class Step:
    """One coupling layer with the linear layers before it."""

    rule: StepRule
    weights: StepWeights
    event: EventWeights


@dataclass(frozen=True)
class Direction:
    """All steps of one direction, the last linear layer and the log-determinant of all linear layers."""

    steps: tuple[Step, ...]
    exit_matrix: Tensor
    exit_bias: Tensor
    logabsdet: float


@torch.no_grad()
def make_direction(
    folded: FoldedFlow, *, inverse: bool, dtype: torch.dtype, products: torch.dtype | None
) -> Direction:
    """Arrange a folded flow for one direction.

    Args:
        folded: the flow.
        inverse: from noise to parameters.
        dtype: of the flow.
        products: dtype of the products with hidden layers; None for the flow's own.
    """
    affines: Sequence[Affine] = folded.affines
    couplings: Sequence[Coupling] = folded.couplings
    if inverse:
        affines = [affine.inverse() for affine in affines[::-1]]
        couplings = couplings[::-1]
    steps = tuple(
        _step(affine, coupling, inverse=inverse, dtype=dtype, products=products)
        for affine, coupling in zip(affines, couplings)
    )
    logabsdet = sum(affine.logabsdet.item() for affine in affines)
    last = affines[-1]
    return Direction(steps, last.matrix.to(dtype), last.shift.to(dtype)[:, None], float(logabsdet))


def _step(
    affine: Affine, coupling: Coupling, *, inverse: bool, dtype: torch.dtype, products: torch.dtype | None
) -> Step:
    identity = slice(0, coupling.num_identity)
    initial = coupling.initial.double()
    through_bias = initial @ affine.shift[identity]
    large = products or dtype

    def column(vector: Tensor) -> Tensor:
        return vector.to(dtype)[:, None].contiguous()

    weights = StepWeights(
        entry=torch.cat((affine.matrix, initial @ affine.matrix[identity])).to(dtype),
        entry_bias=column(affine.shift),
        blocks=tuple(
            BlockWeights(
                None if block.scale is None else column(block.scale),
                None if block.offset is None else column(block.offset),
                block.first.to(large),
                column(block.first_bias),
                block.second.to(large),
                column(block.second_bias),
            )
            for block in coupling.blocks
        ),
        final=coupling.final.to(large),
        final_bias=column(coupling.final_bias),
    )
    gated = coupling.blocks[0].gate_weight is not None
    event = EventWeights(
        initial_context=coupling.initial_context,
        initial_bias=(coupling.initial_bias.double() + through_bias).to(dtype),
        gate_weight=torch.cat([block.gate_weight for block in coupling.blocks]) if gated else None,  # type: ignore[misc]
        gate_bias=torch.cat([block.gate_bias for block in coupling.blocks]) if gated else None,  # type: ignore[misc]
        num_blocks=len(coupling.blocks),
    )
    features = len(coupling.order)
    rule = StepRule(
        features,
        coupling.num_identity,
        coupling.num_bins,
        coupling.bounds,
        coupling.activation,
        inverse,
        products if products != dtype else None,
    )
    return Step(rule, weights, event)


def run_step(
    rule: StepRule, weights: StepWeights, event: EventValues, state_FR: Tensor, logabsdet_R: Tensor
) -> tuple[Tensor, Tensor]:
    """Take a chunk of rows through one step.

    Args:
        rule: of the step.
        weights: of the step.
        event: of the rows.
        state_FR: what the step before left, (F, R).
        logabsdet_R: log-determinant so far, without the linear layers', (R,).

    Returns:
        The same two after the step; the features' order is the coupling layer's.
    """
    rows = state_FR.shape[1]
    if state_FR.device.type == "cpu":  # one product for both
        entered = weights.entry @ state_FR
        values, hidden = entered[: rule.num_features] + weights.entry_bias, entered[rule.num_features :]
    else:
        values = affine(weights.entry_bias, weights.entry[: rule.num_features], state_FR)
        hidden = weights.entry[rule.num_features :] @ state_FR
    hidden = hidden + _of_rows(event.initial, rows)
    for block, gate in zip(weights.blocks, event.gates):
        temps = hidden
        if block.scale is not None and block.offset is not None:
            temps = hidden * block.scale + block.offset
        temps = _product(rule, block.first, rule.activation(temps)) + block.first_bias
        temps = _product(rule, block.second, rule.activation(temps)) + block.second_bias
        hidden = hidden + (temps if gate is None else temps * _of_rows(gate, rows))
    parameters = _product(rule, weights.final, hidden) + weights.final_bias
    return _splines(rule, values, parameters, logabsdet_R)


def run_step_by_rows(
    rule: StepRule, weights: StepWeights, event: EventValues, state_FR: Tensor, logabsdet_R: Tensor
) -> tuple[Tensor, Tensor]:
    """Take a chunk of rows through one step on a GPU: the same as ``run_step``, its hidden units (R, H).

    So laid out, bias and activation belong to the matrix product before them. Between blocks the units are
    kept in the precision of the products: a GPU waits for its memory there. The features stay in the flow's.
    """
    rows, own = state_FR.shape[1], state_FR.dtype
    kept = rule.products or own
    values = affine(weights.entry_bias, weights.entry[: rule.num_features], state_FR)
    hidden = state_FR.t() @ weights.entry[rule.num_features :].t() + _of_rows(event.initial, rows).t()
    hidden = hidden.to(kept)
    for block, gate in zip(weights.blocks, event.gates):
        temps = hidden
        if block.scale is not None and block.offset is not None:
            temps = (hidden * block.scale.t() + block.offset.t()).to(kept)
        temps = rule.activation(temps)
        bias = block.first_bias[:, 0].to(kept)
        if rule.activation is functional.relu:
            temps = linear_relu(temps, block.first, bias)
        else:
            temps = rule.activation(torch.addmm(bias, temps, block.first.t()))
        added = (temps @ block.second.t()).to(own) + block.second_bias.t()
        hidden = (hidden + (added if gate is None else added * _of_rows(gate, rows).t())).to(kept)
    parameters = (weights.final @ hidden.t()).to(own) + weights.final_bias
    return _splines(rule, values, parameters, logabsdet_R)


def affine(bias: Tensor, matrix: Tensor, state_FR: Tensor) -> Tensor:
    """Apply a map whose log-determinant is counted: in full precision, whatever torch is told of products.

    Args:
        bias: (F, 1).
        matrix: (F, F).
        state_FR: (F, R).
    """
    if state_FR.device.type == "cpu":
        return torch.addmm(bias, matrix, state_FR)
    # TensorFloat-32 would be another map than the one whose determinant is known.
    return (matrix[:, :, None] * state_FR).sum(1) + bias


@torch.library.custom_op("lightning_itwin::linear_relu", mutates_args=())
def linear_relu(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Give relu(rows weight^T + bias) in one launch, which a compiler would take apart.

    Args:
        rows: (R, H).
        weight: (G, H).
        bias: (G,).
    """
    return torch._addmm_activation(bias, rows, weight.t())


@linear_relu.register_fake
def _(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return rows.new_empty(len(rows), len(weight))


def _splines(
    rule: StepRule, values: Tensor, parameters: Tensor, logabsdet_R: Tensor
) -> tuple[Tensor, Tensor]:
    num_identity = rule.num_identity
    planes = parameters.view(-1, rule.num_features - num_identity, parameters.shape[1]).unbind()
    bins = rule.num_bins
    outputs, logabsdet_TR = rational_quadratic_spline(
        values[num_identity:],
        planes[:bins],
        planes[bins : 2 * bins],
        planes[2 * bins :],
        rule.bounds,
        rule.inverse,
    )
    return torch.cat((values[:num_identity], outputs)), logabsdet_R + logabsdet_TR.sum(0)


def _product(rule: StepRule, weight: Tensor, hidden: Tensor) -> Tensor:
    if rule.products is None:
        return weight @ hidden
    return (weight @ hidden.to(rule.products)).to(hidden.dtype)


def _of_rows(value_HW: Tensor, rows: int) -> Tensor:
    width = value_HW.shape[1]
    if width in (1, rows):
        return value_HW
    return value_HW[:, :, None].expand(-1, -1, rows // width).flatten(1)
