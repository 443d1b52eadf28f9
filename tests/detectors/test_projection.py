from __future__ import annotations

import math

import pytest
import torch

from lightning_itwin.detectors.projection import time_shift


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex64, 3e-7), (torch.complex128, 1e-10)])
def test_the_shift_is_that_of_one_sine_for_every_frequency(dtype: torch.dtype, tolerance: float) -> None:
    delay_s = torch.tensor([[7.013, -0.021], [0.0, 1e-3]], dtype=torch.float64)
    made = time_shift(delay_s, 80, 1001, 0.125, dtype)
    turns = delay_s[..., None] * torch.arange(80, 1081, dtype=torch.float64) * 0.125
    truth = torch.polar(torch.ones_like(turns), -2 * math.pi * turns)
    assert made.shape == (2, 2, 1001)
    assert made.dtype == dtype
    assert (made - truth).abs().max() < tolerance


def test_fewer_frequencies_than_a_block_are_shifted_too() -> None:
    delay_s = torch.tensor([0.3], dtype=torch.float64)
    whole = time_shift(delay_s, 80, 300, 0.125, torch.complex128)
    torch.testing.assert_close(time_shift(delay_s, 80, 5, 0.125, torch.complex128), whole[:, :5])
