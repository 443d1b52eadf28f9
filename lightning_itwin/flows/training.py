"""fast_training: the density of an nflows flow with gradients, for training steps."""

# B rows of a batch, F features, S steps

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_itwin.cuda_graph import RecordedTraining
from lightning_itwin.flows import native
from lightning_itwin.flows.base_distribution import BaseDistribution
from lightning_itwin.flows.compiling import compiled
from lightning_itwin.flows.folding import UnknownPartError, flat, fold, nflows_name
from lightning_itwin.flows.linear_layers import DeferredLinear, DirectLinear
from lightning_itwin.flows.rational_quadratic import SplineBounds
from lightning_itwin.flows.training_networks import Close, TrainingNetworks, close_block
from lightning_itwin.flows.training_step import (
    Advance,
    Numbers,
    Spline,
    advance,
    enter,
    native_spline,
    torch_spline,
)

_COUPLING = "transforms.coupling.PiecewiseRationalQuadraticCouplingTransform"


class TrainingFlow:
    """The log-density of a flow from its own parameters and modules, with gradients; see ``fast_training``.

    It holds no parameters, changes nothing in the flow and needs no refresh. Batch norms and dropout act as
    the mode of the flow says.

    Attributes:
        flow: the flow.
        fallback_reason: what makes it run through nflows; None where it is fast.
    """

    def __init__(self, flow: Any, compile: str = "auto", gradients_in_place: bool = False) -> None:
        self.flow = flow
        self.fallback_reason: str | None = None
        self._native: bool | None = None
        self._compile = compile
        self._in_place = gradients_in_place
        try:
            self._base = BaseDistribution(flow._distribution)
            fold(flow)  # knows what is known
            self._arrange()
        except UnknownPartError as unknown:
            self.fallback_reason = str(unknown)
            warnings.warn(f"This flow trains through nflows: it has {unknown}.", stacklevel=3)
            return
        self._recorded = RecordedTraining(
            self._log_prob, list(flow.parameters()), gradients_in_place=gradients_in_place
        )
        self._fused_advance = compiled(advance, dynamic=None)
        self._fused_close = compiled(close_block, dynamic=None)

    def __reduce__(self) -> tuple[Any, ...]:  # a copy records graphs of its own copy of the flow
        return TrainingFlow, (self.flow, self._compile, self._in_place)

    def _arrange(self) -> None:
        self._couplings, self._permutations, self._layers = _arranged(self.flow._transform)
        device, first = self._permutations[0].device, self._layers[0]
        # on the device once: a CUDA graph cannot copy from the host
        self._triangles = [
            torch.from_numpy(np.stack(indices)).to(device)
            for indices in (first.lower_indices, first.upper_indices)
        ]

    def log_prob(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
        """Give the log-density of parameters.

        Args:
            inputs: (B, F).
            context: (B, ...), or None for a flow without one; goes through the flow's embedding net.

        Returns:
            (B,).
        """
        if self.fallback_reason is not None:
            return self.flow.log_prob(inputs, context)
        embedded = self.flow._embedding_net(context)
        if self._permutations[0].device != self._layers[0].bias.device:
            self._arrange()
        if self._compile != "no" and inputs.device.type == "cuda" and self._repeatable():
            return self._recorded(inputs, embedded)
        return self._log_prob(inputs, embedded)

    def _log_prob(self, inputs: Tensor, embedded: Tensor | None) -> Tensor:
        matrices, biases, logabsdet = self._linear_layers()
        linears, close, go, spline = self._ways(inputs)
        networks = TrainingNetworks(_nets(self._couplings), embedded, linears, close)
        identities = [coupling.num_identity_features for coupling in self._couplings]
        values, rows = enter(inputs.t(), matrices[0], biases[0], identities[0])
        sums = []
        for k, coupling in enumerate(self._couplings):
            numbers = Numbers(
                spline=spline,
                bounds=_bounds(coupling),
                num_bins=coupling.num_bins,
                factor=coupling.transform_net.hidden_features**-0.5,
                identities=identities[k],
                following=identities[min(k + 1, len(identities) - 1)],
            )
            parameters = networks(k, rows)
            values, rows, step_logabsdet = go(values, parameters, matrices[k + 1], biases[k + 1], numbers)
            sums.append(step_logabsdet)
        return self._base.log_prob(values.t(), embedded) + torch.stack(sums).sum(0) + logabsdet

    def _repeatable(self) -> bool:
        # no random number is drawn, no running mean changed, and all that is trained lies inside
        blocks = [block for net in _nets(self._couplings) for block in net.blocks]
        changing = any(block.training and (block.use_batch_norm or block.dropout.p > 0) for block in blocks)
        return not changing and next(self.flow._embedding_net.parameters(), None) is None

    def _linear_layers(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """Build the matrices of all linear layers at once, the orders of the coupling layers in them.

        Returns:
            S + 1 matrices (F, F), as many biases (F, 1), and the log-determinant of all of them.
        """
        layers = self._layers
        lower_entries = torch.stack([layer.lower_entries for layer in layers])
        upper_entries = torch.stack([layer.upper_entries for layer in layers])
        raw_diagonal = torch.stack([layer.unconstrained_upper_diag for layer in layers])
        diagonal = functional.softplus(raw_diagonal) + layers[0].eps
        count, features = diagonal.shape
        (rows, columns), (upper_rows, upper_columns) = self._triangles
        lower = torch.eye(features, dtype=diagonal.dtype, device=diagonal.device).repeat(count, 1, 1)
        lower[:, rows, columns] = lower_entries
        upper = torch.diag_embed(diagonal)
        upper[:, upper_rows, upper_columns] = upper_entries
        row_orders, column_orders = self._permutations
        pick = torch.arange(count, device=diagonal.device)[:, None]
        matrices = (lower @ upper)[pick[:, :, None], row_orders[:, :, None], column_orders[:, None, :]]
        biases = torch.stack([layer.bias for layer in layers])[pick, row_orders]
        return matrices.unbind(), biases[:, :, None].unbind(), diagonal.log().sum()

    def _ways(self, inputs: Tensor) -> tuple[type[DirectLinear], Close, Advance, Spline]:
        if inputs.device.type == "cuda":
            if self._compile == "no" or not torch.is_grad_enabled():
                return DeferredLinear, close_block, advance, torch_spline
            return DeferredLinear, self._fused_close, self._fused_advance, torch_spline
        native_here = inputs.device.type == "cpu" and self._layers[0].bias.dtype == torch.float32
        if native_here and self._native is None:
            try:
                native.library()
                self._native = max(coupling.num_bins for coupling in self._couplings) <= native.MAX_BINS
            except native.NativeBuildError as error:
                self._native = False
                warnings.warn(f"The flow trains with torch alone, since {error}.", stacklevel=3)
        spline = native_spline if native_here and self._native else torch_spline
        return DirectLinear, close_block, advance, spline


def fast_training(flow: Any, *, compile: str = "auto", gradients_in_place: bool = False) -> TrainingFlow:
    """Make a faster equivalent of an nflows flow's ``log_prob`` for training steps.

    The same parameters, modules and state dict, and gradients in them: the linear layers of all steps are
    built at once, so are the context's products and the gradients of weights of one shape, and the spline is
    one function with its own gradient, native on the CPU in float32, and without masks and synchronisation
    elsewhere. On a GPU all between the products is compiled, and forward and backward pass of steps of one
    shape are CUDA graphs, recorded at the second step, unless dropout, batch norms or an embedding net of the
    flow's own are at work. Gradients of gradients there are none.

    Args:
        flow: an ``nflows.flows.base.Flow`` as ``neural_spline_flow`` builds it; any other trains through
            nflows, with a warning that names what is not known.
        compile: ``"auto"``; ``"no"``: on a GPU, torch's own kernels without graphs.
        gradients_in_place: where steps are CUDA graphs, their backward pass writes ``parameter.grad`` itself,
            the same tensor at every step, which takes less of the host's time. For ``loss.backward()`` alone:
            ``torch.autograd.grad`` finds no parameters. Where a parameter has hooks or
            ``torch.distributed`` is at work, as without it; not to be asked for under Horovod.

    Raises:
        ValueError: ``compile`` is neither.

    >>> from lightning_itwin.flows import neural_spline_flow
    >>> flow = neural_spline_flow(3, 2, hidden_features=8, num_flow_steps=1)
    >>> fast_training(flow).log_prob(torch.zeros(4, 3), torch.zeros(4, 2)).shape
    torch.Size([4])
    """
    if compile not in ("auto", "no"):
        raise ValueError(f"compile must be 'auto' or 'no', not {compile!r}.")
    return TrainingFlow(flow, compile, gradients_in_place)


def _bounds(coupling: Any) -> SplineBounds:
    return SplineBounds(
        float(coupling.tail_bound),
        float(coupling.min_bin_width),
        float(coupling.min_bin_height),
        float(coupling.min_derivative),
    )


def _arranged(transform: nn.Module) -> tuple[list[Any], tuple[Tensor, Tensor], list[Any]]:
    """Take a transform apart: permutations and an LU layer, a coupling layer, ..., an LU layer.

    Returns:
        S coupling layers; for each LU layer the orders of its rows and of its columns, (S + 1, F) each, which
        stand for the permutations and the splits around it; S + 1 LU layers.

    Raises:
        UnknownPartError: it is made otherwise.
    """
    couplings: list[Any] = []
    layers: list[Any] = [None]
    permutations: list[Any] = [None]
    for part in flat(transform):
        name = nflows_name(part)
        if name == _COUPLING:
            couplings.append(part)
            layers.append(None)
            permutations.append(None)
        elif name == "transforms.lu.LULinear" and layers[-1] is None:
            layers[-1] = part
        elif name.startswith("transforms.permutations.") and layers[-1] is None:
            before = permutations[-1]
            permutations[-1] = part._permutation if before is None else before[part._permutation]
        else:
            raise UnknownPartError(
                f"{type(part).__qualname__} where permutations and one LU layer are expected"
            )
    if None in layers:
        raise UnknownPartError("coupling layers without an LU layer before and after each")
    if len({layer.eps for layer in layers}) > 1 or len({len(net.blocks) for net in _nets(couplings)}) > 1:
        raise UnknownPartError("steps that differ")
    if len({(net.hidden_features, net.context_features) for net in _nets(couplings)}) > 1:
        raise UnknownPartError("steps that differ")
    identity = torch.arange(layers[0].features, device=layers[0].bias.device)
    orders = [torch.cat((part.identity_features, part.transform_features)) for part in couplings]
    columns = []
    for k, permutation in enumerate(permutations):
        # the layer reads input[permutation], and the input is in the order of the coupling layer before
        inverse = identity if permutation is None else torch.argsort(permutation)
        columns.append(inverse if k == 0 else inverse[orders[k - 1]])
    return couplings, (torch.stack([*orders, identity]), torch.stack(columns)), layers


def _nets(couplings: list[Any]) -> list[Any]:
    return [coupling.transform_net for coupling in couplings]
