import math

import pytest
import torch

from lightning_itwin.models.gw_coordinates import GaussianCoordinates


@pytest.fixture(scope="module")
def coordinates():
    """A uniform mass, an angle with period 2 pi, an inclination (sine prior), a distance (square law)."""
    u = GaussianCoordinates.probabilities()
    quantiles = torch.stack(
        [20 + 40 * u, 2 * math.pi * u, torch.arccos(1 - 2 * u), (1e6 + u * (8e9 - 1e6)) ** (1 / 3)], dim=1
    )
    minimum = torch.tensor([20.0, 0.0, 0.0, 100.0], dtype=torch.float64)
    return GaussianCoordinates(
        quantiles, minimum, torch.tensor([0.0, 2 * math.pi, 0.0, 0.0], dtype=torch.float64)
    )


@pytest.fixture(scope="module")
def theta():
    u = torch.rand(5000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return torch.stack(
        [
            20 + 40 * u[:, 0],
            2 * math.pi * u[:, 1],
            torch.arccos(1 - 2 * u[:, 2]),
            (1e6 + u[:, 3] * (8e9 - 1e6)) ** (1 / 3),
        ],
        dim=1,
    )


def test_there_and_back_is_exact_also_in_the_tails(coordinates, theta):
    z, _ = coordinates.to_coordinates(theta)
    back, _ = coordinates.to_parameters(z)
    torch.testing.assert_close(back, theta, rtol=1e-12, atol=1e-11)
    far = torch.linspace(-8, 8, 1001, dtype=torch.float64)[:, None].expand(-1, 4)
    again, _ = coordinates.to_coordinates(coordinates.to_parameters(far)[0])
    without_circle = [0, 2, 3]
    # In the tail of a uniform prior a step of 1 in z is one of 6e-5 in a mass of 20.
    torch.testing.assert_close(again[:, without_circle], far[:, without_circle], rtol=0, atol=1e-7)


def test_the_prior_is_a_standard_normal(coordinates, theta):
    z, _ = coordinates.to_coordinates(theta)
    rank = torch.special.ndtr(z).sort(dim=0).values
    uniform = (torch.arange(len(z), dtype=torch.float64) + 0.5) / len(z)
    assert (rank - uniform[:, None]).abs().max() < 1.63 / math.sqrt(len(z))  # Kolmogorov-Smirnov, 1 %


def test_slopes_are_the_derivatives(coordinates):
    z = torch.linspace(-5.5, 5.5, 400, dtype=torch.float64)[:, None].expand(-1, 4).clone().requires_grad_()
    theta, log_slope = coordinates.to_parameters(z)
    (slope,) = torch.autograd.grad(theta.sum(), z)
    torch.testing.assert_close(log_slope, slope.log().sum(dim=1))
    inside = theta.detach().clamp(max=coordinates.theta_PK[:, -1])
    inside = torch.maximum(inside, coordinates.theta_PK[:, 0])
    z_again, log_inverse = coordinates.to_coordinates(inside)
    torch.testing.assert_close(log_inverse, -coordinates.to_parameters(z_again)[1], rtol=1e-6, atol=1e-6)


def test_the_density_of_a_flow_that_learned_nothing_is_the_prior(coordinates, theta):
    z, log_slope = coordinates.to_coordinates(theta[:, [0, 1, 2, 3]])
    normal = -0.5 * z.square().sum(dim=1) - 2 * math.log(2 * math.pi)
    log_prior = -math.log(40) - math.log(2 * math.pi) + (theta[:, 2].sin() / 2).log()
    log_prior = log_prior + (3 * theta[:, 3] ** 2 / (8e9 - 1e6)).log()
    difference = normal + log_slope - log_prior
    assert difference.abs().quantile(0.999) < 2e-3
    assert difference.abs().max() < 0.05


def test_an_angle_is_brought_into_its_range(coordinates):
    theta = torch.tensor([[30.0, 1.0, 1.0, 500.0]], dtype=torch.float64)
    turned = theta + torch.tensor([0.0, -4 * math.pi, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(coordinates.to_coordinates(turned)[0], coordinates.to_coordinates(theta)[0])


def test_shapes_and_state(coordinates, theta):
    z, log_slope = coordinates.to_coordinates(theta.view(50, 100, 4))
    assert z.shape == (50, 100, 4)
    assert log_slope.shape == (50, 100)
    empty = GaussianCoordinates.empty(4)
    empty.load_state_dict(coordinates.state_dict())
    torch.testing.assert_close(empty.to_coordinates(theta)[0], coordinates.to_coordinates(theta)[0])


def test_a_discrete_prior_is_refused():
    quantiles = torch.ones(len(GaussianCoordinates.probabilities()), 2)
    with pytest.raises(ValueError, match=r"parameter \[0, 1\] do not rise"):
        GaussianCoordinates(quantiles, torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match="must be"):
        GaussianCoordinates(quantiles[:5], torch.zeros(2), torch.zeros(2))
