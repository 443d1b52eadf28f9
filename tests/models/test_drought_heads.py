import numpy as np
import pytest
import scipy.stats
import torch

from lightning_itwin.metrics import cdf_asymmetric_laplace_mixture, crps_quantile, quantile_weights
from lightning_itwin.models.drought_heads import (
    CMALHead,
    GaussianHead,
    Place,
    QuantileHead,
    make_head,
    probability_below,
    quantiles_at,
)

LEVELS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]


def place(leads=3, rows=4):
    return Place(torch.linspace(-1, 1, rows * leads).view(rows, leads), torch.tensor([0.1, 0.5, 1.0])[:leads])


@pytest.mark.parametrize("name", ["quantiles", "cmal", "gaussian"])
def test_quantiles_never_cross(name):
    head = make_head(name, LEVELS, 3)
    raw = 8 * torch.randn(4, 3, head.raw_size, generator=torch.Generator().manual_seed(2))
    found = head.quantiles(head(raw, place()), LEVELS)
    assert found.shape == (4, 3, 7)
    assert bool((found.diff(dim=-1) >= 0).all())
    assert bool(found.isfinite().all())


@pytest.mark.parametrize(("name", "tolerance"), [("quantiles", 1e-5), ("gaussian", 2e-3)])
def test_a_head_begins_as_damped_persistence_with_normal_residuals(name, tolerance):
    head, where = make_head(name, LEVELS, 3), place()
    found = head.quantiles(head(head.bias().expand(4, 3, -1), where), LEVELS)
    normal = torch.from_numpy(scipy.stats.norm.ppf(LEVELS)).float()
    expected = where.centre.unsqueeze(-1) + where.spread.unsqueeze(-1) * normal
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_the_quantile_loss_is_the_weighted_pinball_loss_of_scoringrules():
    scoringrules = pytest.importorskip("scoringrules")
    head = QuantileHead(LEVELS)
    parameters = head(torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(3)), place())
    target = torch.linspace(-2, 2, 12).view(4, 3)
    weights = quantile_weights(LEVELS).numpy()
    expected = sum(
        2 * weight * scoringrules.quantile_score(target.numpy(), parameters[..., at].numpy(), level)
        for at, (level, weight) in enumerate(zip(LEVELS, weights))
    )
    np.testing.assert_allclose(head.loss(parameters, target, "crps").numpy(), expected, rtol=1e-5)
    torch.testing.assert_close(
        head.loss(parameters, target, "crps"), crps_quantile(parameters, target, LEVELS, weights.tolist())
    )
    torch.testing.assert_close(head.loss(parameters, target, "mse"), (parameters[..., 3] - target) ** 2)


def test_gaussian_losses_are_those_of_scipy_and_scoringrules():
    scoringrules = pytest.importorskip("scoringrules")
    head = GaussianHead()
    parameters = head(torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(4)), place())
    target = torch.linspace(-2, 2, 12).view(4, 3)
    mean, deviation = (part.double().numpy() for part in parameters.unbind(-1))
    nll = -scipy.stats.norm(mean, deviation).logpdf(target.numpy())
    np.testing.assert_allclose(head.loss(parameters, target, "nll").numpy(), nll, rtol=1e-4)
    crps = scoringrules.crps_normal(target.numpy(), mean, deviation)
    np.testing.assert_allclose(head.loss(parameters, target, "crps").numpy(), crps, rtol=1e-4, atol=1e-6)


def test_cmal_density_and_quantiles_belong_to_one_distribution():
    head = CMALHead(3)
    parameters = head(
        torch.randn(1, 1, 12, generator=torch.Generator().manual_seed(5)).double(),
        Place(torch.zeros(1, 1).double(), torch.ones(1).double()),
    )
    x = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    density = torch.exp(-head.loss(parameters.expand(len(x), 1, -1), x.unsqueeze(-1), "nll")).squeeze(-1)
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-4)
    found = head.quantiles(parameters, LEVELS)[0, 0]
    parts = parameters[0, 0].split(3)
    reached = cdf_asymmetric_laplace_mixture(*(part.expand(7, 3) for part in parts), found)
    torch.testing.assert_close(reached, torch.tensor(LEVELS, dtype=torch.float64), rtol=0, atol=1e-6)
    cumulated = torch.cumulative_trapezoid(density, x)
    level = float(cumulated[torch.searchsorted(x, found[2].view(1))])
    assert level == pytest.approx(LEVELS[2], abs=1e-3)


def test_quantiles_between_and_beyond_levels_are_those_of_a_normal_distribution():
    normal = torch.from_numpy(scipy.stats.norm.ppf(LEVELS)).float() * 2 + 1
    wanted = [0.01, 0.1, 0.4, 0.99]
    expected = torch.from_numpy(scipy.stats.norm.ppf(wanted)).float() * 2 + 1
    torch.testing.assert_close(quantiles_at(normal, LEVELS, wanted), expected, rtol=1e-4, atol=1e-4)
    below = probability_below(normal.view(1, 7), LEVELS, expected.view(1, 4))
    torch.testing.assert_close(below, torch.tensor([wanted]), rtol=1e-3, atol=1e-4)


def test_probabilities_of_edges():
    quantiles = torch.tensor([[0.0, 0.0, 1.0]])
    thresholds = torch.tensor([[-1.0, 0.5, 100.0, torch.nan]])
    below = probability_below(quantiles, [0.1, 0.5, 0.9], thresholds)
    assert float(below[0, 0]) < 1e-6
    assert 0.5 < float(below[0, 1]) < 0.9
    assert float(below[0, 2]) == 1
    assert below[0, 3].isnan()
    point = probability_below(torch.tensor([[1.0]]), [0.5], torch.tensor([[0.5, 2.0]]))
    assert point.tolist() == [[0.0, 1.0]]
    assert quantiles_at(torch.tensor([3.0]), [0.5], [0.1, 0.9]).tolist() == [3.0, 3.0]


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match="'gaussian' or 'point', not 'gmm'"):
        make_head("gmm", LEVELS, 3)
