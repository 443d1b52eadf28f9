"""The conditional neural spline flow of gravitational-wave inference, made of nflows' own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.optional import require

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
}


def neural_spline_flow(
    features: int,
    context_features: int | None,
    hidden_features: int = 256,
    num_blocks: int = 2,
    num_flow_steps: int = 10,
    *,
    num_bins: int = 8,
    tail_bound: float = 5.0,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
    embedding_net: nn.Module | None = None,
) -> Any:
    """Build a coupling flow of rational-quadratic splines with a standard normal base.

    Each step is a random permutation, an LU linear layer that begins as the identity, and a coupling layer in
    which a residual network of one half of the features and the context sets monotone splines for the
    other half; a permutation and an LU layer end it. Inside a residual block the context gates what is added.

    Args:
        features: dimension of the parameters, at least 2.
        context_features: dimension of the (embedded) context; None for a flow without one.
        hidden_features: width of the residual networks.
        num_blocks: residual blocks a network.
        num_flow_steps: steps.
        num_bins: bins of a spline.
        tail_bound: the splines act on [-tail_bound, tail_bound] and are the identity outside.
        activation: one of ``ACTIVATIONS``.
        batch_norm: put batch norms into the residual blocks.
        dropout: probability of dropping a hidden unit in training.
        embedding_net: maps the context given to the flow to ``context_features`` numbers; trained with it.

    Returns:
        An ``nflows.flows.base.Flow``: ``log_prob(inputs, context)``, ``sample(num_samples, context)``; its
        state dict is nflows' own.

    Raises:
        MissingExtraError: nflows is not installed.
        ValueError: an argument is outside its range.

    Reference:
        Durkan et al. 2019, Neural Spline Flows, arXiv:1906.04032; the layout is that of Green and Gair 2021,
        arXiv:2008.03312, and DINGO, Dax et al. 2021, arXiv:2106.12594.
    """
    if features < 2:
        raise ValueError(f"A coupling flow needs at least 2 features, not {features}.")
    if min(hidden_features, num_blocks, num_flow_steps) < 1 or (context_features or 1) < 1:
        raise ValueError(
            "context_features, hidden_features, num_blocks and num_flow_steps must be at least 1, not "
            f"{context_features}, {hidden_features}, {num_blocks} and {num_flow_steps}."
        )
    if num_bins < 2 or not tail_bound > 0:
        raise ValueError(f"num_bins must be at least 2 and tail_bound above 0, not {num_bins}, {tail_bound}.")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), not {dropout}.")
    flows = require("nflows.flows", extra="gw")
    distributions = require("nflows.distributions", extra="gw")
    transforms = require("nflows.transforms", extra="gw")
    nets = require("nflows.nn.nets", extra="gw")
    masks = require("nflows.utils", extra="gw")

    def network(in_features: int, out_features: int) -> nn.Module:
        return nets.ResidualNet(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            context_features=context_features,
            num_blocks=num_blocks,
            activation=ACTIVATIONS[activation],
            dropout_probability=dropout,
            use_batch_norm=batch_norm,
        )

    layers: list[nn.Module] = []
    for step in range(num_flow_steps):
        layers.append(transforms.RandomPermutation(features))
        layers.append(transforms.LULinear(features, identity_init=True))
        layers.append(
            transforms.PiecewiseRationalQuadraticCouplingTransform(
                mask=masks.create_alternating_binary_mask(features, even=step % 2 == 0),
                transform_net_create_fn=network,
                num_bins=num_bins,
                tails="linear",
                tail_bound=tail_bound,
            )
        )
    layers.append(transforms.RandomPermutation(features))
    layers.append(transforms.LULinear(features, identity_init=True))
    return flows.Flow(
        transforms.CompositeTransform(layers), distributions.StandardNormal((features,)), embedding_net
    )
