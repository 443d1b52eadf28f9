from __future__ import annotations

import math

import pytest
import torch

from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel, sky_modes
from lightning_itwin.waveforms import Binary, make_waveform
from tests.waveforms.draws import NAMES, draw_table

pytest.importorskip("bilby")
BAND = {"minimum_frequency_hz": 20.0, "maximum_frequency_hz": 512.0, "sample_rate_hz": 2048.0}


def test_all_eight_modes_look_alike_to_the_triangle_and_to_no_other_network() -> None:
    theta = draw_table(4, seed=1)
    triangle = Observation(ObservationSettings(**BAND))
    modes = sky_modes(triangle, NAMES, theta)
    assert modes.shape == (4, 8, len(NAMES))
    assert torch.equal(modes[:, 0], theta)

    def overlaps(observation: Observation) -> torch.Tensor:
        model = SignalModel(make_waveform("IMRPhenomPv2"), observation)
        signals = model(Binary.from_table(NAMES, modes.flatten(0, 1))).unflatten(0, (4, 8)).flatten(2)
        size = signals.abs().pow(2).sum(-1).sqrt()
        return (signals[:, :1].conj() * signals).real.sum(-1) / (size[:, :1] * size)

    assert overlaps(triangle).min() > 0.999
    two = Observation(ObservationSettings(detectors=["H1", "L1"], psds=["aLIGO_O4_high"], **BAND))
    assert overlaps(two)[:, 1:].min() < 0.9


def test_the_places_lie_a_quarter_turn_apart_and_mirrored() -> None:
    theta = draw_table(3, seed=2)
    modes = sky_modes(Observation(ObservationSettings(**BAND)), NAMES, theta)
    ra, dec = modes[..., 3], modes[..., 4]
    place = torch.stack([ra.cos() * dec.cos(), ra.sin() * dec.cos(), dec.sin()], dim=-1)
    # the vertical: the sum over a full turn has nothing else left
    up = place[:, :4].sum(1)
    up = up / up.norm(dim=1, keepdim=True)
    height = (place * up[:, None]).sum(-1)
    torch.testing.assert_close(height[:, 4:], -height[:, :4], atol=1e-9, rtol=0)
    torch.testing.assert_close(height[:, :4], height[:, :1].expand(-1, 4), atol=1e-9, rtol=0)
    flat = place - height[..., None] * up[:, None]
    turn = (flat[:, 0] * flat[:, 1]).sum(-1) / flat[:, 0].norm(dim=-1) ** 2
    torch.testing.assert_close(turn, torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(modes[:, 4:, 6], math.pi - modes[:, :4, 6])
    assert ((modes[..., 5] >= 0) & (modes[..., 5] < math.pi)).all()


def test_other_networks_and_missing_angles_are_refused() -> None:
    two = Observation(ObservationSettings(detectors=["H1", "L1"], psds=["aLIGO_O4_high"], **BAND))
    with pytest.raises(ValueError, match="one triangle"):
        sky_modes(two, NAMES, draw_table(1, seed=3))
    with pytest.raises(ValueError, match="psi"):
        sky_modes(Observation(ObservationSettings(**BAND)), ["ra", "dec", "theta_jn"], torch.zeros(1, 3))
