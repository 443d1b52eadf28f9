"""neural_spline_flow: nflows' own modules, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("nflows")

from nflows.flows.base import Flow

from lightning_itwin.flows import neural_spline_flow


def test_is_the_flow_that_nflows_knows() -> None:
    flow = neural_spline_flow(14, 64, hidden_features=128, num_blocks=2, num_flow_steps=8)
    assert type(flow) is Flow
    assert all(type(part).__module__.startswith(("nflows.", "torch.")) for part in flow.modules())
    assert sum(parameter.numel() for parameter in flow.parameters()) == 903_274
    twin = neural_spline_flow(14, 64, hidden_features=128, num_blocks=2, num_flow_steps=8)
    twin.load_state_dict(flow.state_dict())
    inputs, context = torch.randn(3, 14), torch.randn(3, 64)
    assert torch.equal(flow.log_prob(inputs, context), twin.log_prob(inputs, context))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"features": 1}, "at least 2 features, not 1"),
        ({"hidden_features": 0}, "must be at least 1"),
        ({"num_flow_steps": 0}, "must be at least 1"),
        ({"num_bins": 1}, "num_bins must be at least 2"),
        ({"tail_bound": 0.0}, "tail_bound above 0"),
        ({"activation": "softmax"}, "not 'softmax'"),
        ({"dropout": 1.0}, r"in \[0, 1\)"),
    ],
)
def test_says_what_is_wrong(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        neural_spline_flow(**({"features": 3, "context_features": 2} | wrong))
