from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_itwin.hydrology import StandardizedIndex
from lightning_itwin.metrics import StandardizedGammaIndex


def test_a_streamed_index_is_the_index_in_memory() -> None:
    generator = np.random.default_rng(0)
    values = generator.gamma(2.0, 30.0, (4, 480)) * (generator.random((4, 480)) > 0.1)
    values[1, 40:50] = np.nan
    month = np.arange(480) % 12
    wanted = StandardizedIndex.fit(values, month, "gamma").index(values, month)
    series, groups = torch.from_numpy(values), torch.arange(4)[:, None] * 12 + torch.from_numpy(month)
    metric = StandardizedGammaIndex(num_groups=48)
    for some in torch.arange(480).split(100):
        metric.update(series[:, some], groups[:, some])
    np.testing.assert_allclose(metric.index(series, groups), wanted, atol=1e-12)
    shape, scale, zeros = metric.compute().unbind(-1)
    assert (shape > 1).all()
    assert (scale > 0).all()
    assert 0.05 < float(zeros.mean()) < 0.15


def test_groups_with_few_values_have_no_index() -> None:
    metric = StandardizedGammaIndex(num_groups=2)
    values, groups = torch.rand(12) + 1, torch.tensor([0] * 11 + [1])
    metric.update(values, groups)
    assert metric.index(values, groups).isnan().tolist() == [False] * 11 + [True]


def test_where_all_is_zero_a_zero_is_usual() -> None:
    metric = StandardizedGammaIndex()
    metric.update(torch.zeros(20))
    assert metric.index(torch.tensor([0.0])).tolist() == [0.0]


def test_negative_values_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        StandardizedGammaIndex().update(torch.tensor([-1.0]))
