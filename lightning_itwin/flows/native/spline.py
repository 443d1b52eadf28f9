"""Splines alone in native code: the differentiable one of training, and the ones inside a step."""

# T dimensions, K bins, B rows of a batch

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

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


def block_splines(
    values: Tensor, parameters: Tensor, bounds: SplineBounds, num_bins: int, inverse: bool
) -> tuple[Tensor, Tensor]:
    """Evaluate the splines that the native steps evaluate, in blocks of rows, without gradients.

    Args:
        values: (N, T) float32.
        parameters: in nflows' order, scaled, (N, T, 3 K - 1) float32.
        bounds: numbers of the splines.
        num_bins: K.
        inverse: give the inverse.

    Returns:
        The transformed values (N, T) and the log-determinants (N,).
    """
    rows = int(library().block_rows())
    count, dimensions = values.shape
    blocks = -(-count // rows)
    widths, heights, slopes = parameters.split([num_bins, num_bins, num_bins - 1], dim=-1)
    less = torch.cat((widths[..., 1:] - widths[..., :1], heights[..., 1:] - heights[..., :1], slopes), dim=-1)
    packed = functional.pad(less.flatten(1), (0, 0, 0, blocks * rows - count))
    packed = packed.view(blocks, rows, dimensions, -1).permute(0, 3, 2, 1).contiguous()
    held = functional.pad(values, (0, 0, 0, blocks * rows - count))
    held = held.view(blocks, rows, dimensions).transpose(1, 2).contiguous()
    logabsdet = values.new_zeros(blocks * rows)
    run_block_splines(held, packed, logabsdet, bounds, num_bins, inverse)
    return held.transpose(1, 2).reshape(-1, dimensions)[:count], logabsdet[:count]


def run_block_splines(
    values: Tensor, packed: Tensor, logabsdet: Tensor, bounds: SplineBounds, num_bins: int, inverse: bool
) -> None:
    """Do the work of ``block_splines`` in place: values (blocks, T, R), packed (blocks, 3 K - 3, T, R)."""
    blocks, dimensions, _ = values.shape
    library().block_splines(
        ctypes.byref(CBounds.of(bounds)),
        num_bins,
        int(inverse),
        dimensions,
        blocks,
        values.data_ptr(),
        packed.data_ptr(),
        logabsdet.data_ptr(),
    )


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
