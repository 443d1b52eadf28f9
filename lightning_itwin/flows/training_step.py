"""One step of a flow in training: a linear and a coupling layer, as a function of tensors."""

# B rows of a batch, F features, I identity features, H hidden units, P parameters of splines

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.flows import native
from lightning_itwin.flows.rational_quadratic import SplineBounds, rational_quadratic_spline
from lightning_itwin.flows.steps import affine

Spline = Callable[[Tensor, Tensor, SplineBounds, int, float], tuple[Tensor, Tensor]]


class Block(NamedTuple):
    """Layers of a residual block: weight and bias of each, and modules where they are at work.

    Args:
        first: (H, H) and (H,).
        second: the same.
        norms: a batch norm before each, or none.
        dropout: before the second, or None.
    """

    first: tuple[Tensor, Tensor]
    second: tuple[Tensor, Tensor]
    norms: tuple[Any, ...]
    dropout: Any


class Net(NamedTuple):
    """The residual network of a coupling layer.

    Args:
        first: (H, I), or (H, I + C) with a context, and (H,).
        blocks: of two layers.
        last: (P, H) and (P,).
        activation: of the blocks.
    """

    first: tuple[Tensor, Tensor]
    blocks: tuple[Block, ...]
    last: tuple[Tensor, Tensor]
    activation: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, net: Any) -> Net:
        """Read nflows' ``ResidualNet`` as it is now."""
        blocks = [
            Block(
                first=_tensors(block.linear_layers[0]),
                second=_tensors(block.linear_layers[1]),
                norms=tuple(block.batch_norm_layers) if block.use_batch_norm else (),
                dropout=block.dropout if block.training and block.dropout.p > 0 else None,
            )
            for block in net.blocks
        ]
        return cls(
            first=_tensors(net.initial_layer),
            blocks=tuple(blocks),
            last=_tensors(net.final_layer),
            activation=net.blocks[0].activation if blocks else functional.relu,
        )

    @property
    def plain(self) -> bool:
        """Whether tensors are all that it has, so that one graph serves every step."""
        return not any(block.norms or block.dropout for block in self.blocks)


def _tensors(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias


class Numbers(NamedTuple):
    """What a step has beside tensors.

    Args:
        spline: evaluates splines with gradients.
        bounds: of the splines.
        num_bins: bins of a spline.
        factor: of the raw widths and heights.
        identities: features that the coupling leaves as they are, I; they come first.
    """

    spline: Spline
    bounds: SplineBounds
    num_bins: int
    factor: float
    identities: int


def step(
    state: Tensor,
    matrix: Tensor,
    bias: Tensor,
    net: Net,
    initial: Tensor | None,
    gates: Sequence[Tensor | None],
    numbers: Numbers,
) -> tuple[Tensor, Tensor]:
    """Go through a linear and a coupling layer.

    Args:
        state: (F, B).
        matrix: of the linear layer, (F, F).
        bias: (F, 1).
        net: of the coupling layer.
        initial: the context's share in the first layer, (B, H).
        gates: of the context, one a block, (B, H) each.
        numbers: the rest.

    Returns:
        (F, B), and the logarithm of the coupling's determinant, (B,).
    """
    values = affine(bias, matrix, state)
    identity, others = values[: numbers.identities], values[numbers.identities :]
    parameters = spline_parameters(net, identity, initial, gates)
    outputs, logabsdet = numbers.spline(others, parameters, numbers.bounds, numbers.num_bins, numbers.factor)
    return torch.cat((identity, outputs)), logabsdet


def spline_parameters(
    net: Net, identity_IB: Tensor, initial: Tensor | None, gates: Sequence[Tensor | None]
) -> Tensor:
    """Run a residual network, with its products with the context given; (P, B)."""
    weight, bias = net.first
    if initial is None:
        hidden = functional.linear(identity_IB.t(), weight, bias)
    else:
        hidden = torch.addmm(initial, identity_IB.t(), weight[:, : len(identity_IB)].t())
    for block, gate in zip(net.blocks, gates):
        temps = block.norms[0](hidden) if block.norms else hidden
        temps = functional.linear(net.activation(temps), *block.first)
        temps = net.activation(block.norms[1](temps) if block.norms else temps)
        temps = functional.linear(block.dropout(temps) if block.dropout else temps, *block.second)
        hidden = hidden + temps if gate is None else torch.addcmul(hidden, temps, gate)
    weight, bias = net.last
    return torch.addmm(bias[:, None], weight, hidden.t())


def native_spline(
    values: Tensor, parameters: Tensor, bounds: SplineBounds, num_bins: int, factor: float
) -> tuple[Tensor, Tensor]:
    """Evaluate splines on the CPU: (T, B) values, (P, B) parameters; (T, B) and the log-determinant, (B,)."""
    return native.native_spline(values.float(), parameters.float(), bounds, num_bins, factor)


def torch_spline(
    values: Tensor, parameters: Tensor, bounds: SplineBounds, num_bins: int, factor: float
) -> tuple[Tensor, Tensor]:
    """Evaluate splines with torch alone; as ``native_spline``."""
    planes = parameters.to(values.dtype).view(len(values), 3 * num_bins - 1, -1)
    logits = (planes[:, : 2 * num_bins] * factor).unbind(1)
    outputs, logabsdet = rational_quadratic_spline(
        values, logits[:num_bins], logits[num_bins:], planes[:, 2 * num_bins :].unbind(1), bounds, False
    )
    return outputs, logabsdet.sum(0)
