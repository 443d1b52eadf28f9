import pytest
import torch

from lightning_itwin.models.drought_calibration import CalibrationSums, ConformalCalibration, interval_width

LEVELS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
LEADS = [1, 30]


def forecasts(count=40_000, seed=0):
    """Truths whose spread grows with dryness; forecasts that are too narrow and too wet, and alike."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(count, generator=generator)
    spread = torch.exp(-0.3 * state).unsqueeze(-1) * torch.tensor([0.1, 1.0])
    target = state.unsqueeze(-1) * torch.tensor([0.9, 0.3]) + spread * torch.randn(
        count, 2, generator=generator
    )
    normal = torch.special.ndtri(torch.tensor(LEVELS))
    centre = state.unsqueeze(-1) * torch.tensor([0.9, 0.3]) + 0.3 * torch.tensor([0.1, 1.0])
    quantiles = centre.unsqueeze(-1) + 0.7 * torch.tensor([0.1, 1.0]).unsqueeze(-1) * normal
    return quantiles, target, state


def sums_of(quantiles, target, state, histories=8, days=3650):
    sums = CalibrationSums(LEVELS, len(LEADS), histories, days)
    at = torch.arange(len(state))
    sums.add(quantiles, target, state, at % histories, (at * 7) % days)
    return sums


def held(quantiles, target):
    return ((target >= quantiles[..., 1]) & (target <= quantiles[..., 5])).double().mean(0)


def test_coverage_is_right_in_every_state_afterwards():
    calibration = ConformalCalibration(LEVELS, len(LEADS))
    report = calibration.fit(sums_of(*forecasts()), LEADS, step=7)
    assert (report.groups, report.forecasts, int(calibration.step)) == (10, 40_000, 7)
    assert report.independent == 8 * 122
    quantiles, target, state = forecasts(seed=1)
    corrected = calibration(quantiles, state)
    assert bool((corrected.diff(dim=-1) >= 0).all())
    assert bool((held(quantiles, target) < 0.7).all())
    torch.testing.assert_close(held(corrected, target), torch.full((2,), 0.8).double(), rtol=0, atol=0.01)
    driest = state <= torch.quantile(state, 0.1)
    assert bool((held(quantiles[driest], target[driest]) < 0.5).all())
    found = held(corrected[driest], target[driest])
    torch.testing.assert_close(found, torch.full((2,), 0.8).double(), rtol=0, atol=0.05)
    for at, level in enumerate(LEVELS):
        below = (target <= corrected[..., at]).double().mean(0)
        torch.testing.assert_close(below, torch.full((2,), level).double(), rtol=0, atol=0.012)


def test_the_sums_of_two_ranks_are_those_of_one():
    quantiles, target, state = forecasts(4000)
    whole = sums_of(quantiles, target, state)
    at = torch.arange(4000)
    halves = [CalibrationSums(LEVELS, 2, 8, 3650) for _ in range(2)]
    for rank, half in enumerate(halves):
        own = at[rank::2]
        half.add(quantiles[own], target[own], state[own], own % 8, (own * 7) % 3650)
    halves[0].add_over_ranks(lambda part: part + (halves[1].counts if part.ndim == 4 else halves[1].seen))
    assert torch.equal(halves[0].counts, whole.counts)
    assert torch.equal(halves[0].seen, whole.seen)


def test_few_months_make_fewer_groups_and_say_so():
    calibration = ConformalCalibration(LEVELS, len(LEADS))
    report = calibration.fit(sums_of(*forecasts(4000), histories=1, days=900), LEADS, step=0)
    assert report.groups == 1
    assert "too few for 10 groups" in str(report)
    quantiles, _, state = forecasts(10)
    shift = (calibration(quantiles, state) - quantiles) / interval_width(quantiles, LEVELS)
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=1e-4, atol=1e-4)


def test_an_unknown_state_and_an_unknown_truth():
    quantiles, target, state = forecasts(4000)
    target[::2, 1], state[::4] = torch.nan, torch.nan
    calibration = ConformalCalibration(LEVELS, len(LEADS))
    assert calibration.fit(sums_of(quantiles, target, state), LEADS, step=0).forecasts == 4000
    corrected = calibration(quantiles, state)
    assert bool(corrected.isfinite().all())
    with pytest.raises(ValueError, match="no forecast whose truth is known"):
        calibration.fit(sums_of(quantiles, torch.full_like(target, torch.nan), state), LEADS, step=0)


def test_without_a_fit_nothing_is_corrected():
    quantiles, _, state = forecasts(10)
    calibration = ConformalCalibration(LEVELS, len(LEADS))
    assert not calibration.is_ready
    assert torch.equal(calibration(quantiles, state), quantiles)
    calibration.fit(sums_of(*forecasts(4000)), LEADS, step=0)
    calibration.reset()
    assert torch.equal(calibration(quantiles, state), quantiles)
    assert not ConformalCalibration([0.5], 2).can_calibrate
