from __future__ import annotations

import pytest
import torch

from lightning_itwin.hydrology import ReferenceForecasts
from lightning_itwin.hydrology.reference_forecasts import _SampledCells

LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]
LEADS = [1, 5, 30]
DAYS = 12 * 365
FRACTION = (torch.arange(DAYS) % 365).double() / 365


def memory(cells: int, days: int = DAYS, seed: int = 0) -> torch.Tensor:
    """Give AR(1) anomalies of unit variance whose coefficients rise from cell to cell, .80 to .97."""
    generator = torch.Generator().manual_seed(seed)
    coefficient = torch.linspace(0.80, 0.97, cells)
    noise = torch.randn(days, cells, generator=generator) * (1 - coefficient**2).sqrt()
    state, found = torch.randn(cells, generator=generator), []
    for day in noise:
        state = coefficient * state + day
        found.append(state)
    return torch.stack(found, 1)


@pytest.fixture(scope="module")
def fitted() -> ReferenceForecasts:
    return ReferenceForecasts.fit(memory(40).split(7), FRACTION, LEADS, LEVELS)


def test_the_damping_is_that_of_the_process(fitted: ReferenceForecasts) -> None:
    coefficient = torch.linspace(0.80, 0.97, 40)
    for column, lead in enumerate(LEADS[:2]):
        wanted = coefficient**lead
        found = fitted.coefficient[..., column].mean(1)
        torch.testing.assert_close(found, wanted, rtol=0, atol=0.09)
        spread = (1 - wanted**2).sqrt()
        torch.testing.assert_close(fitted.spread[..., column].mean(1), spread, rtol=0.15, atol=0)


def test_forecasts_hold_what_they_say_on_days_never_seen(fitted: ReferenceForecasts) -> None:
    series = memory(40, seed=1)
    origins = torch.arange(50, DAYS - 60, 11)
    cells = torch.arange(40).repeat_interleave(len(origins))
    forecast = fitted.damped_persistence(series[:, origins].flatten(), cells, FRACTION[origins].repeat(40))
    assert forecast.shape == (len(cells), 3, 5)
    assert (torch.diff(forecast, dim=-1) >= 0).all()
    target = torch.stack([series[:, origins + lead].flatten() for lead in LEADS], 1)
    below = (target.unsqueeze(-1) < forecast).float().mean(0)
    torch.testing.assert_close(below, torch.tensor(LEVELS).expand(3, -1), rtol=0, atol=0.02)


def test_climatology_has_the_quantiles_of_a_season() -> None:
    generator = torch.Generator().manual_seed(0)
    width = 1 + 0.5 * torch.cos(2 * torch.pi * FRACTION).float()
    anomaly = width * torch.randn(60, DAYS, generator=generator)
    fitted = ReferenceForecasts.fit([anomaly], FRACTION, [1], LEVELS)
    normal = torch.special.ndtri(torch.tensor(LEVELS))
    found = fitted.climatology(torch.tensor([[0.0, 0.5], [0.25, 0.75]]))
    assert found.shape == (2, 2, 5)
    torch.testing.assert_close(found[0, 0], 1.5 * normal, rtol=0, atol=0.05)
    torch.testing.assert_close(found[0, 1], 0.5 * normal, rtol=0, atol=0.05)


def test_a_missing_origin_is_forecast_by_climatology(fitted: ReferenceForecasts) -> None:
    anomaly, fraction = torch.tensor([1.0, float("nan")]), torch.tensor([0.99, 0.99], dtype=torch.float64)
    found = fitted.damped_persistence(anomaly, torch.tensor([0, 1]), fraction)
    assert found.isfinite().all()
    valid = (0.99 + torch.tensor(LEADS) / 365.25) % 1
    torch.testing.assert_close(found[1], fitted.climatology(valid))


def test_gaps_do_not_bias_the_fit() -> None:
    whole = memory(30)
    gappy = torch.where(
        torch.rand(whole.shape, generator=torch.Generator().manual_seed(2)) < 0.3, torch.nan, whole
    )
    one, other = (ReferenceForecasts.fit([series], FRACTION, LEADS, LEVELS) for series in (whole, gappy))
    torch.testing.assert_close(
        other.coefficient.mean((0, 1)), one.coefficient.mean((0, 1)), rtol=0, atol=0.01
    )
    torch.testing.assert_close(other.residuals.mean(0), one.residuals.mean(0), rtol=0, atol=0.03)


def test_a_cell_without_values_has_the_forecast_of_all_cells() -> None:
    series = memory(20)
    series[3] = torch.nan
    fitted = ReferenceForecasts.fit([series], FRACTION, LEADS, LEVELS)
    assert fitted.damped_persistence(torch.ones(1), torch.tensor([3]), torch.zeros(1)).isfinite().all()
    others = fitted.coefficient[[2, 4]].mean()
    assert abs(float(fitted.coefficient[3].mean() - fitted.coefficient.mean())) < abs(float(others) - 1)


def test_a_season_without_days_has_the_forecast_of_the_year() -> None:
    summer = (FRACTION > 0.4) & (FRACTION < 0.7)
    series = torch.where(summer, memory(20), torch.nan)
    fitted = ReferenceForecasts.fit([series], FRACTION, [1], LEVELS)
    found = fitted.damped_persistence(torch.ones(2), torch.tensor([0, 19]), torch.zeros(2))
    assert found.isfinite().all()
    assert (fitted.climatology(torch.tensor([0.0])) < 2).all()


def test_blocks_make_no_difference(fitted: ReferenceForecasts) -> None:
    whole = ReferenceForecasts.fit([memory(40).numpy()], FRACTION.numpy(), LEADS, LEVELS)
    for name, value in fitted.state_dict().items():
        torch.testing.assert_close(whole.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [1, 7, 600, 3000])
def test_sampled_cells_are_spread_over_the_stream(block: int) -> None:
    sample = _SampledCells()
    for part in torch.arange(3000.0)[:, None].split(block):
        sample.add(part)
    stride = sample.cells[1] - sample.cells[0]
    assert sample.cells == list(range(0, 3000, stride))
    assert 256 <= len(sample.cells) < 512
    assert [float(row) for row in sample.rows] == sample.cells


def test_a_lead_of_no_days_is_what_is_known() -> None:
    fitted = ReferenceForecasts.fit([memory(10)], FRACTION, [0], LEVELS)
    found = fitted.damped_persistence(torch.tensor([1.5]), torch.tensor([0]), torch.tensor([0.3]))
    torch.testing.assert_close(found, torch.full((1, 1, 5), 1.5), rtol=0, atol=0.05)


def test_it_is_saved_and_made_again(fitted: ReferenceForecasts) -> None:
    again = ReferenceForecasts.from_state_dict(fitted.state_dict())
    arguments = torch.tensor([0.5, -1.0]), torch.tensor([3, 9]), torch.tensor([0.1, 0.9])
    assert torch.equal(again.damped_persistence(*arguments), fitted.damped_persistence(*arguments))
    assert (again.leads, again.levels) == (LEADS, LEVELS)
    assert torch.equal(fitted.to("cpu").anomalies, fitted.anomalies)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ReferenceForecasts.fit([], FRACTION, LEADS, LEVELS), "no anomaly"),
        (
            lambda: ReferenceForecasts.fit([torch.full((2, DAYS), torch.nan)], FRACTION, [1], LEVELS),
            "no anomaly",
        ),
        (lambda: ReferenceForecasts.fit([torch.zeros(2, 9)], FRACTION, LEADS, LEVELS), "days"),
        (lambda: ReferenceForecasts.fit([], FRACTION, [3, 1], LEVELS), "rising"),
        (lambda: ReferenceForecasts.fit([], FRACTION, [-1], LEVELS), "0 or more"),
        (lambda: ReferenceForecasts.fit([], FRACTION, [DAYS], LEVELS), "longer record"),
        (lambda: ReferenceForecasts.fit([], FRACTION, LEADS, [0.9, 0.1]), "rise"),
        (lambda: ReferenceForecasts.fit([], FRACTION + 1, LEADS, LEVELS), "below 1"),
    ],
)
def test_mistakes_are_explained(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
