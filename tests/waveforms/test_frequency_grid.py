from __future__ import annotations

import pytest
import torch

from lightning_itwin.waveforms.frequency_grid import grid_step


def test_step_and_first_number_are_found() -> None:
    assert grid_step(torch.arange(40, 50, dtype=torch.float64) / 4) == (0.25, 40)


@pytest.mark.parametrize(
    "frequency_hz",
    [torch.tensor([3.0]), torch.tensor([3.0, 2.0]), torch.tensor([0.0, 1.0]), torch.tensor([1.3, 2.3, 3.3])],
)
def test_anything_else_is_refused(frequency_hz: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="requencies"):
        grid_step(frequency_hz)
