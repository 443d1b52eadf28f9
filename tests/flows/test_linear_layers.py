"""Linear layers of a pass: both ways give autograd's gradients, whatever of them is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from lightning_itwin.flows.linear_layers import DeferredLinear, DirectLinear

SHAPES = [(4, 3), (4, 4), (4, 4), (7, 4)]  # rows into four, twice four into four, columns out


def made(train: tuple[bool, ...] = (True,) * 4) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = [random(*shape).requires_grad_(wanted) for shape, wanted in zip(SHAPES, train)]
    biases = [random(outputs).requires_grad_(wanted) for (outputs, _), wanted in zip(SHAPES, train)]
    return weights, [None, *biases[1:]]


def network(
    kind: type[DirectLinear], weights: list[torch.Tensor], biases: list[torch.Tensor | None]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(6, 3, generator=generator, dtype=torch.float64).requires_grad_()
    share = torch.randn(6, 4, generator=generator, dtype=torch.float64).requires_grad_()
    linear = kind(weights, biases)
    hidden = linear(0, rows, onto=share)
    hidden = linear(1, hidden, activation=functional.relu)
    hidden = hidden + linear(2, hidden, activation=torch.tanh)
    return linear(3, hidden, columns=True), rows, share


def plain(weights: list[torch.Tensor], biases: list[torch.Tensor | None]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    share = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    hidden = share + rows @ weights[0].t()
    hidden = functional.linear(hidden, weights[1], biases[1]).relu()
    hidden = hidden + functional.linear(hidden, weights[2], biases[2]).tanh()
    return functional.linear(hidden, weights[3], biases[3]).t()


@pytest.mark.parametrize("kind", [DirectLinear, DeferredLinear])
@pytest.mark.parametrize("train", [(True,) * 4, (False, True, False, True), (False, False, False, True)])
def test_gradients_are_autograds(kind: type[DirectLinear], train: tuple[bool, ...]) -> None:
    tensors = [tensor for part in made(train) for tensor in part if tensor is not None]
    wanted_of = [tensor for tensor in tensors if tensor.requires_grad]
    weights, biases = tensors[:4], [None, *tensors[4:]]
    wanted = plain(weights, biases)
    slopes = torch.linspace(-1, 1, wanted.numel(), dtype=torch.float64).view_as(wanted)
    found, rows, share = network(kind, weights, biases)
    assert torch.allclose(found, wanted)
    assert found.shape == (7, 6)
    gradients = torch.autograd.grad(found, [*wanted_of, rows, share], slopes)
    for gradient, other in zip(gradients, torch.autograd.grad(wanted, wanted_of, slopes)):
        assert torch.allclose(gradient, other)
    assert torch.allclose(gradients[-2], gradients[-1] @ weights[0])


@pytest.mark.parametrize("kind", [DirectLinear, DeferredLinear])
def test_any_part_of_the_gradients_can_be_asked_for(kind: type[DirectLinear]) -> None:
    weights, biases = made()
    found, rows, share = network(kind, weights, biases)
    ones = torch.ones_like(found)
    all_of = torch.autograd.grad(found, [*weights, rows, share], ones, retain_graph=True)
    for asked, wanted in zip([*weights, rows, share], all_of):
        (alone,) = torch.autograd.grad(found, asked, ones, retain_graph=True)  # the graph serves again
        assert torch.allclose(alone, wanted)


def test_a_layer_that_the_loss_does_not_see_has_no_gradient() -> None:
    weights, biases = made()
    linear = DeferredLinear(weights, biases)
    linear(1, torch.ones(2, 4, dtype=torch.float64)).sum().backward()
    assert [weight.grad is None for weight in weights] == [True, False, True, True]


def test_without_gradients_it_is_a_product_alone() -> None:
    weights, biases = made()
    with torch.no_grad():
        found, _, _ = network(DeferredLinear, weights, biases)
    assert not found.requires_grad
    assert torch.allclose(found, plain(weights, biases))


def test_a_weight_changed_before_the_backward_pass_is_noticed() -> None:
    weights, biases = made()
    found, _, _ = network(DeferredLinear, weights, biases)
    with torch.no_grad():
        weights[2].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


def test_a_pass_leaves_no_memory_behind() -> None:
    import gc
    import weakref

    weights, biases = made()
    gc.collect()
    gc.disable()
    try:
        found, _, _ = network(DeferredLinear, weights, biases)
        node = weakref.ref(found)
        found.sum().backward()
        met = found.grad_fn.met  # type: ignore[union-attr]
        assert not met
        del found
        assert node() is None
    finally:
        gc.enable()


def test_a_relu_in_one_launch_with_its_product(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, biases = made()
    wanted = plain(weights, biases)
    asked = [*weights, *(bias for bias in biases if bias is not None)]
    exact = torch.autograd.grad(wanted.sum(), asked)
    products = DeferredLinear._products

    def fused(self: DeferredLinear, form: Any, rows: torch.Tensor, onto: Any) -> torch.Tensor:
        return products(self, form._replace(relu=form.number == 1), rows, onto)  # as on a GPU

    monkeypatch.setattr(DeferredLinear, "_products", fused)
    found, _, _ = network(DeferredLinear, weights, biases)
    assert torch.allclose(found, wanted)
    for gradient, other in zip(torch.autograd.grad(found.sum(), asked), exact):
        assert torch.allclose(gradient, other)
