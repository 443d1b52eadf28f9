from __future__ import annotations

import numpy as np
import pytest
import scoringrules
import torch
from torchmetrics.functional.regression import continuous_ranked_probability_score

from lightning_itwin.metrics import (
    EnsembleCRPS,
    QuantileCRPS,
    crps_ensemble,
    crps_piecewise_linear,
    crps_quantile,
    pinball_loss,
    quantile_weights,
)

LEVELS = torch.tensor([0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 0.95])


def forecasts(
    members: int, offset: float = 0.0, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(members)
    target = torch.randn(200, generator=generator, dtype=dtype)
    ensemble = target.unsqueeze(-1) / 2 + torch.randn(200, members, generator=generator, dtype=dtype)
    return ensemble + offset, target + offset


@pytest.mark.parametrize("members", [2, 3, 50])
@pytest.mark.parametrize(("fair", "estimator"), [(False, "nrg"), (True, "fair")])
def test_an_ensemble_scores_as_scoringrules_has_it(members: int, fair: bool, estimator: str) -> None:
    ensemble, target = forecasts(members)
    wanted = scoringrules.crps_ensemble(target.numpy(), ensemble.numpy(), estimator=estimator)
    np.testing.assert_allclose(crps_ensemble(ensemble, target, fair), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 280.0])
def test_single_precision_agrees_with_scoringrules_and_torchmetrics(offset: float) -> None:
    ensemble, target = forecasts(50, offset, torch.float32)
    wanted = scoringrules.crps_ensemble(target.double().numpy(), ensemble.double().numpy(), estimator="nrg")
    np.testing.assert_allclose(crps_ensemble(ensemble, target), wanted, atol=1e-6)
    peer = continuous_ranked_probability_score(ensemble.double(), target.double())
    metric = EnsembleCRPS()
    assert abs(float(metric(ensemble, target)) - float(peer)) < 1e-6


def test_members_may_tie_and_one_member_scores_its_error() -> None:
    ensemble, target = torch.tensor([[1.0, 1.0, 4.0, 4.0], [0.0, 0.0, 0.0, 0.0]]), torch.tensor([1.0, 2.0])
    wanted = scoringrules.crps_ensemble(target.numpy(), ensemble.numpy(), estimator="nrg")
    np.testing.assert_allclose(crps_ensemble(ensemble, target), wanted, atol=1e-7)
    assert crps_ensemble(torch.tensor([[3.0]]), torch.tensor([1.0])).tolist() == [2.0]


def test_the_score_of_an_ensemble_has_the_gradient_of_its_definition() -> None:
    ensemble, target = forecasts(6)
    ensemble.requires_grad_()
    (ours,) = torch.autograd.grad(crps_ensemble(ensemble, target).sum(), ensemble)
    apart = (ensemble.unsqueeze(-1) - ensemble.unsqueeze(-2)).abs().mean((-1, -2))
    definition = (ensemble - target.unsqueeze(-1)).abs().mean(-1) - apart / 2
    (wanted,) = torch.autograd.grad(definition.sum(), ensemble)
    torch.testing.assert_close(ours, wanted)


def test_a_fair_score_does_not_depend_on_the_number_of_members() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(400_000, generator=generator)
    means = [
        float(crps_ensemble(torch.randn(400_000, members, generator=generator), target, fair=True).mean())
        for members in (2, 8)
    ]
    assert means == pytest.approx([1 / np.sqrt(np.pi)] * 2, abs=3e-3)


def test_missing_values_make_a_score_missing() -> None:
    ensemble = torch.tensor([[1.0, 2.0], [1.0, float("nan")]])
    assert crps_ensemble(ensemble, torch.tensor([float("nan"), 1.0])).isnan().tolist() == [True, True]
    metric = EnsembleCRPS()
    metric.update(ensemble, torch.tensor([1.0, 1.0]))
    assert metric.compute().isnan()  # a broken forecast shows


def test_quantiles_score_as_scoringrules_has_it() -> None:
    ensemble, target = forecasts(50)
    quantiles = ensemble.quantile(LEVELS.double(), dim=-1).T
    wanted = scoringrules.crps_quantile(target.numpy(), quantiles.numpy(), LEVELS.double().numpy())
    np.testing.assert_allclose(crps_quantile(quantiles, target, LEVELS.double()), wanted, atol=1e-12)
    single = crps_quantile(quantiles.float(), target.float(), LEVELS)
    np.testing.assert_allclose(single, wanted, atol=1e-6)
    assert float(QuantileCRPS(LEVELS)(quantiles, target)) == pytest.approx(float(wanted.mean()), abs=1e-7)


def test_pinball_loss_agrees_with_scoringrules() -> None:
    ensemble, target = forecasts(7)
    loss = pinball_loss(ensemble, target, LEVELS)
    for column, level in enumerate(LEVELS.double().tolist()):
        wanted = scoringrules.quantile_score(target.numpy(), ensemble[:, column].numpy(), level)
        np.testing.assert_allclose(loss[:, column], wanted, atol=1e-7)


def test_weights_cover_the_levels_once() -> None:
    assert quantile_weights([0.125, 0.375, 0.625, 0.875]).tolist() == [0.25] * 4
    weights = quantile_weights(LEVELS)
    assert float(weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(weights[:2], torch.tensor([0.03, 0.045], dtype=torch.float64))


def test_weights_bring_uneven_levels_close_to_the_crps() -> None:
    normal = torch.distributions.Normal(0.0, 1.0)
    target = torch.randn(20_000, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor(
        [0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97]
    )
    quantiles = normal.icdf(levels).expand(len(target), -1)
    truth = 1 / np.sqrt(np.pi)
    weighted = float(crps_quantile(quantiles, target, levels, quantile_weights(levels)).mean())
    assert abs(weighted - truth) < 0.02 * truth
    assert abs(float(crps_quantile(quantiles, target, levels).mean()) - truth) > 0.2 * truth


def test_a_piecewise_linear_quantile_function_scores_as_its_integral() -> None:
    generator = torch.Generator().manual_seed(2)
    levels = torch.tensor([0.1, 0.2, 0.5, 0.9], dtype=torch.float64)
    quantiles = torch.randn(60, 4, generator=generator, dtype=torch.float64).sort(-1).values
    quantiles[0, 1:3] = 0.3  # a mass
    target = torch.cat([torch.linspace(-3, 3, 56, dtype=torch.float64), quantiles[-1]])
    target[0] = 0.3
    grid = torch.linspace(-5, 5, 20_001, dtype=torch.float64)
    for q, y, score in zip(quantiles, target, crps_piecewise_linear(quantiles, target, levels)):
        cdf = torch.from_numpy(np.interp(grid.numpy(), q.numpy(), levels.numpy(), left=0.0, right=1.0))
        integral = torch.trapezoid((cdf - (grid >= y).double()) ** 2, grid)
        assert float(score) == pytest.approx(float(integral), abs=6e-4)


def test_the_linear_score_of_a_dense_quantile_function_is_that_of_the_distribution() -> None:
    levels = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
    quantiles = torch.special.ndtri(levels).expand(3, -1)
    target = torch.tensor([-1.0, 0.2, 2.5], dtype=torch.float64)
    wanted = scoringrules.crps_normal(target.numpy(), 0.0, 1.0)
    np.testing.assert_allclose(crps_piecewise_linear(quantiles, target, levels), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: crps_ensemble(torch.zeros(4, 3), torch.zeros(3)), "one axis more"),
        (lambda: crps_ensemble(torch.zeros(4, 0), torch.zeros(4)), "members"),
        (lambda: crps_ensemble(torch.zeros(4, 1), torch.zeros(4), fair=True), "2 members"),
        (lambda: crps_quantile(torch.zeros(4, 2), torch.zeros(4), [0.1]), "as many levels"),
        (lambda: crps_quantile(torch.zeros(4, 2), torch.zeros(4), [0.1, 9]), "from 0 to 1"),
        (lambda: crps_quantile(torch.zeros(4, 2), torch.zeros(4), [0.1, 0.9], [1.0]), "as many weights"),
        (lambda: crps_piecewise_linear(torch.zeros(4, 2), torch.zeros(4), [0.9, 0.1]), "Levels rise"),
        (lambda: QuantileCRPS([]), "one or more"),
        (lambda: QuantileCRPS([0.5], method="best"), "'weighted'"),
    ],
)
def test_mistakes_are_explained(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
