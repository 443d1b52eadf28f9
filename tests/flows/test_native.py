"""Where native code cannot be built, torch does the work, with a word."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch

pytest.importorskip("nflows")

from lightning_itwin.flows import accelerate
from lightning_itwin.flows.native import NativeBuildError, build
from lightning_itwin.flows.native import direction as native_direction
from tests.flows.roughened import small_flow


@pytest.fixture
def unbuilt() -> Iterator[None]:
    build.library.cache_clear()
    yield
    build.library.cache_clear()


@pytest.mark.usefixtures("unbuilt")
@pytest.mark.parametrize(
    ("compiler", "message"), [("/no/such/compiler", "does not run"), (sys.executable, "refuses")]
)
def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, compiler: str, message: str) -> None:
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(NativeBuildError, match=message):
        build.library()
    with pytest.warns(UserWarning, match=message):
        fast = accelerate(small_flow())
    assert fast.sample(40, torch.randn(2, 6)).shape == (2, 40, 5)


@pytest.mark.usefixtures("unbuilt")
def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.warns(UserWarning, match="there is no g"):
        accelerate(small_flow())


def test_native_is_refused_for_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="relu, elu"):
        accelerate(small_flow(activation="gelu"), compile="native")


@pytest.mark.parametrize("fold_cost", [0.0, 1e9])
@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("kind", [{}, {"batch_norm": True, "activation": "elu"}, {"context_features": None}])
def test_folding_and_blocking_change_no_number(
    monkeypatch: pytest.MonkeyPatch, kind: dict, together: int, fold_cost: float
) -> None:
    """A hidden layer wider than the spline's parameters, so that folding the last block can pay."""
    monkeypatch.setattr(native_direction, "_FOLD_COST", fold_cost)
    monkeypatch.setattr(native_direction, "_TOGETHER", ((0, together),))
    flow = small_flow(**({"hidden_features": 96, "num_bins": 4} | kind))
    context = None if "context_features" in kind else torch.randn(2, 6)
    noise = torch.randn(1 if context is None else 2, 700, 5)
    samples, log_prob = accelerate(flow).sample_and_log_prob(700, context, noise=noise)
    wanted, wanted_log_prob = accelerate(flow, compile="no").sample_and_log_prob(700, context, noise=noise)
    assert (samples - wanted).abs().max() < 2e-4
    assert (log_prob - wanted_log_prob).abs().median() < 1e-5


def test_the_inductor_backend_gives_the_same() -> None:
    flow = small_flow(num_flow_steps=2)
    context, noise = torch.randn(1, 6), torch.randn(1, 70, 5)
    fast = accelerate(flow, compile="inductor", chunk_rows=32)
    samples = fast.sample(70, context, noise=noise)
    assert (samples - accelerate(flow, compile="no").sample(70, context, noise=noise)).abs().max() < 1e-4
