"""Evenly spaced frequencies that are multiples of their own spacing, as a Fourier transform has them."""

from __future__ import annotations

from torch import Tensor


def grid_step(frequency_hz: Tensor) -> tuple[float, int]:
    """Give the spacing of a grid and the number of its first frequency.

    Args:
        frequency_hz: evenly spaced multiples of their spacing, above 0, (F,) with F >= 2.

    Returns:
        spacing in Hz; k of the first frequency, k times the spacing.

    Raises:
        ValueError: the frequencies are no such grid.

    >>> import torch
    >>> grid_step(torch.arange(80, 100) / 8.0)
    (0.125, 80)
    """
    if frequency_hz.ndim != 1 or len(frequency_hz) < 2:
        raise ValueError(f"At least two frequencies are needed, (F,), not {tuple(frequency_hz.shape)}.")
    low, high = frequency_hz[0].item(), frequency_hz[-1].item()
    step = (high - low) / (len(frequency_hz) - 1)
    first = round(low / step) if step > 0 else 0
    if first < 1 or abs(low - first * step) > 1e-6 * step * first:
        raise ValueError(
            f"Frequencies must be ascending multiples of their spacing above 0, not {low:g} to {high:g} Hz "
            f"in {len(frequency_hz)} steps."
        )
    return step, first
