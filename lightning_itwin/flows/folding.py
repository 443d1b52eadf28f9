"""Reads an nflows flow and folds it: linear layers become one matrix a step, splits become slices."""

# F features, I identity features, H hidden units, C context features, P = (3 K - 1) (F - I) spline parameters

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.flows.rational_quadratic import SplineBounds

_ELEMENTWISE_FUNCTIONS = (
    functional.relu,
    functional.elu,
    functional.gelu,
    functional.silu,
    functional.selu,
    functional.celu,
    functional.leaky_relu,
    functional.softplus,
    functional.tanh,
    functional.sigmoid,
    functional.hardtanh,
    torch.relu,
    torch.tanh,
    torch.sigmoid,
    torch.sin,
)
_ELEMENTWISE_MODULES = (
    nn.ReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.SELU,
    nn.CELU,
    nn.LeakyReLU,
    nn.Softplus,
    nn.Tanh,
    nn.Sigmoid,
)


class UnknownPartError(Exception):
    """A flow has a part whose function is not known here; the message names it."""


@dataclass(frozen=True)
class Affine:
    """``x -> matrix x + shift`` with its log-determinant, all float64: (F, F), (F,), ()."""

    matrix: Tensor
    shift: Tensor
    logabsdet: Tensor

    def then(self, other: Affine) -> Affine:
        """Give what doing this and then ``other`` does."""
        return Affine(
            other.matrix @ self.matrix,
            other.matrix @ self.shift + other.shift,
            self.logabsdet + other.logabsdet,
        )

    def inverse(self) -> Affine:
        """Give the inverse."""
        inverse = torch.linalg.inv(self.matrix)
        return Affine(inverse, -inverse @ self.shift, -self.logabsdet)

    @classmethod
    def identity(cls, features: int, device: torch.device) -> Affine:
        """Give the identity of a number of features."""
        matrix = torch.eye(features, dtype=torch.float64, device=device)
        return cls(matrix, matrix.new_zeros(features), matrix.new_zeros(()))


@dataclass(frozen=True)
class Block:
    """A block, ``h + gate * (second act(first act(scale h + offset) + first_bias) + second_bias)``.

    Batch norms are folded in: the second one into ``first``, the first one is ``scale`` and ``offset``
    (None without one). ``gate = sigmoid(gate_weight c + gate_bias)``, or 1 without a context.
    """

    scale: Tensor | None
    offset: Tensor | None
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    gate_weight: Tensor | None
    gate_bias: Tensor | None


@dataclass(frozen=True)
class Coupling:
    """One coupling layer; its features are ordered with the I identity features first.

    Args:
        order: feature of the layer at each place, (F,) long.
        num_identity: I.
        initial: weight for the identity features, (H, I).
        initial_context: weight for the context, (H, C), or None.
        initial_bias: (H,).
        blocks: residual blocks.
        final: rows ordered parameter by parameter, (P, H), 1 / sqrt(H) of the widths and heights folded in.
        final_bias: (P,).
        activation: an elementwise function.
        num_bins: K.
        bounds: numbers of the spline.
    """

    order: Tensor
    num_identity: int
    initial: Tensor
    initial_context: Tensor | None
    initial_bias: Tensor
    blocks: tuple[Block, ...]
    final: Tensor
    final_bias: Tensor
    activation: Any
    num_bins: int
    bounds: SplineBounds


@dataclass(frozen=True)
class FoldedFlow:
    """``affines[0], couplings[0], affines[1], ..., affines[n]``, from parameters to noise."""

    features: int
    affines: tuple[Affine, ...]
    couplings: tuple[Coupling, ...]


def nflows_name(thing: nn.Module) -> str:
    """Name a module's class within nflows, or within a copy of it such as glasflow's; "" for another's.

    >>> nflows_name(nn.Identity())
    ''
    """
    kind = type(thing)
    parts = kind.__module__.split(".")
    if "nflows" not in parts:
        return ""
    return ".".join([*parts[len(parts) - parts[::-1].index("nflows") :], kind.__qualname__])


@torch.no_grad()
def fold(flow: nn.Module) -> FoldedFlow:
    """Fold the transform of an nflows flow, with evaluation-mode semantics.

    Args:
        flow: an ``nflows.flows.base.Flow``, or the same of a copy of nflows.

    Returns:
        Its matrices in float64 where they are folded (linear layers), in the flow's own dtype elsewhere.

    Raises:
        UnknownPartError: a part is of a kind that is not known.
    """
    transform = _attribute(flow, "_transform")
    couplings: list[Coupling] = []
    features: int | None = None
    parts = list(flat(transform))
    for part in parts:
        if nflows_name(part).startswith("transforms.coupling."):
            features = part.features
    if features is None:
        raise UnknownPartError("a flow without a coupling transform")
    device = next(flow.parameters()).device
    affines = [Affine.identity(features, device)]
    for part in parts:
        if nflows_name(part) == "transforms.coupling.PiecewiseRationalQuadraticCouplingTransform":
            if part.features != features:
                raise UnknownPartError(f"coupling layers of {features} and {part.features} features")
            couplings.append(_coupling(part))
            affines.append(Affine.identity(features, device))
        else:
            affines[-1] = affines[-1].then(_affine(part, features, device))
    # the order of a coupling layer goes into the matrices around it
    for k, coupling in enumerate(couplings):
        order = coupling.order
        before, after = affines[k], affines[k + 1]
        affines[k] = Affine(before.matrix[order], before.shift[order], before.logabsdet)
        affines[k + 1] = Affine(after.matrix[:, order], after.shift, after.logabsdet)
    return FoldedFlow(features, tuple(affines), tuple(couplings))


def _attribute(thing: nn.Module, name: str) -> Any:
    found = getattr(thing, name, None)
    if found is None:
        raise UnknownPartError(f"{type(thing).__qualname__} without {name}")
    return found


def flat(transform: Any) -> Iterator[Any]:
    """Go through the parts of nested composite transforms."""
    if nflows_name(transform) == "transforms.base.CompositeTransform":
        for part in transform._transforms:
            yield from flat(part)
    else:
        yield transform


def _affine(part: Any, features: int, device: torch.device) -> Affine:
    """Fold a transform that is affine whatever its input."""
    name = nflows_name(part)
    plain = Affine.identity(features, device)
    if name == "transforms.standard.IdentityTransform":
        return plain
    if name == "transforms.base.InverseTransform":
        folded = plain
        for inner in flat(part._transform):
            folded = folded.then(_affine(inner, features, device))
        return folded.inverse()
    if name.startswith("transforms.permutations.") and part._dim == 1 and len(part._permutation) == features:
        return Affine(plain.matrix[part._permutation], plain.shift, plain.logabsdet)
    if name == "transforms.lu.LULinear":
        lower, upper = (triangle.double() for triangle in part._create_lower_upper())
        upper_diagonal = functional.softplus(part.unconstrained_upper_diag.double()) + part.eps
        upper = upper.triu(1) + torch.diag(upper_diagonal)
        return Affine(lower @ upper, part.bias.double(), upper_diagonal.log().sum())
    if name == "transforms.linear.NaiveLinear":
        matrix = part._weight.double()
        return Affine(matrix, part.bias.double(), torch.linalg.slogdet(matrix).logabsdet)
    if name in ("transforms.standard.PointwiseAffineTransform", "transforms.standard.AffineTransform"):
        scale = part._scale.double().expand(features)
        return Affine(torch.diag(scale), part._shift.double().expand(features).clone(), scale.log().sum())
    if name == "transforms.normalization.BatchNorm":
        weight = functional.softplus(part.unconstrained_weight.double()) + part.eps
        scale = weight / (part.running_var.double() + part.eps).sqrt()
        shift = part.bias.double() - scale * part.running_mean.double()
        return Affine(torch.diag(scale), shift, scale.log().sum())
    raise UnknownPartError(f"{type(part).__module__}.{type(part).__qualname__}")


def _coupling(part: Any) -> Coupling:
    net, bins = part.transform_net, part.num_bins
    if part.tails != "linear":
        raise UnknownPartError(f"a rational-quadratic spline with tails={part.tails!r}")
    if part.unconditional_transform is not None:
        raise UnknownPartError("a coupling transform with an unconditional transform")
    if nflows_name(net) != "nn.nets.resnet.ResidualNet":
        raise UnknownPartError(f"the conditioner {type(net).__module__}.{type(net).__qualname__}")
    num_identity, num_transformed = len(part.identity_features), len(part.transform_features)
    if not num_identity or not num_transformed:
        raise UnknownPartError("a coupling transform that splits nothing")
    weight, bias = net.initial_layer.weight.detach(), net.initial_layer.bias.detach()
    final, final_bias = net.final_layer.weight.detach(), net.final_layer.bias.detach()
    scale = final.new_ones(3 * bins - 1)
    scale[: 2 * bins] /= net.hidden_features**0.5
    rows = final.view(num_transformed, 3 * bins - 1, -1) * scale[:, None]
    row_biases = final_bias.view(num_transformed, 3 * bins - 1) * scale
    activations = {block.activation for block in net.blocks}
    if len(activations) != 1:
        raise UnknownPartError("residual blocks with different activations")
    activation = activations.pop()
    if activation not in _ELEMENTWISE_FUNCTIONS and type(activation) not in _ELEMENTWISE_MODULES:
        raise UnknownPartError(f"the activation {activation!r}")
    return Coupling(
        order=torch.cat((part.identity_features, part.transform_features)),
        num_identity=num_identity,
        initial=weight[:, :num_identity].contiguous(),
        initial_context=weight[:, num_identity:].contiguous() if net.context_features is not None else None,
        initial_bias=bias,
        blocks=tuple(_block(block, net.context_features is not None) for block in net.blocks),
        final=rows.transpose(0, 1).flatten(0, 1).contiguous(),
        final_bias=row_biases.t().flatten().contiguous(),
        activation=activation,
        num_bins=bins,
        bounds=SplineBounds(
            float(part.tail_bound),
            float(part.min_bin_width),
            float(part.min_bin_height),
            float(part.min_derivative),
        ),
    )


def _block(block: Any, has_context: bool) -> Block:
    first, second = block.linear_layers
    first_weight, first_bias = first.weight.detach(), first.bias.detach()
    scale = offset = None
    if block.use_batch_norm:
        scale, offset = _batch_norm(block.batch_norm_layers[0])
        after_scale, after_offset = _batch_norm(block.batch_norm_layers[1])
        first_bias = (first_bias.double() * after_scale + after_offset).to(first_weight.dtype)
        first_weight = (first_weight.double() * after_scale[:, None]).to(first_weight.dtype)
        scale, offset = scale.to(first_weight.dtype), offset.to(first_weight.dtype)
    return Block(
        scale=scale,
        offset=offset,
        first=first_weight,
        first_bias=first_bias,
        second=second.weight.detach(),
        second_bias=second.bias.detach(),
        gate_weight=block.context_layer.weight.detach() if has_context else None,
        gate_bias=block.context_layer.bias.detach() if has_context else None,
    )


def _batch_norm(layer: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Give the scale and offset of a batch norm's running statistics, (H,) float64 each."""
    if layer.running_mean is None or layer.running_var is None:
        raise UnknownPartError("a batch norm without running statistics")
    scale = (layer.running_var.double() + layer.eps).rsqrt()
    offset = -layer.running_mean.double() * scale
    if layer.affine:
        scale, offset = scale * layer.weight.double(), offset * layer.weight.double() + layer.bias.double()
    return scale, offset
