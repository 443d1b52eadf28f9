"""The forward spline of training with its gradient in native code."""

# T dimensions, K bins, B rows of a batch

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.flows.native.build import CBounds, library
from lightning_itwin.flows.rational_quadratic import SplineBounds


def native_spline(
    values: Tensor, parameters: Tensor, bounds: SplineBounds, num_bins: int, factor: float
) -> tuple[Tensor, Tensor]:
    """Evaluate nflows' unconstrained rational-quadratic spline, differentiably, on the CPU in float32.

    Args:
        values: (T, B).
        parameters: in nflows' order, dimension by dimension: widths, heights, derivatives, (T (3 K - 1), B).
        bounds: numbers of the spline.
        num_bins: K.
        factor: on widths and heights, 1 / sqrt(hidden features) with nflows' networks.

    Returns:
        The transformed values (T, B) and the log-determinants (B,).

    Raises:
        NativeBuildError: native code cannot be built here.
    """
    return _Spline.apply(values.contiguous(), parameters.contiguous(), bounds, num_bins, factor)


class _Spline(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, parameters: Tensor, bounds: SplineBounds, num_bins: int, factor: float
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(values, parameters)
        ctx.numbers = CBounds.of(bounds), num_bins, factor
        outputs, logabsdet = torch.empty_like(values), values.new_empty(values.shape[1])
        _call("spline_forward", ctx.numbers, values, values, parameters, outputs, logabsdet)
        return outputs, logabsdet

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_outputs: Tensor, of_logabsdet: Tensor) -> tuple[Tensor | None, ...]:
        values, parameters = ctx.saved_tensors
        of_values, of_parameters = torch.empty_like(values), torch.empty_like(parameters)
        of_outputs, of_logabsdet = of_outputs.contiguous(), of_logabsdet.contiguous()
        _call(
            "spline_gradient",
            ctx.numbers,
            values,
            *(values, parameters, of_outputs, of_logabsdet, of_values, of_parameters),
        )
        return of_values, of_parameters, None, None, None


def _call(name: str, numbers: tuple[CBounds, int, float], like: Tensor, *arrays: Tensor) -> None:
    bounds, num_bins, factor = numbers
    getattr(library(), name)(
        ctypes.byref(bounds), num_bins, factor, *like.shape, *(array.data_ptr() for array in arrays)
    )
