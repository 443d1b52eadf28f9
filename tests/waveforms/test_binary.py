from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from lightning_itwin.waveforms import Binary
from lightning_itwin.waveforms.binary import component_masses
from tests.waveforms.draws import NAMES, draw_table

OTHERS = ["luminosity_distance", "ra", "dec", "psi", "theta_jn", "phase"]


def table(**columns: float) -> tuple[list[str], torch.Tensor]:
    values = columns | dict.fromkeys(OTHERS, 0.5)
    return list(values), torch.tensor([list(values.values())], dtype=torch.float64)


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [
        *[("chirp_mass", ratio) for ratio in ("mass_ratio", "symmetric_mass_ratio")],
        *[("total_mass", ratio) for ratio in ("mass_ratio", "symmetric_mass_ratio")],
        *[("mass_1", ratio) for ratio in ("mass_ratio", "symmetric_mass_ratio")],
        *[("mass_2", ratio) for ratio in ("mass_ratio", "symmetric_mass_ratio")],
        ("mass_1", "mass_2"),
    ],
)
def test_masses_are_those_of_bilby(scale: str, ratio: str) -> None:
    conversion = pytest.importorskip("bilby.gw.conversion")
    known = {"mass_1": 43.5, "mass_2": 21.25}
    known = conversion.generate_mass_parameters(known)
    made = component_masses({name: torch.tensor([known[name]]) for name in (scale, ratio)})
    assert torch.stack(made)[:, 0].tolist() == pytest.approx([43.5, 21.25], rel=1e-5)
    made = component_masses(
        {name: torch.tensor([known[name]], dtype=torch.float64) for name in (scale, ratio)}
    )
    assert torch.stack(made)[:, 0].tolist() == pytest.approx([43.5, 21.25], rel=1e-12)


def test_equal_masses_survive_a_symmetric_mass_ratio_of_a_quarter_and_a_hair_more() -> None:
    for eta in (0.25, 0.25 + 1e-17, 0.25 + 1e-12):
        made = component_masses(
            {"total_mass": torch.tensor([60.0]), "symmetric_mass_ratio": torch.tensor([eta])}
        )
        assert torch.stack(made)[:, 0].tolist() == pytest.approx([30.0, 30.0])


def test_every_column_finds_its_field() -> None:
    theta = draw_table(3, seed=1)
    binary = Binary.from_table(NAMES, theta)
    columns = dict(zip(NAMES, theta.unbind(1)))
    for name, field in (
        ("ra", "ra_rad"),
        ("a_2", "a_2"),
        ("tilt_1", "tilt_1_rad"),
        ("geocent_time", "time_s"),
    ):
        assert torch.equal(getattr(binary, field), columns[name])
    assert all(getattr(binary, field.name).dtype == torch.float64 for field in fields(binary))
    assert len(binary) == 3
    assert len(binary[1:]) == 2
    assert torch.equal(binary[1:].ra_rad, columns["ra"][1:])


def test_missing_spins_and_time_are_zero() -> None:
    binary = Binary.from_table(*table(mass_1=30.0, mass_2=20.0))
    for field in ("a_1", "a_2", "tilt_1_rad", "tilt_2_rad", "phi_12_rad", "phi_jl_rad", "time_s"):
        assert getattr(binary, field).item() == 0.0


def test_aligned_spins_become_sizes_and_tilts() -> None:
    binary = Binary.from_table(*table(mass_1=30.0, mass_2=20.0, chi_1=0.3, chi_2=-0.4))
    assert (binary.a_1.item(), binary.tilt_1_rad.item()) == (0.3, 0.0)
    assert (binary.a_2.item(), binary.tilt_2_rad.item()) == (0.4, math.pi)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"mass_1": 3.0, "mass_2": 2.0, "colour": 1.0}, "colour"),
        ({"mass_1": 3.0}, "mass"),
        ({"mass_1": 3.0, "mass_2": 2.0, "chirp_mass": 2.0}, "chirp_mass"),
        ({"chirp_mass": 3.0, "total_mass": 9.0}, "chirp_mass"),
        ({"mass_1": 3.0, "mass_2": 2.0, "chi_1": 0.1, "a_1": 0.1}, "chi_1"),
    ],
)
def test_names_that_make_no_binary_are_refused(columns: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Binary.from_table(*table(**columns))


def test_a_missing_angle_is_named() -> None:
    names, theta = table(mass_1=3.0, mass_2=2.0)
    keep = [number for number, name in enumerate(names) if name != "psi"]
    with pytest.raises(ValueError, match="psi"):
        Binary.from_table([names[number] for number in keep], theta[:, keep])


def test_a_table_that_does_not_fit_its_names_is_refused() -> None:
    names, theta = table(mass_1=3.0, mass_2=2.0)
    with pytest.raises(ValueError, match="one column a name"):
        Binary.from_table(names[:-1], theta)
    with pytest.raises(ValueError, match="twice"):
        Binary.from_table([*names[:-1], "ra"], theta)
