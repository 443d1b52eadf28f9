from __future__ import annotations

import numpy as np
import pytest
import scoringrules
import torch
from torch import Tensor

from lightning_itwin.metrics import (
    MixtureCRPS,
    cdf_asymmetric_laplace_mixture,
    cdf_normal_mixture,
    crps_asymmetric_laplace,
    crps_asymmetric_laplace_mixture,
    crps_normal,
    crps_normal_mixture,
)

GRID = torch.linspace(-60, 60, 240_001, dtype=torch.float64)


def mixtures(count: int, components: int = 3) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight = normal(count, components).softmax(-1)
    location, scale = normal(count, components), (normal(count, components) / 2).exp()
    return weight, location, scale, torch.sigmoid(normal(count, components)), 2 * normal(count)


def by_integral(cdf: Tensor, target: float) -> float:
    return float(torch.trapezoid((cdf - (target <= GRID).double()) ** 2, GRID))


def test_normal_scores_agree_with_scoringrules() -> None:
    _, mean, deviation, _, target = mixtures(100, 1)
    wanted = scoringrules.crps_normal(target.numpy(), mean[:, 0].numpy(), deviation[:, 0].numpy())
    found = crps_normal(mean[:, 0], deviation[:, 0], target)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    single = crps_normal(mean[:, 0].float(), deviation[:, 0].float(), target.float())
    np.testing.assert_allclose(single, wanted, atol=1e-6)


def test_normal_mixtures_agree_with_scoringrules() -> None:
    weight, mean, deviation, _, target = mixtures(100)
    wanted = scoringrules.crps_mixnorm(target.numpy(), mean.numpy(), deviation.numpy(), weight.numpy())
    np.testing.assert_allclose(crps_normal_mixture(weight, mean, deviation, target), wanted, atol=1e-12)


def test_one_asymmetric_laplace_agrees_with_scoringrules() -> None:
    """A two-piece exponential distribution with scales b / (1 - t) and b / t is the same distribution."""
    _, location, scale, asymmetry, target = (part.reshape(100, -1)[:, 0] for part in mixtures(100, 1))
    wanted = scoringrules.crps_2pexponential(
        target.numpy(), (scale / (1 - asymmetry)).numpy(), (scale / asymmetry).numpy(), location.numpy()
    )
    found = crps_asymmetric_laplace(location, scale, asymmetry, target)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    half = torch.full_like(scale, 0.5)
    laplace = scoringrules.crps_laplace(target.numpy(), location.numpy(), 2 * scale.numpy())
    np.testing.assert_allclose(crps_asymmetric_laplace(location, scale, half, target), laplace, atol=1e-12)


def test_asymmetric_laplace_mixtures_are_the_integral_of_their_distribution() -> None:
    weight, location, scale, asymmetry, target = mixtures(8)
    location[0, 1] = location[0, 0]  # two at the same place
    found = crps_asymmetric_laplace_mixture(weight, location, scale, asymmetry, target)
    for row in range(8):
        parts = (part[row].expand(len(GRID), -1) for part in (weight, location, scale, asymmetry))
        cdf = cdf_asymmetric_laplace_mixture(*parts, GRID)
        assert float(found[row]) == pytest.approx(by_integral(cdf, float(target[row])), abs=3e-4)


def test_rates_that_are_equal_have_no_singularity() -> None:
    """The right rate of one component, t / b, is the left rate of the other, (1 - t) / b."""
    weight = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    location = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    scale, target = torch.ones(1, 2, dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64)

    def score(shift: float) -> float:
        asymmetry = torch.tensor([[0.3, 0.7 + shift]], dtype=torch.float64)
        return float(crps_asymmetric_laplace_mixture(weight, location, scale, asymmetry, target))

    assert score(0.0) == pytest.approx(score(1e-9), abs=1e-9)
    assert score(0.0) == pytest.approx((score(1e-3) + score(-1e-3)) / 2, abs=1e-5)


def test_a_mixture_of_equals_is_one_of_them() -> None:
    _, location, scale, asymmetry, target = mixtures(20, 1)
    thrice = (torch.full((20, 3), 1 / 3, dtype=torch.float64), *(x.expand(-1, 3) for x in (location, scale)))
    mixed = crps_asymmetric_laplace_mixture(*thrice, asymmetry.expand(-1, 3), target)
    alone = crps_asymmetric_laplace(location[:, 0], scale[:, 0], asymmetry[:, 0], target)
    torch.testing.assert_close(mixed, alone, rtol=1e-12, atol=1e-12)


def test_far_targets_do_not_overflow_in_single_precision() -> None:
    weight, location, scale, asymmetry, target = (part.float() for part in mixtures(20))
    found = crps_asymmetric_laplace_mixture(weight, location, scale * 1e-3, asymmetry, target * 1e3)
    assert found.isfinite().all()
    mean = (weight * location).sum(-1)
    torch.testing.assert_close(found, (target * 1e3 - mean).abs(), rtol=1e-2, atol=3.0)


def test_the_gradient_is_finite_where_components_coincide() -> None:
    weight, location, scale, asymmetry, target = mixtures(5)
    location = torch.zeros_like(location).requires_grad_()
    crps_asymmetric_laplace_mixture(weight, location, scale, asymmetry, target).sum().backward()
    assert location.grad is not None
    assert location.grad.isfinite().all()


def test_distribution_functions_rise_from_0_to_1() -> None:
    weight, location, scale, asymmetry, _ = (part[:1] for part in mixtures(1))
    some = GRID[::20]
    for cdf in (
        cdf_normal_mixture(weight, location, scale, some),
        cdf_asymmetric_laplace_mixture(weight, location, scale, asymmetry, some),
    ):
        assert (torch.diff(cdf) >= -1e-15).all()
        assert float(cdf[0]) == pytest.approx(0, abs=1e-6)
        assert float(cdf[-1]) == pytest.approx(1, abs=1e-6)


def test_mistakes_are_explained() -> None:
    with pytest.raises(ValueError, match="family"):
        MixtureCRPS("cauchy")  # type: ignore[arg-type]
    one = torch.ones(2, 1)
    with pytest.raises(ValueError, match="asymmetry"):
        MixtureCRPS("normal").update(one, one, one, torch.zeros(2), one)
    with pytest.raises(ValueError, match="asymmetry"):
        MixtureCRPS().update(one, one, one, torch.zeros(2))
