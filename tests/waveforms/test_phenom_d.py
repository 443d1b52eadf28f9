from __future__ import annotations

import torch

from lightning_itwin.waveforms.phenom_d import PhenomD, ringdown_amplitude
from lightning_itwin.waveforms.power_sums import power_basis
from lightning_itwin.waveforms.quasinormal_mode import QuasinormalMode

ETA = torch.tensor([0.25, 0.2, 0.1], dtype=torch.float64)
CHI = torch.tensor([0.5, -0.7, 0.9], dtype=torch.float64)


def model() -> PhenomD:
    return PhenomD.of(ETA, CHI, -CHI / 2, torch.zeros(3, dtype=torch.float64), QuasinormalMode())


def at(rows: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (rows * power_basis(x).T).sum(1)


def slope(rows: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (at(rows, x + 1e-6) - at(rows, x - 1e-6)) / 2e-6


def test_the_phase_goes_on_smoothly_from_region_to_region() -> None:
    made = model()
    join = torch.full((3,), 0.018, dtype=torch.float64)
    torch.testing.assert_close(at(made.inspiral_phase, join), at(made.intermediate_phase, join))
    torch.testing.assert_close(
        slope(made.inspiral_phase, join), slope(made.intermediate_phase, join), rtol=1e-6, atol=1e-3
    )
    join = made.ring_frequency / 2
    factor, centre = made.arc_tangent
    turn = factor * ((join - centre) / made.damping_frequency).atan()
    torch.testing.assert_close(at(made.intermediate_phase, join), at(made.ringdown_phase, join) + turn)


def test_the_amplitude_goes_on_smoothly_from_region_to_region() -> None:
    made = model()
    c_0, c_1, c_2, c_3, c_4 = made.intermediate_amplitude
    begin = torch.full((3,), 0.014, dtype=torch.float64)
    half = (made.amplitude_end - begin) / 2
    torch.testing.assert_close(c_0 - c_1 + c_2 - c_3 + c_4, at(made.inspiral_amplitude, begin))
    torch.testing.assert_close(
        (c_1 - 2 * c_2 + 3 * c_3 - 4 * c_4) / half,
        slope(made.inspiral_amplitude, begin),
        rtol=1e-6,
        atol=1e-6,
    )
    value, fall = ringdown_amplitude(
        made.amplitude_end, made.ring_frequency, made.damping_frequency, made.gamma
    )
    torch.testing.assert_close(c_0 + c_1 + c_2 + c_3 + c_4, value)
    torch.testing.assert_close((c_1 + 2 * c_2 + 3 * c_3 + 4 * c_4) / half, fall)
