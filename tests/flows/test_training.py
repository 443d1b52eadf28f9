"""fast_training against nflows: the same densities and gradients, through the same parameters."""

from __future__ import annotations

import copy
import statistics
from typing import Any

import pytest
import torch

pytest.importorskip("nflows")

from nflows import transforms

from lightning_itwin.flows import fast_training, linear_layers, training_networks, training_step
from tests import stand_in_graph
from tests.flows.roughened import small_flow

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "as DINGO builds them": {"batch_norm": True, "activation": "elu", "tail_bound": 1.0},
    "without context": {"context_features": None},
    "few bins": {"num_bins": 3, "activation": "gelu", "num_blocks": 1},
    "embedding": {},  # a network of its own before the context
}
BATCHES = 9  # in float32 a single row near the edge of a bin decides what a gradient is off by


def flow_of(kind: str) -> Any:
    torch.manual_seed(3)
    own = {"embedding_net": torch.nn.Linear(9, 6)} if kind == "embedding" else {}
    return small_flow(**KINDS[kind], **own)


def batch_of(kind: str, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor | None]:
    inputs = 2 * torch.randn(150, 5, dtype=dtype)
    context = torch.randn(150, 9 if kind == "embedding" else 6, dtype=dtype)
    return inputs, None if kind == "without context" else context


def stepped(
    flow: Any, log_prob: Any, inputs: torch.Tensor, context: torch.Tensor | None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    flow.zero_grad()
    found = log_prob(inputs, context)
    found.mean().neg().backward()
    return found.detach(), [parameter.grad.clone() for parameter in flow.parameters()]


def distance(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """Give the relative distance of two gradients of all parameters together."""
    one, other = (torch.cat([part.double().flatten() for part in parts]) for parts in (some, others))
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_nflows(kind: str, dtype: torch.dtype, training: bool) -> None:
    flow = flow_of(kind).to(dtype).train(training)
    exact = copy.deepcopy(flow).double()
    fast = fast_training(flow)
    off, of_nflows = [], []
    for _ in range(1 if dtype == torch.float64 else BATCHES):
        inputs, context = batch_of(kind, dtype)
        wide = None if context is None else context.double()
        truth, true_gradients = stepped(exact, exact.log_prob, inputs.double(), wide)
        for log_prob, errors in ((fast.log_prob, off), (flow.log_prob, of_nflows)):
            found, gradients = stepped(flow, log_prob, inputs, context)
            errors.append((float((found - truth).abs().max()), distance(gradients, true_gradients)))
    densities, gradients = (statistics.median(errors) for errors in zip(*off))
    if dtype == torch.float64:
        assert densities < 1e-10
        assert gradients < 1e-10
    else:  # no further from the truth than nflows itself in float32, or 1e-5
        stock_densities, stock_gradients = (statistics.median(errors) for errors in zip(*of_nflows))
        assert densities <= 2.5 * stock_densities + 1e-5
        assert gradients <= max(1e-5, 1.5 * stock_gradients)


def test_an_optimizer_goes_the_same_way() -> None:
    start = small_flow(dropout=0.0)
    inputs, context = torch.randn(64, 5), torch.randn(64, 6)
    curves = []
    for fast in (False, True):
        flow = copy.deepcopy(start).train()
        log_prob = fast_training(flow).log_prob if fast else flow.log_prob
        optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = -log_prob(inputs, context).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(torch.tensor(losses))
    assert curves[1][-1] < curves[1][0] - 1
    assert torch.allclose(curves[0], curves[1], rtol=1e-4)


def test_batch_statistics_go_into_the_flow() -> None:
    flow = small_flow(batch_norm=True).train()
    other = copy.deepcopy(flow)
    inputs, context = torch.randn(64, 5), torch.randn(64, 6)
    fast_training(flow).log_prob(inputs, context)
    other.log_prob(inputs, context)
    for (name, buffer), twin in zip(flow.named_buffers(), other.buffers()):
        assert torch.allclose(buffer.float(), twin.float(), atol=1e-5), name


def test_says_what_trains_through_nflows() -> None:
    flow = small_flow()
    flow._transform._transforms.insert(0, transforms.PointwiseAffineTransform(shift=1.0, scale=2.0))
    flow._transform._transforms.insert(3, transforms.PointwiseAffineTransform(shift=1.0, scale=2.0))
    with pytest.warns(UserWarning, match="PointwiseAffineTransform where permutations"):
        fast = fast_training(flow)
    inputs, context = torch.randn(4, 5), torch.randn(4, 6)
    assert torch.equal(fast.log_prob(inputs, context), flow.log_prob(inputs, context))


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_itwin.flows import native

    def none() -> None:
        raise native.NativeBuildError("there is no g++")

    monkeypatch.setattr(native, "library", none)
    flow = small_flow()
    inputs, context = torch.randn(40, 5), torch.randn(40, 6)
    with pytest.warns(UserWarning, match="torch alone, since there is no g"):
        found = fast_training(flow).log_prob(inputs, context)
    assert torch.allclose(found, flow.log_prob(inputs, context), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("plain", torch.float32), *((kind, torch.float64) for kind in KINDS)]
)
def test_as_on_a_gpu_gradients_are_those_of_nflows(
    kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = flow_of(kind).to(dtype).train()
    fast = fast_training(flow)
    close, go = (
        torch.compile(function, backend="aot_eager", fullgraph=True)  # what inductor is given
        for function in (training_networks.close_block, training_step.advance)
    )
    ways = (linear_layers.DeferredLinear, close, go, training_step.torch_spline)
    monkeypatch.setattr(fast, "_ways", lambda inputs: ways)
    for _ in range(2):
        inputs, context = batch_of(kind, dtype)
        wanted, gradients = stepped(flow, flow.log_prob, inputs, context)
        found, fused = stepped(flow, fast.log_prob, inputs, context)
        exactly = dtype == torch.float64
        assert torch.allclose(found, wanted, atol=1e-10 if exactly else 1e-3)
        assert distance(fused, gradients) < (1e-10 if exactly else 1e-3)


@pytest.mark.parametrize("kind", ["plain", "without context", "few bins"])
def test_recorded_steps_give_the_gradients_of_nflows_step_after_step(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_training.record", stand_in_graph.record)
    flow = flow_of(kind).double().train()
    fast = fast_training(flow)
    ways = (linear_layers.DeferredLinear, training_networks.close_block, training_step.advance)
    monkeypatch.setattr(fast, "_ways", lambda inputs: (*ways, training_step.torch_spline))
    optimizer = torch.optim.SGD(flow.parameters(), lr=1e-3)
    for step in range(4):
        inputs, context = batch_of(kind, torch.float64)
        wanted, gradients = stepped(flow, flow.log_prob, inputs, context)
        found, recorded = stepped(flow, fast._recorded, inputs, context)
        assert (found - wanted).abs().max() < 1e-10, step
        assert distance(recorded, gradients) < 1e-10, step
        optimizer.step()
    assert fast._recorded._recorded is not None


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["plain", "without context", "embedding", "few bins"])
def test_graphs_of_a_gpu_give_the_gradients_of_nflows_step_after_step(kind: str) -> None:
    flow = flow_of(kind).cuda().train()
    fast = fast_training(flow)
    optimizer = torch.optim.SGD(flow.parameters(), lr=1e-3)
    for step in range(6):
        inputs, context = (None if one is None else one.cuda() for one in batch_of(kind))
        context = None if context is None else context.requires_grad_()
        exact = copy.deepcopy(flow).double()
        truth, true_gradients = stepped(
            exact, exact.log_prob, inputs.double(), None if context is None else context.detach().double()
        )
        found, gradients = stepped(flow, fast.log_prob, inputs, context)
        assert (found - truth).abs().max() < 1e-3, step
        assert distance(gradients, true_gradients) < 2e-3, step  # without a context: ill-conditioned
        if context is not None:
            exact_context = context.detach().double().requires_grad_()
            (slopes,) = torch.autograd.grad(
                exact.log_prob(inputs.double(), exact_context).mean().neg(), exact_context
            )
            assert distance([context.grad], [slopes]) < 1e-4, step
        optimizer.step()
    assert (fast._recorded._recorded is None) == (kind == "embedding")


@pytest.mark.gpu
def test_two_forward_passes_before_a_backward_pass_do_not_disturb_each_other() -> None:
    flow = small_flow().cuda().train()
    fast = fast_training(flow)
    batches = [(torch.randn(64, 5, device="cuda"), torch.randn(64, 6, device="cuda")) for _ in range(3)]
    for _ in range(3):
        stepped(flow, fast.log_prob, *batches[0])
    wanted = stepped(flow, lambda *_: sum(flow.log_prob(*batch) for batch in batches), *batches[0])
    found = stepped(flow, lambda *_: sum(fast.log_prob(*batch) for batch in batches), *batches[0])
    assert distance(found[1], wanted[1]) < 1e-4
    assert (
        distance(stepped(flow, fast.log_prob, *batches[1])[1], stepped(flow, flow.log_prob, *batches[1])[1])
        < 1e-4
    )


@pytest.mark.gpu
def test_a_second_backward_pass_over_a_graph_that_went_on_is_refused() -> None:
    flow = small_flow().cuda().train()
    fast = fast_training(flow)
    inputs, context = torch.randn(64, 5, device="cuda"), torch.randn(64, 6, device="cuda")
    for _ in range(3):
        stepped(flow, fast.log_prob, inputs, context)
    first = fast.log_prob(inputs, context).mean()
    first.backward(retain_graph=True)
    fast.log_prob(inputs, context)
    with pytest.raises(RuntimeError, match="call backward once"):
        first.backward()


def test_compile_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="'auto' or 'no', not 'yes'"):
        fast_training(small_flow(), compile="yes")
