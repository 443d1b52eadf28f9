from __future__ import annotations

import numpy as np
import pytest
import scoringrules
import torch
from scipy import stats
from torch import Tensor
from torchmetrics.classification import MultilabelAUROC

from lightning_itwin.metrics import (
    BrierScore,
    BrierSkillScore,
    ReliabilityDiagram,
    ROCCurve,
    brier_score,
)

NAN = float("nan")


def events(count: int = 4000, leads: int = 2) -> tuple[Tensor, Tensor]:
    """Give reliable forecasts of events, (count, leads), to hundredths."""
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(count, leads, generator=generator, dtype=torch.float64).round(decimals=2)
    return probability, (torch.rand(count, leads, generator=generator) < probability).double()


def test_brier_scores_agree_with_scoringrules() -> None:
    probability, outcome = events()
    wanted = scoringrules.brier_score(outcome.numpy(), probability.numpy())
    np.testing.assert_allclose(brier_score(probability, outcome), wanted, atol=1e-12)
    found = BrierScore(num_outputs=2)(probability, outcome.bool())
    np.testing.assert_allclose(found, wanted.mean(0), atol=1e-12)


def test_brier_skill_against_base_rate_number_and_given_forecast() -> None:
    probability, outcome = torch.tensor([0.8, 0.4, 0.1, 0.1, NAN]), torch.tensor([1.0, 0.0, 0.0, 1.0, NAN])
    score = (0.04 + 0.16 + 0.01 + 0.81) / 4
    assert float(BrierSkillScore()(probability, outcome)) == pytest.approx(1 - score / 0.25)
    assert float(BrierSkillScore(0.2)(probability, outcome)) == pytest.approx(1 - score / 0.34)
    given = torch.tensor([0.5, 0.5, 0.5, 0.0, 0.3])
    assert float(BrierSkillScore("given")(probability, outcome, given)) == pytest.approx(1 - score / 0.4375)


def test_brier_skill_without_events_is_unknown() -> None:
    assert BrierSkillScore()(torch.tensor([0.0, 0.1]), torch.tensor([0.0, 0.0])).isnan()


def test_groups_have_their_own_base_rate() -> None:
    outcome = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    metric = BrierSkillScore(num_groups=2)
    metric.update(torch.full((6,), 0.25), outcome, groups=torch.tensor([0, 0, 1, 1, 1, 1]))
    np.testing.assert_allclose(metric.compute(), [-0.25, 0.0], atol=1e-12)


def test_a_reliability_diagram_counts_bins() -> None:
    probability = torch.tensor([0.0, 0.05, 0.1, 0.35, 1.0, 0.95])
    outcome = torch.tensor([0.0, 1.0, 0.0, NAN, 1.0, 1.0])
    found = ReliabilityDiagram(bins=10)(probability, outcome)
    assert found.samples.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    np.testing.assert_allclose(found.forecast[[0, 1, 9]], [0.025, 0.1, 0.975], atol=1e-7)
    np.testing.assert_allclose(found.observed[[0, 1, 9]], [0.5, 0.0, 1.0])
    assert found.forecast[2:9].isnan().all()


def test_edges_may_be_uneven() -> None:
    found = ReliabilityDiagram(bins=[0, 0.05, 0.2, 1])(torch.tensor([0.04, 0.05, 0.3]), torch.ones(3))
    assert found.samples.tolist() == [1, 1, 1]


@pytest.mark.parametrize("count", [40, 1000, 1001, 100_000])
def test_consistency_bars_are_binomial(count: int) -> None:
    probability, outcome = torch.full((count,), 0.3, dtype=torch.float64), torch.zeros(count)
    found = ReliabilityDiagram(bins=[0, 0.5, 1])(probability, outcome)
    low, high = stats.binom.ppf([0.025, 0.975], count, 0.3) / count
    tolerance = 1e-12 if count <= 1000 else 1.0 / count
    assert float(found.low[0]) == pytest.approx(low, abs=tolerance)
    assert float(found.high[0]) == pytest.approx(high, abs=tolerance)
    assert found.low[1].isnan()


def test_bars_are_wider_for_samples_that_depend_on_each_other() -> None:
    probability, outcome = torch.full((500,), 0.3, dtype=torch.float64), torch.zeros(500)
    found = ReliabilityDiagram(bins=1, independent_share=0.1)(probability, outcome)
    low, high = stats.binom.ppf([0.025, 0.975], 50, 0.3) / 50
    assert [float(found.low), float(found.high)] == pytest.approx([low, high])
    assert int(found.samples) == 500


def test_sure_forecasts_have_bars_without_width() -> None:
    found = ReliabilityDiagram(bins=2)(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    assert (found.low.tolist(), found.high.tolist()) == ([0, 1], [0, 1])


def test_reliable_forecasts_stay_within_their_bars() -> None:
    probability, outcome = events(20_000)
    found = ReliabilityDiagram(bins=10, num_outputs=2)(probability, outcome)
    assert ((found.low <= found.observed) & (found.observed <= found.high)).double().mean() >= 0.9


def test_a_roc_curve_agrees_with_torchmetrics() -> None:
    probability, outcome = events()
    found = ROCCurve(bins=101, num_outputs=2)(probability, outcome)
    exact = MultilabelAUROC(num_labels=2, average="none")(probability, outcome.long())
    np.testing.assert_allclose(found.area, exact, atol=1e-6)  # each hundredth has its bin
    assert (torch.diff(found.hit_rate) >= 0).all()
    assert found.hit_rate[:, -1].tolist() == found.false_alarm_rate[:, -1].tolist() == [1, 1]


def test_a_roc_curve_without_events_is_unknown() -> None:
    assert ROCCurve()(torch.tensor([0.1, 0.2]), torch.tensor([0.0, 0.0])).area.isnan()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: BrierSkillScore("climate"), "base_rate"),
        (lambda: BrierSkillScore(1.2), "probability"),
        (
            lambda: BrierSkillScore().update(torch.zeros(2), torch.zeros(2), torch.zeros(2)),
            "takes a reference",
        ),
        (lambda: BrierSkillScore("given").update(torch.zeros(2), torch.zeros(2)), "takes a reference"),
        (lambda: BrierScore().update(torch.zeros(2), torch.zeros(3)), "differ"),
        (lambda: BrierScore().update(torch.full((2,), 1.5), torch.zeros(2)), "from 0 to 1"),
        (lambda: BrierScore().update(torch.zeros(2), torch.full((2,), 0.3)), "0 or 1"),
        (lambda: ReliabilityDiagram(bins=0), "1 bin"),
        (lambda: ReliabilityDiagram(independent_share=0), "above 0"),
        (lambda: ReliabilityDiagram(bins=[0, 0.5]), "from 0 to 1"),
        (lambda: ROCCurve(bins=[0, 0.5, 0.5, 1]), "rise"),
    ],
)
def test_mistakes_are_explained(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
