"""A posterior that the real likelihood gives has mass in all eight sky modes of the triangle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel, sky_modes
from lightning_itwin.detectors.projection import arrival_delays_s
from lightning_itwin.detectors.sidereal_time import sidereal_time_rad
from lightning_itwin.inference.importance import normalise
from lightning_itwin.inference.likelihood import GaussianLikelihood
from lightning_itwin.inference.modes import mode_mass
from lightning_itwin.inference.prior import Prior
from lightning_itwin.waveforms import Binary, make_waveform

pytest.importorskip("bilby")

PRIOR = """
ra = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
dec = Cosine(name='dec')
psi = Uniform(minimum=0, maximum=np.pi, boundary='periodic')
theta_jn = Sine(name='theta_jn')
geocent_time = Uniform(minimum=-0.1, maximum=0.1)
phase = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
chirp_mass = 30
mass_ratio = 0.8
luminosity_distance = 12000
"""
INCLINATION = 1.1


class OneWaveform:
    """IMRPhenomPv2 of one binary without spins, computed once; inclination and phase act in closed form."""

    name = "one"

    def __init__(self, observation: Observation, prior: Prior) -> None:
        face_on = torch.zeros(1, len(prior.names), dtype=torch.float64)
        waveform = make_waveform("IMRPhenomPv2")
        self.plus, self.cross = waveform(
            Binary.from_table(*prior.with_fixed(face_on)), observation.frequency_hz
        )

    def __call__(self, binary: Binary, frequency_hz: Tensor) -> tuple[Tensor, Tensor]:
        cosine = binary.theta_jn_rad.cos()[:, None]
        turn = torch.exp(2j * binary.phase_rad)[:, None]
        return (1 + cosine**2) / 2 * turn * self.plus, cosine * turn * self.cross


def test_all_eight_modes_have_their_eighth() -> None:
    observation = Observation(
        ObservationSettings(
            duration_s=2.0, sample_rate_hz=512.0, minimum_frequency_hz=16, maximum_frequency_hz=80
        )
    )
    prior = Prior(PRIOR)
    model = SignalModel(OneWaveform(observation, prior), observation)
    likelihood = GaussianLikelihood(model, prior)
    truth = torch.tensor([[1.7, 0.5, 0.8, INCLINATION, 0.01, 0.4]], dtype=torch.float64)
    data = model(Binary.from_table(*prior.with_fixed(truth)))[0]
    snr = data.abs().square().sum().sqrt().item()
    assert 8 < snr < 40
    at_site = truth[0, 4] + delay_s(observation, truth[:, 0], truth[:, 1])
    draws = torch.from_numpy(np.random.default_rng(1).random((100_000, len(prior.names))))
    theta = prior.rescale(draws)[:, :5]
    theta[:, 3] = torch.where(theta[:, 3] < math.pi / 2, INCLINATION, math.pi - INCLINATION)
    theta[:, 4] = at_site - delay_s(observation, theta[:, 0], theta[:, 1])
    weights = normalise(likelihood.phase_series(theta, data).log_marginal().numpy())
    effective = 1 / np.square(weights).sum()
    assert effective > 400
    modes = sky_modes(observation, prior.names, truth)[0, :, :2]
    mass = mode_mass(theta[:, :2].numpy(), modes.numpy(), weights)
    assert mass.sum() == pytest.approx(1)
    # Caps of half a radian about the modes are half of the sky and hold nearly all of the posterior.
    assert mode_mass(theta[:, :2].numpy(), modes.numpy(), weights, radius_rad=0.5).sum() > 0.9
    np.testing.assert_allclose(mass, 1 / 8, atol=5 * math.sqrt(1 / 8 * 7 / 8 / effective))


def delay_s(observation: Observation, ra: Tensor, dec: Tensor) -> Tensor:
    sidereal = torch.full_like(ra, sidereal_time_rad(observation.settings.gps_time_s))
    return arrival_delays_s(observation.vertex_m, ra, dec, sidereal).mean(dim=1)
