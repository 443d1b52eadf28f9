from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lightning_itwin.inference.likelihood import GaussianLikelihood
from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.inference.prior import Prior
from lightning_itwin.inference.weigh import weigh
from tests.inference.stand_ins import FREQUENCIES, StandInSignal
from tests.inference.test_likelihood import TEXT, data_of

pytest.importorskip("bilby")

NAMES = ("mass_1", "luminosity_distance", "psi", "phase")


def proposed(prior: Prior, num: int, seed: int, names: tuple[str, ...] = NAMES) -> Posterior:
    """Let the prior itself propose."""
    part = prior if "phase" in names else prior.without("phase")
    theta = part.sample(num, seed=seed)
    return Posterior(
        samples=theta[:, [part.names.index(name) for name in names]].numpy(),
        names=names,
        log_prob=part.log_prob(theta).numpy(),
    )


def evidence_by_quadrature(model: StandInSignal, prior: Prior, data: torch.Tensor) -> float:
    """Integrate over all four parameters: the phase by its marginal, the rest on a fine grid."""
    axes = [(torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (48, 48, 64)]
    cube = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    theta = prior.without("phase").rescale(cube)
    marginal = GaussianLikelihood(model, prior).phase_series(theta, data).log_marginal()
    return (torch.logsumexp(marginal, 0) - math.log(len(cube))).item()


@pytest.mark.parametrize("names", [NAMES, ("psi", "mass_1", "luminosity_distance")])
def test_the_evidence_is_the_integral_with_and_without_a_synthetic_phase(names: tuple[str, ...]) -> None:
    prior, model = Prior(TEXT), StandInSignal(snr=4.0)
    _, data = data_of(model, prior, seed=2)
    found = weigh(proposed(prior, 20_000, 3, names), GaussianLikelihood(model, prior), data)
    truth = evidence_by_quadrature(model, prior, data)
    assert found.log_evidence_error < 0.05
    assert abs(found.log_evidence - truth) < 3.5 * found.log_evidence_error
    assert found.names == NAMES
    assert found.samples.shape == (20_000, 4)
    assert found.log_noise_evidence == pytest.approx(-0.5 * data.abs().square().sum().item(), rel=1e-6)


def test_a_synthetic_phase_weighs_better_than_a_guessed_one() -> None:
    prior, model = Prior(TEXT), StandInSignal(snr=8.0)
    _, data = data_of(model, prior, seed=2)
    likelihood = GaussianLikelihood(model, prior)
    guessed = weigh(proposed(prior, 20_000, 3), likelihood, data)
    synthetic = weigh(proposed(prior, 20_000, 3, NAMES[:3]), likelihood, data)
    assert synthetic.efficiency > 3 * guessed.efficiency
    assert abs(synthetic.log_evidence - guessed.log_evidence) < 4 * guessed.log_evidence_error
    weights = synthetic.weights
    for name in ("mass_1", "luminosity_distance"):
        means = [np.average(found[name], weights=found.weights) for found in (guessed, synthetic)]
        width = math.sqrt(np.average((synthetic[name] - means[1]) ** 2, weights=weights))
        assert abs(means[0] - means[1]) < 0.3 * width


def test_what_is_outside_the_prior_weighs_nothing_and_costs_no_waveform() -> None:
    wide, model = Prior(TEXT), StandInSignal(snr=4.0)
    narrow = Prior(TEXT.replace("minimum=30, maximum=40", "minimum=32, maximum=36"))
    _, data = data_of(model, wide, seed=2)
    samples = proposed(wide, 5000, 1)
    samples.samples[0, 1] = math.nan
    samples.log_prob[1] = -math.inf
    model.rows = 0
    found = weigh(samples, GaussianLikelihood(model, narrow), data, training_prior=wide)
    outside = (found["mass_1"] < 32) | (found["mass_1"] > 36)
    assert np.isneginf(found.log_weights[outside]).all()
    assert model.rows <= 5000 - outside.sum()
    assert found.invalid == 2
    assert found.weights[:2].tolist() == [0, 0]
    exact = weigh(proposed(narrow, 20_000, 1), GaussianLikelihood(model, narrow), data)
    assert abs(found.log_evidence - exact.log_evidence) < 4 * found.log_evidence_error


def test_the_prior_may_not_reach_beyond_the_training_prior() -> None:
    wide, model = Prior(TEXT), StandInSignal()
    narrow = Prior(TEXT.replace("minimum=30, maximum=40", "minimum=32, maximum=36"))
    data = torch.zeros(2, FREQUENCIES, dtype=torch.complex64)
    for training in (narrow, narrow.without("phase")):
        with pytest.raises(ValueError, match="reaches beyond"):
            weigh(proposed(wide, 10, 0), GaussianLikelihood(model, wide), data, training_prior=training)


def test_what_cannot_be_weighed_is_refused() -> None:
    prior, data = Prior(TEXT), torch.zeros(2, FREQUENCIES, dtype=torch.complex64)
    likelihood = GaussianLikelihood(StandInSignal(), prior)
    samples = proposed(prior, 10, 0)
    with pytest.raises(ValueError, match="log_prob"):
        weigh(Posterior(samples=samples.samples, names=NAMES), likelihood, data)
    with pytest.raises(ValueError, match="frees"):
        weigh(proposed(prior, 10, 0, ("mass_1", "psi", "phase")), likelihood, data)


def test_the_draws_of_the_synthetic_phase_are_seeded() -> None:
    prior, model = Prior(TEXT), StandInSignal()
    _, data = data_of(model, prior)
    likelihood = GaussianLikelihood(model, prior)
    one, two, other = (
        weigh(proposed(prior, 100, 0, NAMES[:3]), likelihood, data, seed=seed) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one["phase"], two["phase"])
    assert (one["phase"] != other["phase"]).all()
