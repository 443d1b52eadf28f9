"""The spline against nflows' own, in both directions and with gradients."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("nflows")

from nflows.transforms.splines import unconstrained_rational_quadratic_spline

from lightning_itwin.flows.native import block_splines, native_spline
from lightning_itwin.flows.rational_quadratic import SplineBounds, rational_quadratic_spline

BOUNDS = SplineBounds(tail_bound=3.0, min_bin_width=2e-3, min_bin_height=1e-3, min_derivative=5e-3)


def case(
    bins: int, dtype: torch.dtype, dimensions: int = 4, batch: int = 501
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (T, B), some outside, at the bounds and one not a number, and parameters (T, 3 K - 1, B)."""
    torch.manual_seed(bins)
    values = 2 * torch.randn(dimensions, batch, dtype=dtype)
    values[0, :5] = torch.tensor([3.0, -3.0, 100.0, -1e5, 0.0])
    return values, 3 * torch.randn(dimensions, 3 * bins - 1, batch, dtype=dtype)


def of_nflows(
    values: torch.Tensor, parameters: torch.Tensor, bins: int, inverse: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = parameters.transpose(1, 2)
    return unconstrained_rational_quadratic_spline(
        values,
        rows[..., :bins],
        rows[..., bins : 2 * bins],
        rows[..., 2 * bins :],
        inverse=inverse,
        tails="linear",
        **BOUNDS._asdict(),
    )


def ours(
    values: torch.Tensor, parameters: torch.Tensor, bins: int, inverse: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    planes = parameters.unbind(1)
    return rational_quadratic_spline(
        values, planes[:bins], planes[bins : 2 * bins], planes[2 * bins :], BOUNDS, inverse
    )


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("bins", [2, 3, 8, 17])
def test_equals_nflows(bins: int, inverse: bool) -> None:
    values, parameters = case(bins, torch.float64)
    for found, wanted in zip(
        ours(values, parameters, bins, inverse), of_nflows(values, parameters, bins, inverse)
    ):
        assert torch.allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bins", [2, 8])
def test_there_and_back(bins: int) -> None:
    values, parameters = case(bins, torch.float64)
    there, logabsdet = ours(values, parameters, bins, False)
    back, back_logabsdet = ours(there, parameters, bins, True)
    # slopes reach 1e-4 here: nflows itself comes back to 4e-10
    assert torch.allclose(back, values, rtol=0, atol=2e-9)
    assert torch.allclose(back_logabsdet, -logabsdet, rtol=0, atol=1e-8)


def test_not_a_number_stays_where_it_is() -> None:
    values, parameters = case(8, torch.float64)
    parameters[1, :, 7] = torch.nan
    values[2, 3] = torch.nan
    outputs, _ = ours(values, parameters, 8, True)
    wanted = torch.zeros_like(values, dtype=torch.bool)
    wanted[1, 7] = wanted[2, 3] = True
    assert torch.equal(outputs.isnan(), wanted)


def gradients(function, values: torch.Tensor, parameters: torch.Tensor) -> list[torch.Tensor]:
    values, parameters = values.clone().requires_grad_(), parameters.clone().requires_grad_()
    outputs, logabsdet = function(values, parameters)
    weights = torch.linspace(-1, 2, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    ((weights * outputs).sum() + (logabsdet * weights[0]).sum()).backward()
    return [outputs.detach(), logabsdet.detach(), values.grad, parameters.grad]


@pytest.mark.parametrize("bins", [2, 3, 8, 17])
def test_native_gradients_are_nflows_gradients(bins: int) -> None:
    values, parameters = case(bins, torch.float32)
    factor = 0.7

    def through_nflows(values: torch.Tensor, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scale = torch.ones(3 * bins - 1, 1, dtype=values.dtype)
        scale[: 2 * bins] = factor
        outputs, logabsdet = of_nflows(values, parameters.view(4, 3 * bins - 1, -1) * scale, bins, False)
        return outputs, logabsdet.sum(0)

    flat = parameters.flatten(0, 1)
    found = gradients(lambda v, p: native_spline(v, p, BOUNDS, bins, factor), values, flat)
    of_float32 = gradients(through_nflows, values, flat)
    truth = gradients(through_nflows, values.double(), flat.double())
    for ours, theirs, true in zip(found, of_float32, truth):
        assert ours.isfinite().all()
        scale = 1e-6 * true.abs().mean()
        for quantile in (0.5, 0.9, 0.99):  # a value that rounding takes over a knot has another gradient
            error, allowed = ((each.double() - true).abs().quantile(quantile) for each in (ours, theirs))
            assert error <= 2.5 * allowed + scale


@pytest.mark.parametrize("batch", [1, 15, 16, 33])
def test_native_rows_do_not_depend_on_each_other(batch: int) -> None:
    values, parameters = case(8, torch.float32)
    values, parameters = values.requires_grad_(), parameters.flatten(0, 1).requires_grad_()
    outputs, logabsdet = native_spline(values, parameters, BOUNDS, 8, 1.0)
    (outputs.sum() + logabsdet.sum()).backward()
    some, of_some = (each.detach()[:, :batch].clone().requires_grad_() for each in (values, parameters))
    some_outputs, some_logabsdet = native_spline(some, of_some, BOUNDS, 8, 1.0)
    (some_outputs.sum() + some_logabsdet.sum()).backward()
    assert torch.equal(some_outputs, outputs[:, :batch])
    assert torch.equal(some_logabsdet, logabsdet[:batch])
    assert torch.equal(some.grad, values.grad[:, :batch])
    assert torch.equal(of_some.grad, parameters.grad[:, :batch])


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("bins", [2, 3, 8, 17])
def test_the_splines_of_native_steps_are_as_near_to_the_truth_as_nflows(bins: int, inverse: bool) -> None:
    values, parameters = case(bins, torch.float32)
    outputs, logabsdet = block_splines(values.t(), parameters.permute(2, 0, 1), BOUNDS, bins, inverse)
    of_float32, truth = (
        of_nflows(values.to(dtype), parameters.to(dtype), bins, inverse)
        for dtype in (torch.float32, torch.float64)
    )
    assert torch.equal(outputs.t()[0, 2:4], values[0, 2:4])
    for found, near, true in (
        (outputs.t(), of_float32[0], truth[0]),
        (logabsdet, of_float32[1].sum(0), truth[1].sum(0)),
    ):
        for quantile in (0.5, 0.9, 0.99):
            error, allowed = ((each.double() - true).abs().quantile(quantile) for each in (found, near))
            assert error <= 2.5 * allowed + 1e-7 * true.abs().mean()
