"""Scores against those of other libraries and of plain numpy, and of forecasts whose scores are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lightning_itwin.forecasts import Verification, VerificationScores
from lightning_itwin.metrics import quantile_weights
from tests.forecasts.synthetic import LEADS, LEVELS, Batch, batch, verification


def scored(data: Batch, cells: int | None = 20, pieces: int = 3, **options: Any) -> VerificationScores:
    metric = Verification(LEVELS, LEADS, cells=cells, **options)
    for rows in torch.arange(len(data.series)).chunk(pieces):
        metric.update(**data.part(slice(int(rows[0]), int(rows[-1]) + 1)))
    return metric.compute()


@pytest.fixture(scope="module")
def data() -> Batch:
    return batch(cells=20, origins=60)


@pytest.fixture(scope="module")
def scores(data: Batch) -> VerificationScores:
    return scored(data)


def pinball(quantiles: np.ndarray, target: np.ndarray) -> np.ndarray:
    levels = np.array(LEVELS)
    off = target[..., None] - quantiles
    weights = quantile_weights(LEVELS).numpy()
    return 2 * (np.where(off > 0, levels * off, (levels - 1) * off) * weights).sum(-1)


def test_crps_and_skill_are_those_of_numpy(data: Batch, scores: VerificationScores) -> None:
    target = data.target.double().numpy()
    known = np.isfinite(target)
    own = pinball(data.quantiles.double().numpy(), target)
    wanted = [own[known[:, lead], lead].mean() for lead in range(8)]
    np.testing.assert_allclose(scores.crps, wanted, rtol=1e-5)
    assert scores.count.tolist() == known.sum(0).tolist()
    for name, quantiles in data.references.items():
        other = pinball(quantiles.double().numpy(), target)
        skill = [1 - own[k, lead].sum() / other[k, lead].sum() for lead, k in enumerate(known.T)]
        np.testing.assert_allclose(scores.skill[name], skill, rtol=2e-5, atol=1e-6)


def test_crps_is_that_of_scoringrules_for_even_levels() -> None:
    sr = pytest.importorskip("scoringrules")
    levels = ((np.arange(20) + 0.5) / 20).tolist()
    generator = torch.Generator().manual_seed(2)
    quantiles = torch.randn(200, 2, 20, generator=generator).sort(-1).values
    target = torch.randn(200, 2, generator=generator)
    metric = Verification(levels, (1, 2), percentiles=(), references=())
    zeros = torch.zeros(200, dtype=torch.int64)
    fraction = torch.zeros(200, 2)
    metric.update(quantiles=quantiles, target=target, series=zeros, origin=zeros, year_fraction=fraction)
    wanted = sr.crps_quantile(target.double().numpy(), quantiles.double().numpy(), np.array(levels)).mean(0)
    np.testing.assert_allclose(metric.compute().crps, wanted, rtol=1e-6)


def test_scores_of_events_are_those_of_sklearns_definitions(data: Batch, scores: VerificationScores) -> None:
    events = scores.events
    assert events is not None
    for lead in range(8):
        known = data.target[:, lead].isfinite().numpy()
        for column, percentile in enumerate((20, 10, 5)):
            p = data.probability_below[:, lead, column].double().numpy()[known]
            came = (data.target[:, lead] < data.thresholds[:, lead, column]).double().numpy()[known]
            brier, climatology = ((p - came) ** 2).mean(), ((percentile / 100 - came) ** 2).mean()
            assert events.skill["climatology"][lead, column] == pytest.approx(
                1 - brier / climatology, abs=1e-5
            )
            assert events.base_rate[lead, column] == pytest.approx(came.mean(), abs=1e-9)
            pairs = p[came == 1][:, None] - p[came == 0]
            area = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
            assert events.roc_area[lead, column] == pytest.approx(area, abs=2e-3)
            assert events.reliability_count[lead, column].sum() == known.sum()


def test_errors_of_the_median_are_those_of_numpy(data: Batch, scores: VerificationScores) -> None:
    assert scores.value is not None
    for lead in range(8):
        known = data.target[:, lead].isfinite().numpy()
        p = data.median_value[:, lead].double().numpy()[known]
        t = data.target_value[:, lead].double().numpy()[known]
        nse = 1 - ((p - t) ** 2).sum() / ((t - t.mean()) ** 2).sum()
        parts = np.corrcoef(p, t)[0, 1], p.std() / t.std(), p.mean() / t.mean()
        kge = 1 - np.sqrt(sum((part - 1) ** 2 for part in parts))
        assert scores.value.nse[lead] == pytest.approx(nse, abs=1e-6)
        assert scores.value.kge[lead] == pytest.approx(kge, abs=1e-6)
        assert scores.value.rmse[lead] == pytest.approx(np.sqrt(((p - t) ** 2).mean()), rel=1e-6)
        assert scores.value.bias[lead] == pytest.approx((p - t).mean(), abs=1e-8)


def test_maps_are_the_scores_of_each_cell_alone(data: Batch, scores: VerificationScores) -> None:
    cell = 7
    rows = (data.series == cell).numpy()
    target = data.target.double().numpy()[rows]
    own = pinball(data.quantiles.double().numpy()[rows], target)
    other = pinball(data.references["damped_persistence"].double().numpy()[rows], target)
    skill = 1 - np.nansum(own, 0) / np.nansum(other, 0)
    np.testing.assert_allclose(scores.maps["crps_skill_damped_persistence"][:, cell], skill, atol=1e-5)
    assert scores.maps["brier_skill_p20_climatology"].shape == (8, 20)
    p, t = data.median_value.double().numpy()[rows, 0], data.target_value.double().numpy()[rows, 0]
    known = np.isfinite(t)
    p, t = p[known], t[known]
    assert scores.maps["nse"][0, cell] == pytest.approx(
        1 - ((p - t) ** 2).sum() / ((t - t.mean()) ** 2).sum(), abs=1e-5
    )
    np.testing.assert_allclose(scores.cell_nse, np.median(scores.maps["nse"], axis=1))


def test_pieces_of_any_size_make_the_same_scores(data: Batch, scores: VerificationScores) -> None:
    other = scored(data, pieces=17)
    for name, values in scores.columns().items():
        np.testing.assert_allclose(other.columns()[name], values, rtol=1e-9, err_msg=name)


def test_what_is_calibrated_is_found_calibrated_from_every_state() -> None:
    found = scored(batch(cells=40, origins=400), cells=None)
    assert found.coverages.tolist() == [0.5, 0.8, 0.9]
    np.testing.assert_allclose(found.coverage, np.tile([0.5, 0.8, 0.9], (8, 1)), atol=0.012)
    assert found.coverage_by_state is not None
    np.testing.assert_allclose(found.coverage_by_state[..., 1], 0.8, atol=0.045)
    assert found.pit is not None
    np.testing.assert_allclose(found.pit, 0.1, atol=0.01)


def test_what_is_too_narrow_is_found_so() -> None:
    found = scored(batch(origins=200, width=0.5), cells=None)
    assert (found.coverage[:, 1] < 0.6).all()
    assert found.pit is not None
    assert (found.pit[:, 0] > 0.15).all()


def test_seasons_are_those_of_the_valid_day(data: Batch) -> None:
    january = Batch(**{**vars(data), "year_fraction": torch.full_like(data.year_fraction, 0.99)})
    found = scored(january)
    whole = found.skill["climatology"]
    np.testing.assert_allclose(found.season_skill["climatology"][0], whole)
    assert np.isnan(found.season_skill["climatology"][1:]).all()
    for fraction, season in ((0.1, 0), (0.2, 1), (0.5, 2), (0.75, 3), (11.5 / 12, 0)):
        again = Batch(**{**vars(data), "year_fraction": torch.full_like(data.year_fraction, fraction)})
        assert np.isfinite(scored(again).season_skill["climatology"][season]).all()


def test_the_latest_origin_is_today(data: Batch, scores: VerificationScores) -> None:
    assert scores.latest_origin == 590
    assert scores.latest_probability is not None
    torch.testing.assert_close(torch.from_numpy(scores.latest_probability), data.probability_below[-20:])


def test_realizations_share_their_cells() -> None:
    data = batch(cells=20, origins=30)
    halves = scored(data, cells=10)
    assert halves.maps["nse"].shape == (8, 10)
    assert halves.latest_probability is not None
    torch.testing.assert_close(torch.from_numpy(halves.latest_probability), data.probability_below[-20:-10])


def test_references_count_where_they_are(data: Batch, scores: VerificationScores) -> None:
    damped = data.references["damped_persistence"].clone()
    damped[::2] = torch.nan
    other = Batch(**{**vars(data), "references": {**data.references, "damped_persistence": damped}})
    found = scored(other)
    half = Batch(
        **{k: v[1::2] for k, v in vars(data).items() if k != "references"},
        references={k: v[1::2] for k, v in data.references.items()},
    )
    np.testing.assert_allclose(found.skill["damped_persistence"], scored(half).skill["damped_persistence"])
    np.testing.assert_allclose(found.skill["climatology"], scores.skill["climatology"])
    np.testing.assert_allclose(found.crps, scores.crps)


def test_a_point_forecast_of_one_day_has_what_makes_sense() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, 1, generator=generator)
    metric = Verification([0.5], [0], cells=5, percentiles=(), references=())
    rows = torch.arange(50)
    median = target + 0.1
    metric.update(
        quantiles=median.unsqueeze(-1),
        target=target,
        series=rows % 5,
        origin=rows,
        year_fraction=torch.zeros(50, 1),
        median_value=median,
        target_value=target,
    )
    found = metric.compute()
    assert found.crps[0] == pytest.approx(0.1, rel=1e-5)
    assert found.events is None
    assert found.pit is None
    assert found.coverage.shape == (1, 0)
    assert found.value is not None
    assert found.value.bias[0] == pytest.approx(0.1, rel=1e-5)
    assert {"crps/lead_00", "value_rmse/lead_00", "cell_median_nse/lead_00"} <= set(found.metrics())


def test_reset_forgets(data: Batch, scores: VerificationScores) -> None:
    metric = verification()
    metric.update(**batch(seed=5).part(slice(None)))
    metric.reset()
    metric.update(**data.part(slice(None)))
    np.testing.assert_allclose(metric.compute().crps, scores.crps)


def test_memory_is_bounded_by_cells_and_leads() -> None:
    metric = Verification(LEVELS, LEADS, cells=100_000)
    states = [state for part in metric.parts.values() for state in part._defaults]  # type: ignore[union-attr]
    assert len(states) > 10
    size = sum(
        getattr(part, name).numel() * getattr(part, name).element_size()
        for part in metric.parts.values()
        for name in part._defaults  # type: ignore[union-attr]
    )
    assert size < 100_000 * len(LEADS) * 120


def test_metrics_to_log_are_finite_numbers(scores: VerificationScores) -> None:
    found = scores.metrics()
    assert all(np.isfinite(value) for value in found.values())
    assert found["crps_skill_climatology/lead_07"] == scores.skill["climatology"][2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantiles": torch.zeros(4, 8, 2)}, "quantiles is"),
        ({"target": torch.zeros(4, 7)}, "target is"),
        ({"thresholds": None}, "thresholds"),
        ({"probability_below": torch.zeros(4, 8, 2)}, "probability_below is"),
        ({"references": {}}, "References are"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        verification().update(**{**batch().part(slice(0, 4)), **change})


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="maps are of leads"):
        Verification(LEVELS, (1, 3), map_leads=(7,))
    with pytest.raises(ValueError, match="rise"):
        Verification((0.5, 0.1), (1,))
