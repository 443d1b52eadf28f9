"""The whole chain, flow to evidence, where the posterior is known; and wrong posteriors, which must fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("nflows")
pytest.importorskip("scipy")

from benchmarks.posterior_calibration import (
    CONTROLS,
    GOALS,
    Events,
    LinearGaussian,
    Training,
    calibration_tests,
    draw_events,
    judge,
    spoilt,
    train,
)


@pytest.fixture(scope="module")
def proof() -> tuple[LinearGaussian, object, Events]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    problem = LinearGaussian()
    flow = train(problem, Training())
    events = draw_events(problem, flow, events=200, samples=3000)
    torch.set_num_threads(threads)
    return problem, flow, events


def test_the_closed_forms_are_right() -> None:
    problem = LinearGaussian()
    theta, data = problem.simulate(4, torch.Generator().manual_seed(3))
    posterior = torch.distributions.MultivariateNormal(problem.posterior_mean(data), problem.covariance_PP)
    # Bayes' theorem at any parameters: target = posterior * evidence.
    torch.testing.assert_close(
        problem.log_target(theta[:, None], data)[:, 0],
        posterior.log_prob(theta) + problem.log_evidence(data),
        rtol=1e-10,
        atol=1e-9,
    )


def test_a_trained_flow_with_weights_is_exact_and_calibrated(
    proof: tuple[LinearGaussian, object, Events],
) -> None:
    verdict = judge(proof[2])
    assert verdict.efficiency >= GOALS["efficiency"]
    assert verdict.evidence_error <= GOALS["evidence error"]
    assert abs(verdict.evidence_bias) <= GOALS["evidence error"] / 4
    assert min(verdict.p_values.values()) > GOALS["p"], verdict.p_values


def test_bfloat16_products_stay_exact_with_their_own_density(
    proof: tuple[LinearGaussian, object, Events],
) -> None:
    problem, flow, _ = proof
    verdict = judge(draw_events(problem, flow, events=50, samples=2000, dtype="bfloat16"))
    assert verdict.efficiency >= GOALS["efficiency"]
    assert verdict.evidence_error <= 2 * GOALS["evidence error"]
    assert min(verdict.p_values.values()) > GOALS["p"], verdict.p_values


@pytest.mark.parametrize("control", CONTROLS)
def test_a_wrong_posterior_fails(proof: tuple[LinearGaussian, object, Events], control: str) -> None:
    _, flow, events = proof
    p_values = calibration_tests(spoilt(events, flow, **CONTROLS[control]))
    assert p_values["TARP"] < GOALS["p"]
    assert p_values["rank of the density"] < GOALS["p"]
    if "shift" in CONTROLS[control]:
        assert p_values["P-P, all parameters"] < GOALS["p"]


def test_exact_samples_are_calibrated() -> None:
    problem = LinearGaussian()
    generator = torch.Generator().manual_seed(5)
    theta, data = problem.simulate(200, generator)
    posterior = torch.distributions.MultivariateNormal(problem.posterior_mean(data), problem.covariance_PP)
    torch.manual_seed(6)
    samples = posterior.sample((1000,)).transpose(0, 1)
    log_prob = posterior.log_prob(samples.transpose(0, 1)).T
    events = Events(
        truths_EP=theta.numpy(),
        data_EM=data.numpy(),
        samples_ENP=samples.numpy(),
        log_prob_EN=log_prob.numpy(),
        log_prob_of_truths_E=posterior.log_prob(theta).numpy(),
        log_target_EN=problem.log_target(samples, data).numpy(),
        log_evidence_E=problem.log_evidence(data).numpy(),
    )
    verdict = judge(events)
    assert verdict.efficiency == pytest.approx(1, abs=1e-9)
    assert np.abs(verdict.evidence_error) < 1e-9
    assert min(verdict.p_values.values()) > GOALS["p"], verdict.p_values
