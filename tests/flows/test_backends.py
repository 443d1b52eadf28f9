"""The backend of a GPU, its graphs replaced by a stand-in: which rows go where."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

pytest.importorskip("nflows")

from lightning_itwin.flows import accelerate, backends
from lightning_itwin.flows.steps import run_step, run_step_by_rows
from tests import stand_in_graph
from tests.flows.roughened import small_flow


@pytest.mark.parametrize(("events", "samples"), [(1, 1000), (5, 150), (3, 64), (7, 700), (2, 1000)])
@pytest.mark.parametrize("step", [run_step, run_step_by_rows])
@pytest.mark.parametrize(
    "kind",
    [{}, {"context_features": None}, {"batch_norm": True, "activation": "elu", "tail_bound": 1.0}],
    ids=["plain", "without context", "as DINGO builds them"],
)
def test_events_go_through_graphs_together_and_come_out_alone(
    events: int, samples: int, step: Any, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "record", stand_in_graph.record)
    flow = small_flow(**kind).double()
    conditional = "context_features" not in kind
    plain = accelerate(flow, compile="no")
    graphs = accelerate(flow, compile="no", chunk_rows=400)
    forward, inverse, base = graphs._parts
    made = [backends.GraphBackend(part.direction, 400, step) for part in (forward, inverse)]
    graphs._parts = (*made, base)
    context = torch.randn(events, 6, dtype=torch.float64) if conditional else None
    rows = (events if conditional else 1) * samples
    for _ in range(2):  # new events in the graphs of the ones before
        noise = torch.randn(rows, 5, dtype=torch.float64)
        context = None if context is None else context.flip(0)
        wanted = plain.sample_and_log_prob(samples, context, noise=noise)
        found = graphs.sample_and_log_prob(samples, context, noise=noise)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
        theta = wanted[0].reshape(rows, 5)
        wide = None if context is None else context.repeat_interleave(samples, dim=0)
        torch.testing.assert_close(graphs.log_prob(theta, wide), plain.log_prob(theta, wide))


def test_few_rows_an_event_go_with_a_context_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "record", stand_in_graph.record)
    flow = small_flow().double()
    graphs = accelerate(copy.deepcopy(flow), compile="no")
    forward, inverse, base = graphs._parts
    graphs._parts = (backends.GraphBackend(forward.direction), backends.GraphBackend(inverse.direction), base)
    theta, context = torch.randn(40, 5).double(), torch.randn(40, 6).double()
    torch.testing.assert_close(
        graphs.log_prob(theta, context), accelerate(flow, compile="no").log_prob(theta, context)
    )
