from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.regression import MeanSquaredError, NormalizedRootMeanSquaredError, R2Score

from lightning_itwin.metrics import (
    KlingGuptaEfficiency,
    MeanBias,
    NashSutcliffeEfficiency,
    RootMeanSquaredError,
)


def series(offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(500, generator=generator, dtype=torch.float64) + offset
    return 0.8 * target + 0.3 * torch.rand(500, generator=generator, dtype=torch.float64), target


def test_nse_is_the_coefficient_of_determination() -> None:
    prediction, target = series()
    found = NashSutcliffeEfficiency()(prediction, target)
    assert float(found) == pytest.approx(float(R2Score()(prediction.float(), target.float())), abs=1e-5)


@pytest.mark.parametrize("version", [2009, 2012])
def test_kge_is_its_definition(version: int) -> None:
    prediction, target = series()
    p, t = prediction.numpy(), target.numpy()
    bias = p.mean() / t.mean()
    variability = p.std() / t.std() / (bias if version == 2012 else 1)
    wanted = 1 - np.sqrt((np.corrcoef(p, t)[0, 1] - 1) ** 2 + (variability - 1) ** 2 + (bias - 1) ** 2)
    metric = KlingGuptaEfficiency(version)
    assert float(metric(prediction, target)) == pytest.approx(wanted, abs=1e-12)
    parts = metric.parts()
    assert [float(parts.variability), float(parts.bias)] == pytest.approx([variability, bias])


def test_rmse_and_bias() -> None:
    prediction, target = series()
    wanted = MeanSquaredError(squared=False)(prediction.float(), target.float())
    assert float(RootMeanSquaredError()(prediction, target)) == pytest.approx(float(wanted), abs=1e-6)
    assert float(MeanBias()(prediction, target)) == pytest.approx(float((prediction - target).mean()))
    assert (
        float(NormalizedRootMeanSquaredError()(prediction.float(), target.float())) > 0
    )  # has no NaN, no leads


@pytest.mark.parametrize("kind", [NashSutcliffeEfficiency, RootMeanSquaredError])
def test_a_large_offset_does_not_cancel(kind) -> None:
    prediction, target = series()
    far = kind()
    for p, t in zip(prediction.split(7), target.split(7)):  # 2^20 keeps the last 32 bits of every value
        far.update(torch.round(p * 2**32) / 2**32 + 2**20, torch.round(t * 2**32) / 2**32 + 2**20)
    near = kind()(torch.round(prediction * 2**32) / 2**32, torch.round(target * 2**32) / 2**32)
    assert float(far.compute()) == pytest.approx(float(near), rel=1e-9)


def test_a_perfect_forecast_has_no_error_at_all() -> None:
    _, target = series(1e6)
    assert float(RootMeanSquaredError()(target, target)) == 0
    assert float(NashSutcliffeEfficiency()(target, target)) == 1
    assert float(KlingGuptaEfficiency()(target, target)) == pytest.approx(1)


def test_a_series_that_does_not_vary_has_no_efficiency() -> None:
    prediction, target = torch.tensor([1.0, 2.0, 3.0]), torch.ones(3)
    assert NashSutcliffeEfficiency()(prediction, target).isnan()
    assert KlingGuptaEfficiency()(target, prediction).isnan()


def test_mistakes_are_explained() -> None:
    with pytest.raises(ValueError, match="2009 or 2012"):
        KlingGuptaEfficiency(2021)
    with pytest.raises(ValueError, match="differ"):
        MeanBias().update(torch.zeros(3), torch.zeros(4))
