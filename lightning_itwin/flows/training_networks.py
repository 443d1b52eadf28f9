"""TrainingNetworks: the residual networks of all coupling layers of a flow, in one pass with gradients."""

# B rows of a batch, I identity features, C context features, H hidden units, P parameters of splines, S steps

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lightning_itwin.flows.linear_layers import Activation, DirectLinear

Close = Callable[[Tensor, Tensor, Tensor | None, Activation | None], tuple[Tensor, Tensor | None]]


def close_block(
    hidden: Tensor, added: Tensor, gate: Tensor | None, activation: Activation | None
) -> tuple[Tensor, Tensor | None]:
    """End a residual block: what the next begins with, and its activation, (B, H) each.

    Args:
        hidden: what the block began with, (B, H).
        added: what it made of it, (B, H).
        gate: of the context, (B, H).
        activation: None where there is no use for it.
    """
    hidden = hidden + added if gate is None else torch.addcmul(hidden, added, gate)
    return hidden, None if activation is None else activation(hidden)


class TrainingNetworks:
    """nflows' ``ResidualNet`` of every step as they are now, for one forward and one backward pass.

    The products with the context are one for all steps, and the gradients of weights of one shape are one
    product too.

    Args:
        nets: of S steps, of the same width, depth and context.
        context: embedded, (B, C), or None.
        linears: how linear layers are carried out.
        close: ends a block: ``close_block``, or that compiled.
    """

    def __init__(
        self,
        nets: Sequence[Any],
        context: Tensor | None,
        linears: type[DirectLinear] = DirectLinear,
        close: Close = close_block,
    ) -> None:
        self._nets = nets
        self._close = close
        weights: list[Tensor]
        biases: list[Tensor | None]
        if context is None or nets[0].context_features is None:
            weights = [net.initial_layer.weight for net in nets]
            biases = [net.initial_layer.bias for net in nets]
            self._shares: list[Any] = [None] * len(nets)
            self._gates: list[Any] = [[None] * len(nets[0].blocks)] * len(nets)
        else:
            weights, of_context = _split([net.initial_layer.weight for net in nets], context.shape[1])
            biases = [None] * len(nets)
            self._shares, self._gates = _context_products(nets, of_context, context)
        layers = [
            (weight, bias)
            for net, *first in zip(nets, weights, biases)
            for weight, bias in (
                first,
                *((layer.weight, layer.bias) for block in net.blocks for layer in block.linear_layers),
                (net.final_layer.weight, net.final_layer.bias),
            )
        ]
        self._linear = linears(*zip(*layers))

    def __call__(self, step: int, identity_BI: Tensor) -> Tensor:
        """Give the parameters of a step's splines, (P, B)."""
        blocks, linear = self._nets[step].blocks, self._linear
        number = step * (2 * len(blocks) + 2)
        hidden = linear(number, identity_BI, onto=self._shares[step])
        active = None
        for depth, (block, gate) in enumerate(zip(blocks, self._gates[step]), start=1):
            before, between = block.batch_norm_layers if block.use_batch_norm else (None, None)
            activation = block.activation
            if active is None:
                active = activation(hidden if before is None else before(hidden))
            if between is None:
                inner = linear(number + 1, active, activation=activation)
            else:
                inner = activation(between(linear(number + 1, active)))
            if block.training and block.dropout.p > 0:
                inner = block.dropout(inner)
            added = linear(number + 2, inner)
            number += 2
            following = None if before is not None or depth == len(blocks) else blocks[depth].activation
            hidden, active = self._close(hidden, added, gate, following)
        return linear(number + 1, hidden, columns=True)


def _split(weights: Sequence[Tensor], context_features: int) -> tuple[list[Tensor], list[Tensor]]:
    """Split first layers' weights, (H, I + C), into those of the features and those of the context.

    Those of one shape together: every split layer would cost the backward pass some launches.
    """
    features: list[Any] = [None] * len(weights)
    of_context: list[Any] = [None] * len(weights)
    for size in dict.fromkeys(weight.shape for weight in weights):
        places = [place for place, weight in enumerate(weights) if weight.shape == size]
        stacked = torch.stack([weights[place] for place in places])
        parts = stacked.split([size[1] - context_features, context_features], dim=2)
        for place, of_features, rest in zip(places, *(part.unbind() for part in parts)):
            features[place], of_context[place] = of_features, rest
    return features, of_context


def _context_products(
    nets: Sequence[Any], of_context: Sequence[Tensor], context: Tensor
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Multiply the context with all weights at once: shares of the first layers and gates, (B, H) each."""
    gate_layers = [block.context_layer for net in nets for block in net.blocks]
    products = functional.linear(
        context,
        torch.cat([*of_context, *(layer.weight for layer in gate_layers)]),
        torch.cat([*(net.initial_layer.bias for net in nets), *(layer.bias for layer in gate_layers)]),
    )
    hidden, blocks = nets[0].hidden_features, len(nets[0].blocks)
    shares, raw_gates = products.split([hidden * len(nets), hidden * len(gate_layers)], dim=1)
    gates = raw_gates.sigmoid().split(hidden, dim=1)
    return (
        list(shares.split(hidden, dim=1)),
        [list(gates[step * blocks : (step + 1) * blocks]) for step in range(len(nets))],
    )
