from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.inference.likelihood import GaussianLikelihood
from lightning_itwin.inference.phase import PhaseSeries
from lightning_itwin.inference.prior import Prior
from lightning_itwin.waveforms import make_waveform
from tests.inference.stand_ins import FREQUENCIES, StandInSignal

pytest.importorskip("bilby")

TEXT = """
mass_1 = Uniform(minimum=30, maximum=40)
luminosity_distance = Uniform(minimum=500, maximum=2000)
psi = Uniform(minimum=0, maximum=np.pi, boundary='periodic')
phase = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
mass_ratio = 0.8
ra = 1
dec = 0.5
theta_jn = 0.4
"""


@pytest.fixture
def prior() -> Prior:
    return Prior(TEXT)


def noise(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.complex(*torch.randn(2, 2, FREQUENCIES, generator=generator, dtype=torch.float64))


def data_of(model: StandInSignal, prior: Prior, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    theta = prior.sample(1, seed=seed)
    likelihood = GaussianLikelihood(model, prior)
    (binary, _), *_ = likelihood._chunks(theta, noise(), None)
    return theta, (model(binary)[0] + noise(seed)).to(torch.complex64)


def test_it_is_the_gaussian_density_over_that_of_noise(prior: Prior) -> None:
    model = StandInSignal()
    theta, data = data_of(model, prior)
    likelihood = GaussianLikelihood(model, prior)
    (binary, _), *_ = likelihood._chunks(theta, data, None)
    residual = (data - model(binary)[0]).to(torch.complex128)
    expected = -0.5 * residual.abs().square().sum() + 0.5 * data.to(torch.complex128).abs().square().sum()
    assert likelihood.log_likelihood(theta, data).item() == pytest.approx(expected.item(), abs=1e-4)
    assert likelihood.log_noise_likelihood(data) == pytest.approx(
        -0.5 * data.abs().square().sum().item(), rel=1e-6
    )


def test_chunks_bound_the_memory_and_change_nothing(prior: Prior) -> None:
    whole, chunked = StandInSignal(), StandInSignal()
    theta, data = prior.sample(1000, seed=1), data_of(whole, prior)[1]
    at_once = GaussianLikelihood(whole, prior).log_likelihood(theta, data)
    in_chunks = GaussianLikelihood(chunked, prior, memory_mib=1).log_likelihood(theta, data)
    torch.testing.assert_close(in_chunks, at_once, rtol=1e-9, atol=1e-9)
    assert chunked.most_rows <= 2**20 / (8 * FREQUENCIES * (10 + 2 * len(data)))
    assert GaussianLikelihood(whole, prior).log_likelihood(theta[:0], data).shape == (0,)


@pytest.mark.parametrize("modes", [(2,), (1, 2, 3, 4)])
@pytest.mark.parametrize("waveform", ["IMRPhenomPv2", "lalsimulation:IMRPhenomPv2"])
def test_a_chunk_takes_no_more_memory_than_it_may(
    waveform: str, modes: tuple[int, ...], prior: Prior
) -> None:
    if waveform != "IMRPhenomPv2":
        pytest.importorskip("lalsimulation")
    observation = Observation(ObservationSettings(duration_s=1.0, sample_rate_hz=2048.0))
    model = SignalModel(make_waveform(waveform), observation)
    likelihood = GaussianLikelihood(model, prior, modes, memory_mib=8)
    theta, data = prior.sample(300, seed=1), observation.noise(1, [0])[0]
    before_phase = theta[:, [name != "phase" for name in prior.names]]
    likelihood.log_likelihood(theta, data)  # tables are made once
    likelihood.phase_series(before_phase, data)
    for work in (
        lambda: likelihood.log_likelihood(theta, data),
        lambda: likelihood.phase_series(before_phase, data),
    ):
        assert peak_bytes(work) < 8 * 2**20


def peak_bytes(work: Callable[[], object]) -> int:
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profiled:
        work()
    events = sorted(profiled.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    return max(itertools.accumulate(changes))


def test_the_psd_set_goes_to_every_sample(prior: Prior) -> None:
    model = StandInSignal()
    theta, data = data_of(model, prior)
    likelihood = GaussianLikelihood(model, prior)
    both = likelihood.log_likelihood(theta.expand(2, -1), data, torch.tensor([0, 1]))
    assert both[0] == likelihood.log_likelihood(theta, data, 0)
    assert both[1] == likelihood.log_likelihood(theta, data, 1)
    assert both[0] != both[1]


@pytest.mark.parametrize("modes", [(2,), (2, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("sense", [1, -1])
def test_few_waveforms_tell_the_likelihood_at_every_phase(
    prior: Prior, modes: tuple[int, ...], sense: int
) -> None:
    model = StandInSignal(modes, sense)
    _, data = data_of(model, prior)
    likelihood = GaussianLikelihood(model, prior, modes)
    theta = prior.sample(20, seed=5)
    series = likelihood.phase_series(theta[:, [0, 1, 2]], data)
    assert series.sense == sense
    torch.testing.assert_close(
        series.log_likelihood(theta[:, 3]), likelihood.log_likelihood(theta, data), rtol=1e-5, atol=2e-3
    )
    fine = torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64)[:-1]
    along = torch.stack([series.log_likelihood(phase.expand(20)) for phase in fine])
    expected = torch.logsumexp(along, dim=0) - math.log(2000)
    torch.testing.assert_close(series.log_marginal(), expected, rtol=1e-9, atol=1e-9)


def test_the_marginal_of_a_single_mode_is_a_bessel_function(prior: Prior) -> None:
    special = pytest.importorskip("scipy.special")
    model = StandInSignal(snr=60)
    _, data = data_of(model, prior)
    series = GaussianLikelihood(model, prior).phase_series(prior.sample(100, seed=3)[:, :3], data)
    size = series.terms[:, 1].abs().numpy()
    expected = series.constant.numpy() + np.log(special.ive(0, size)) + size
    np.testing.assert_allclose(series.log_marginal(), expected, rtol=1e-9)


def test_phases_are_drawn_from_their_conditional_with_their_own_density(prior: Prior) -> None:
    stats = pytest.importorskip("scipy.stats")
    model = StandInSignal(modes=(1, 2, 3))
    theta, data = data_of(model, prior)
    likelihood = GaussianLikelihood(model, prior, (1, 2, 3))
    one = likelihood.phase_series(theta[:, :3], data)
    series = PhaseSeries(
        constant=one.constant.expand(20_000), terms=one.terms.expand(20_000, -1), sense=one.sense
    )
    phase, log_density = series.draw(seed=1)
    # The weight of a draw is the marginal likelihood, whatever the phase.
    weight = series.log_likelihood(phase) - math.log(2 * math.pi) - log_density
    assert (weight - series.log_marginal()).std() < 0.03
    assert (weight.exp().mean().log() - one.log_marginal()[0]).abs() < 1e-3
    fine = torch.linspace(0, 2 * math.pi, 20_001, dtype=torch.float64)
    along = PhaseSeries(
        constant=one.constant.expand(20_001), terms=one.terms.expand(20_001, -1), sense=one.sense
    ).log_likelihood(fine)
    cumulated = torch.cumulative_trapezoid((along - along.max()).exp(), fine)
    ranks = np.interp(phase.numpy(), fine[1:].numpy(), (cumulated / cumulated[-1]).numpy())
    assert stats.kstest(ranks, "uniform").pvalue > 0.01
    again, _ = series.draw(seed=1)
    assert torch.equal(again, phase)


def test_a_waveform_with_other_modes_is_found_out(prior: Prior) -> None:
    model = StandInSignal(modes=(2, 3))
    _, data = data_of(model, prior)
    with pytest.raises(ValueError, match="unexplained"):
        GaussianLikelihood(model, prior).phase_series(prior.sample(2, seed=0)[:, :3], data)


def test_a_phase_that_is_not_uniform_on_the_circle_is_refused() -> None:
    narrow = Prior(TEXT.replace("maximum=2 * np.pi", "maximum=np.pi"))
    with pytest.raises(ValueError, match="whole circle"):
        GaussianLikelihood(StandInSignal(), narrow).phase_series(torch.zeros(1, 3), noise())
    with pytest.raises(ValueError, match="azimuthal"):
        GaussianLikelihood(StandInSignal(), narrow, modes=())
