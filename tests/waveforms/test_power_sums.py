from __future__ import annotations

import math

import pytest
import torch

from lightning_itwin.waveforms.power_sums import (
    BASIS,
    Joint,
    as_rows,
    line,
    per_frequency,
    power_basis,
    slope_at,
    value_at,
)

PARTS = {name: torch.arange(1.0, 4.0, dtype=torch.float64) / (1 + n) for n, name in enumerate(BASIS)}
X = torch.tensor([0.02, 0.05, 0.1], dtype=torch.float64)


def function(name: str, x: float) -> float:
    if name == "log":
        return math.log(x)
    if name == "1/3 log":
        return x ** (1 / 3) * math.log(x)
    above, below = name.split("/")
    return x ** (int(above) / int(below))


def test_the_functions_are_those_that_their_names_say() -> None:
    wanted = [[function(name, x) for x in X.tolist()] for name in BASIS]
    torch.testing.assert_close(power_basis(X), torch.tensor(wanted, dtype=torch.float64))


@pytest.mark.parametrize("names", [BASIS, ("log",), ("3/4", "1/3 log"), ("-9/3",)])
def test_values_and_slopes(names: tuple[str, ...]) -> None:
    rows = as_rows({name: PARTS[name] for name in names})
    x = X.clone().requires_grad_()
    wanted = sum(PARTS[name] * torch.stack([_differentiable(name, each) for each in x]) for name in names)
    (slopes,) = torch.autograd.grad(wanted.sum(), x)
    torch.testing.assert_close(value_at(rows, X), wanted.detach())
    torch.testing.assert_close(slope_at(rows, X), slopes)
    several = torch.stack((X, 2 * X), dim=1)
    torch.testing.assert_close(value_at(rows, several)[:, 0], wanted.detach())
    torch.testing.assert_close(value_at(rows, several)[:, 1], value_at(rows, 2 * X))


def _differentiable(name: str, x: torch.Tensor) -> torch.Tensor:
    if "log" in name:
        return x.log() * (x ** (1 / 3) if name == "1/3 log" else 1)
    above, below = name.split("/")
    return x ** (int(above) / int(below))


def test_a_joint_is_the_value_and_the_slope_at_one_place() -> None:
    rows = as_rows(PARTS)
    value, slope = Joint(0.018)(rows)
    at = torch.full((3,), 0.018, dtype=torch.float64)
    torch.testing.assert_close(value, value_at(rows, at))
    torch.testing.assert_close(slope, slope_at(rows, at))


def test_a_line_is_added_to_a_sum() -> None:
    constant, slope = PARTS["log"], PARTS["1/3"]
    torch.testing.assert_close(value_at(line(constant, slope), X), constant + slope * X)


def test_powers_of_m_f_become_powers_of_f() -> None:
    rows = as_rows(PARTS)
    mass = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    frequency = torch.tensor([2.0, 3.0], dtype=torch.float64)
    made = per_frequency(rows, mass) @ power_basis(frequency)
    for column, f in enumerate(frequency):
        torch.testing.assert_close(made[:, column], value_at(rows, mass * f))
    several = per_frequency(torch.stack((rows, 2 * rows)), mass)
    torch.testing.assert_close(several[1], 2 * several[0])
