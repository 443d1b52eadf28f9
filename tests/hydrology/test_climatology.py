from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_itwin.hydrology import Climatology

DAYS = torch.arange(10 * 365)
FRACTION = (DAYS % 365).double() / 365
CELLS = torch.arange(4)


def series(cells: int = 4, seed: int = 0) -> torch.Tensor:
    """Give daily values with a season in mean and spread."""
    generator = torch.Generator().manual_seed(seed)
    season = torch.cos(2 * torch.pi * FRACTION)
    noise = torch.randn(cells, len(DAYS), generator=generator, dtype=torch.float64)
    return 0.3 + 0.1 * season + (0.03 + 0.01 * season) * noise


def test_statistics_are_those_of_the_days_round_a_centre() -> None:
    values = series()
    climatology = Climatology.fit(values, FRACTION, centres=24, levels=(0.05, 0.1, 0.2, 0.5))
    for centre in (0, 7, 23):
        apart = (FRACTION - centre / 24 + 0.5) % 1 - 0.5
        window = values[:, (apart.abs() * 365.25 <= 10.2)].numpy()
        assert 20 * 10 <= window.shape[1] <= 21 * 10
        np.testing.assert_allclose(climatology.mean[:, centre], window.mean(1), rtol=1e-12)
        np.testing.assert_allclose(
            climatology.standard_deviation[:, centre], window.std(1, ddof=1), rtol=1e-12
        )
        wanted = np.quantile(window, climatology.levels, axis=1, method="weibull").T
        np.testing.assert_allclose(climatology.percentiles[:, centre], wanted, rtol=1e-12)


def test_gaps_are_left_out_of_every_statistic() -> None:
    values = series()
    gap = torch.rand(values.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    values[gap] = torch.nan
    climatology = Climatology.fit(values, FRACTION, centres=24)
    inside = ((FRACTION - 5 / 24).abs() * 365.25 <= 10.2).nonzero().squeeze(-1)
    for cell in range(4):
        window = values[cell, inside].numpy()
        window = window[~np.isnan(window)]
        np.testing.assert_allclose(climatology.mean[cell, 5], window.mean(), rtol=1e-12)
        np.testing.assert_allclose(climatology.standard_deviation[cell, 5], window.std(ddof=1), rtol=1e-12)
        wanted = np.quantile(window, climatology.levels, method="weibull")
        np.testing.assert_allclose(climatology.percentiles[cell, 5], wanted, rtol=1e-12)


def test_blocks_give_what_the_whole_gives_whether_a_neighbour_has_gaps_or_not() -> None:
    values = series(600).float()
    values[3, 100] = torch.nan
    whole = Climatology.fit(values, FRACTION)
    parts = Climatology.from_blocks((block.numpy() for block in values.split(50)), FRACTION)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_values_may_come_as_files_have_them() -> None:
    values = series().float()
    big_endian = values.numpy().astype(">f4")
    big_endian.setflags(write=False)
    packed = (values * 1000).round().to(torch.int16)
    climatology = Climatology.fit(values, FRACTION)
    assert torch.equal(Climatology.fit(big_endian, FRACTION).mean, climatology.mean)
    torch.testing.assert_close(
        Climatology.fit(packed, FRACTION).mean / 1000, climatology.mean, rtol=0, atol=2e-4
    )


def test_anomaly_and_value_are_inverse() -> None:
    values = series()
    climatology = Climatology.fit(values, FRACTION)
    anomaly = climatology.anomaly(values, CELLS, FRACTION)
    torch.testing.assert_close(climatology.value(anomaly, CELLS, FRACTION), values, rtol=1e-12, atol=1e-12)
    assert abs(float(anomaly.mean())) < 0.02
    assert abs(float(anomaly.std()) - 1) < 0.04


def test_a_batch_has_its_own_cells_and_times() -> None:
    values = series()
    climatology = Climatology.fit(values, FRACTION)
    whole = climatology.anomaly(values, CELLS, FRACTION)
    cells, starts = torch.tensor([2, 0, 2]), torch.tensor([5, 360, 999])
    days = starts[:, None] + torch.arange(30)
    found = climatology.anomaly(values[cells[:, None], days], cells, FRACTION[days])
    torch.testing.assert_close(found, whole[cells[:, None], days])
    one = climatology.anomaly(values[cells, starts], cells, FRACTION[starts])
    torch.testing.assert_close(one, whole[cells, starts])


def test_thresholds_are_the_share_of_days_below_them() -> None:
    values = series()
    climatology = Climatology.fit(values, FRACTION)
    anomaly = climatology.anomaly(values, CELLS, FRACTION)
    thresholds = climatology.thresholds(CELLS, FRACTION.expand(4, -1))
    assert thresholds.shape == (4, len(DAYS), 3)
    below = (anomaly.unsqueeze(-1) < thresholds).double().mean((0, 1))
    np.testing.assert_allclose(below, [0.20, 0.10, 0.05], atol=0.01)
    p20 = climatology.percentile(0.2, CELLS, FRACTION.expand(4, -1))
    torch.testing.assert_close(climatology.value(thresholds[..., 0], CELLS, FRACTION), p20)
    assert climatology.thresholds(CELLS, torch.rand(4)).shape == (4, 3)


def test_it_is_continuous_over_the_turn_of_the_year() -> None:
    climatology = Climatology.fit(series(), FRACTION)
    ends = torch.tensor([1 - 1e-9, 0.0], dtype=torch.float64)
    found = climatology.value(torch.zeros(4, 2, dtype=torch.float64), CELLS, ends)
    torch.testing.assert_close(found[:, 0], found[:, 1])


@pytest.mark.parametrize("days_per_year", [360, 365, 366])
def test_every_calendar_has_the_same_seasons(days_per_year: int) -> None:
    day = torch.arange(6 * days_per_year)
    fraction = (day % days_per_year).double() / days_per_year
    values = torch.sin(2 * torch.pi * fraction).expand(2, -1) + 1e-3 * torch.randn(2, len(day))
    climatology = Climatology.fit(values, fraction, centres=36)
    wanted = torch.sin(2 * torch.pi * torch.arange(36) / 36)
    np.testing.assert_allclose(climatology.mean[0], wanted, atol=0.02)


def test_leap_years_are_years() -> None:
    time = np.arange("1999-01-01", "2009-01-01", dtype="datetime64[D]")
    year = time.astype("datetime64[Y]").astype("datetime64[D]")
    length = ((time.astype("datetime64[Y]") + 1).astype("datetime64[D]") - year).astype(int)
    fraction = (time - year).astype(int) / length
    values = np.cos(2 * np.pi * fraction)[None].repeat(2, 0)
    climatology = Climatology.fit(values, fraction)
    anomaly = climatology.anomaly(torch.from_numpy(values), torch.arange(2), torch.from_numpy(fraction))
    assert anomaly.abs().max() < 2


def test_cells_that_are_constant_or_missing_have_no_anomalies_and_say_so() -> None:
    values = series().float()
    values[0] = 0.37
    values[1] = torch.nan
    values[2, (FRACTION > 0.1) & (FRACTION < 0.3)] = torch.nan
    climatology = Climatology.fit(values, FRACTION)
    assert climatology.usable.tolist() == [False, False, False, True]
    anomaly = climatology.anomaly(values, CELLS, FRACTION)
    assert anomaly[:2].isnan().all()
    assert anomaly[3].isfinite().all()
    known = anomaly[2].isfinite()
    assert known[(FRACTION > 0.4) & (FRACTION < 0.95)].all()  # the rest of the year is as good as elsewhere


def test_a_season_without_variation_keeps_anomalies_finite() -> None:
    values = series().float()
    frozen = FRACTION < 0.2
    values[:, frozen] = 0.25
    climatology = Climatology.fit(values, FRACTION)
    assert climatology.usable.all()
    anomaly = climatology.anomaly(values, CELLS, FRACTION)
    assert anomaly.isfinite().all()
    inside = (FRACTION > 0.06) & (FRACTION < 0.14)
    assert anomaly[:, inside].abs().max() < 1e-2
    least = climatology.standard_deviation.amax(1) / 100
    torch.testing.assert_close(climatology.standard_deviation.amin(1), least)


def test_a_cell_with_one_year_of_values_has_no_climatology() -> None:
    values = series().float()
    values[0, 365:] = torch.nan
    assert Climatology.fit(values, FRACTION).usable.tolist() == [False, True, True, True]


def test_a_short_record_is_refused_with_what_is_needed() -> None:
    values = series()[:, :730]
    with pytest.raises(ValueError, match=r"4[02] values of 2 years, and 19 values of 3 years are needed"):
        Climatology.fit(values, FRACTION[:730])
    with pytest.raises(ValueError, match="99 values of 3 years are needed"):
        Climatology.fit(series()[:, :1095], FRACTION[:1095], levels=(0.01, 0.2))
    assert Climatology.fit(values, FRACTION[:730], least_years=2).usable.all()


def test_realizations_may_follow_one_another() -> None:
    """Two histories of two years each, one after the other, are four years."""
    values = series()[:, :1460]
    climatology = Climatology.fit(values, FRACTION[:730].repeat(2), least_years=4)
    assert climatology.usable.all()


def test_it_is_saved_and_made_again() -> None:
    climatology = Climatology.fit(series().float(), FRACTION)
    again = Climatology.from_state_dict(climatology.state_dict())
    values = torch.rand(4, 9)
    fraction = torch.rand(4, 9)
    assert torch.equal(again.anomaly(values, CELLS, fraction), climatology.anomaly(values, CELLS, fraction))
    assert (again.levels, again.window_days, len(again)) == ((0.05, 0.1, 0.2), 10.0, 4)
    assert climatology.to("cpu").usable.all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Climatology.fit(torch.zeros(2, 9), FRACTION), "3650 days"),
        (lambda: Climatology.fit(torch.zeros(2, 9), torch.full((9,), 1.0)), "below 1"),
        (lambda: Climatology.fit(series(), FRACTION, levels=(0.2, 0.1)), "rise"),
        (lambda: Climatology.fit(series(), FRACTION, levels=()), "rise"),
        (lambda: Climatology.fit(series(), FRACTION, centres=12), "leave gaps: take 19"),
        (lambda: Climatology.fit(series(), FRACTION, centres=0), "1 centre or more"),
        (lambda: Climatology.from_blocks([], FRACTION), "no block"),
        (lambda: Climatology.fit(series(), FRACTION).percentile(0.3, CELLS, torch.rand(4)), "fit it with"),
        (lambda: Climatology(torch.zeros(3), torch.zeros(3), torch.zeros(3), [0.1]), "N, K"),
        (lambda: Climatology(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 2, 4), [0.1]), "is wanted"),
    ],
)
def test_mistakes_are_explained(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
