"""Linear layers whose weights' gradients are made one by one, or together at the end of a backward pass."""

# B rows, I inputs, O outputs, L layers of one shape

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lightning_itwin.flows.steps import linear_relu

Activation = Callable[[Tensor], Tensor]


class _Form(NamedTuple):
    number: int
    columns: bool
    relu: bool  # in one launch with the product


class DirectLinear:
    """Linear layers for one forward and one backward pass, as autograd has them.

    Args:
        weights: of all layers, (O, I) each.
        biases: (O,) each, or None.
    """

    _fuses_relu = False

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> None:
        self._layers = list(zip(weights, biases))

    def __call__(
        self,
        number: int,
        rows: Tensor,
        *,
        activation: Activation | None = None,
        onto: Tensor | None = None,
        columns: bool = False,
    ) -> Tensor:
        """Apply a layer, once a pass.

        Args:
            number: of the layer.
            rows: (B, I).
            activation: of the products.
            onto: the products are added to it, (B, O), where the layer has no bias.
            columns: give (O, B); of a layer with a bias.

        Returns:
            (B, O) or (O, B).
        """
        fused = self._fuses_relu and activation is functional.relu and rows.is_cuda
        products = self._products(_Form(number, columns, fused), rows, onto)
        return products if activation is None or fused else activation(products)

    def _products(self, form: _Form, rows: Tensor, onto: Tensor | None) -> Tensor:
        return _products(form, rows, *self._layers[form.number], onto)


class DeferredLinear(DirectLinear):
    """The same for a GPU, where many small launches wait for each other.

    The backward pass of a layer only notes what its weight's gradient is a product of; at the end one batched
    product follows for all layers of one shape. Gradients of gradients there are none.

    >>> weights, rows = [torch.ones(1, 2, requires_grad=True) for _ in range(2)], torch.ones(3, 2)
    >>> layers = DeferredLinear(weights, [None, None])
    >>> (layers(0, rows) + layers(1, 2 * rows)).sum().backward()
    >>> [weight.grad.tolist() for weight in weights]
    [[[3.0, 3.0]], [[6.0, 6.0]]]
    """

    _fuses_relu = True

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> None:
        super().__init__(
            [weight.detach() for weight in weights],
            [None if bias is None else bias.detach() for bias in biases],
        )
        self._met: dict[int, _Met] = {}
        # every layer reads it, so that the backward pass reaches it after theirs
        self._anchor: Tensor = _Gradients.apply(self._met, *weights, *biases)

    def _products(self, form: _Form, rows: Tensor, onto: Tensor | None) -> Tensor:
        weight, bias = self._layers[form.number]
        products: Tensor = _Linear.apply(form, self._met, self._anchor, rows, weight, bias, onto)
        return products


def _products(form: _Form, rows: Tensor, weight: Tensor, bias: Tensor | None, onto: Tensor | None) -> Tensor:
    if form.columns and bias is not None:
        return torch.addmm(bias[:, None], weight, rows.t())
    if form.relu and bias is not None:
        return linear_relu(rows, weight, bias)
    if onto is not None:
        return torch.addmm(onto, rows, weight.t())
    return functional.linear(rows, weight, bias)


class _Met(NamedTuple):
    rows: Tensor  # (B, I)
    slopes: Tensor  # of the products: (O, B) of columns, else (B, O)
    columns: bool


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        form: _Form,
        met: dict[int, _Met],
        anchor: Tensor,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        onto: Tensor | None,
    ) -> Tensor:
        products = _products(form, rows, weight, bias, onto)
        ctx.form, ctx.met = form, met
        ctx.save_for_backward(rows, weight, products if form.relu else None)
        return products

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        form, (rows, weight, products) = ctx.form, ctx.saved_tensors
        slopes = slopes.to(weight.dtype)  # under autocast it is another
        if form.relu:
            slopes = torch.ops.aten.threshold_backward(slopes, products, 0)
        if ctx.needs_input_grad[2]:
            ctx.met[form.number] = _Met(rows, slopes, form.columns)
        of_rows = None
        if ctx.needs_input_grad[3]:
            of_rows = ((slopes.t() if form.columns else slopes) @ weight).to(rows.dtype)
        return None, None, None, of_rows, None, None, slopes if ctx.needs_input_grad[6] else None


class _Gradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, met: dict[int, _Met], *tensors: Tensor | None) -> Tensor:
        ctx.met = met
        ctx.set_materialize_grads(False)
        return next(tensor for tensor in tensors if tensor is not None).new_empty(())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: Tensor | None) -> tuple[Tensor | None, ...]:
        count = len(ctx.needs_input_grad[1:]) // 2
        gradients: list[Tensor | None] = [None] * (2 * count)
        groups: dict[Any, list[int]] = {}
        for number, met in ctx.met.items():
            groups.setdefault((met.rows.shape, met.slopes.shape, met.columns), []).append(number)
        for (_, _, columns), numbers in groups.items():
            slopes = torch.stack([ctx.met[number].slopes for number in numbers])
            rows_LBI = torch.stack([ctx.met[number].rows for number in numbers]).to(slopes.dtype)
            slopes_LOB = slopes if columns else slopes.transpose(1, 2)
            of_weights, of_biases = (slopes_LOB @ rows_LBI).unbind(), slopes_LOB.sum(2).unbind()
            for place, number in enumerate(numbers):
                gradients[number] = of_weights[place]
                if ctx.needs_input_grad[1 + count + number]:
                    gradients[count + number] = of_biases[place]
        ctx.met.clear()
        return None, *gradients
