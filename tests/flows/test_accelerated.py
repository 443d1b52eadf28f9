"""accelerate against nflows itself: the same numbers for the same noise, in each kind of flow it knows."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

pytest.importorskip("nflows")

from nflows import distributions, flows, transforms
from nflows.nn.nets import ResidualNet

from lightning_itwin.flows import accelerate
from tests.flows.roughened import roughened, small_flow

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "as DINGO builds them": {"batch_norm": True, "activation": "elu", "tail_bound": 1.0},
    "without context": {"context_features": None},
    "few bins": {"num_bins": 3, "activation": "tanh"},
    "two features": {"features": 2},
    "odd hidden size": {"hidden_features": 13, "activation": "leaky_relu"},
    "one block": {"num_blocks": 1, "activation": "silu"},
    "embedding": {"embedding_net": torch.nn.Sequential(torch.nn.Linear(9, 6), torch.nn.Dropout(0.5))},
    "dropout": {"dropout": 0.3},
    "unknown to native code": {"activation": "gelu"},
}
BACKENDS = ("no", "auto")


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    return KINDS[request.param]


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def contexts(flow: Any, kind: dict[str, Any], events: int, **like: Any) -> torch.Tensor | None:
    if kind.get("context_features", 6) is None:
        return None
    return torch.randn(events, 9 if "embedding_net" in kind else 6, **like)


def drawn(flow: Any, num_samples: int, context: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(11)
    with torch.no_grad():
        return flow.sample_and_log_prob(num_samples, context)


def repeated(context: torch.Tensor | None, count: int) -> torch.Tensor | None:
    return None if context is None else context.repeat_interleave(count, dim=0)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("num_samples", [1, 7, 100])
def test_equals_nflows_in_float64(kind: dict[str, Any], num_samples: int) -> None:
    flow = small_flow(**copy.deepcopy(kind)).double()
    fast = accelerate(flow, chunk_rows=48)
    context = contexts(flow, kind, 3)
    (samples, log_prob), (ours, our_log_prob) = (
        drawn(flow, num_samples, context),
        drawn(fast, num_samples, context),
    )
    assert ours.shape == samples.shape
    assert our_log_prob.shape == log_prob.shape
    assert torch.allclose(ours, samples, rtol=0, atol=1e-10)
    assert torch.allclose(our_log_prob, log_prob, rtol=0, atol=1e-10)
    rows, context_rows = samples.reshape(-1, samples.shape[-1]), repeated(context, num_samples)
    rows = rows * 3  # out into the tails
    with torch.no_grad():
        assert torch.allclose(
            fast.log_prob(rows, context_rows), flow.log_prob(rows, context_rows), rtol=1e-12, atol=1e-10
        )


@pytest.mark.parametrize("compile", BACKENDS)
@pytest.mark.parametrize(("events", "num_samples"), [(600, 5), (3, 1000)])
def test_float32_is_as_near_to_the_truth_as_nflows(
    kind: dict[str, Any], events: int, num_samples: int, compile: str
) -> None:
    flow = small_flow(**copy.deepcopy(kind))
    context = contexts(flow, kind, events)
    if context is None:
        num_samples *= events  # a quantile of a handful of rows is luck
    samples, log_prob = drawn(flow, num_samples, context)
    ours, our_log_prob = drawn(accelerate(flow, compile=compile), num_samples, context)
    torch.manual_seed(11)
    noise = torch.randn(samples.shape)
    exact = accelerate(copy.deepcopy(flow).double(), compile="no")  # equal to nflows, see above
    wide = None if context is None else context.double()
    truth, true_log_prob = exact.sample_and_log_prob(num_samples, wide, noise=noise.double())
    for of_nflows, of_ours, true in ((samples, ours, truth), (log_prob, our_log_prob, true_log_prob)):
        # the largest error is one ill-conditioned sample's luck; quantiles are not
        for quantile in (0.5, 0.99, 0.999):
            error, allowed = (
                (each.flatten()[:10_000] - true.flatten()[:10_000]).abs().quantile(quantile)
                for each in (of_ours.double(), of_nflows.double())
            )
            assert error <= 2.5 * allowed + 1e-9, quantile


@pytest.mark.parametrize("compile", BACKENDS)
def test_at_the_bounds_and_in_the_tails(compile: str) -> None:
    flow = small_flow(num_flow_steps=1, tail_bound=2.0)
    for layer in flow._transform._transforms:  # the coupling layer alone, between identities
        if isinstance(layer, transforms.LULinear):
            for parameter in (layer.bias, layer.lower_entries, layer.upper_entries):
                torch.nn.init.zeros_(parameter)
            torch.nn.init.constant_(layer.unconstrained_upper_diag, 0.5409)
            layer.eps = 1 - float(torch.nn.functional.softplus(torch.tensor(0.5409)))
    edge = torch.tensor([2.0, -2.0, 2.0 + 1e-6, -2.0 - 1e-6, 50.0, -1e6])
    rows = edge[:, None].repeat(1, 5)
    context = torch.randn(1, 6).expand(len(rows), -1)
    with torch.no_grad():
        fast, slow = accelerate(flow, compile=compile), flow
        # rows of one event, often enough to go through the code for events
        many, many_context = rows.repeat(8, 1), context.repeat(8, 1)
        assert torch.allclose(fast.log_prob(many, many_context), slow.log_prob(many, many_context), rtol=1e-5)


def test_bfloat16_has_its_own_exact_density() -> None:
    flow = small_flow(hidden_features=64)
    fast = accelerate(flow, dtype="bfloat16")
    context = torch.randn(1, 6)
    samples, log_prob = fast.sample_and_log_prob(4000, context)
    again = fast.log_prob(samples[0], context.expand(4000, -1))
    # a product that rounds to the other side now and then moves a density by what bfloat16 resolves
    assert (again - log_prob[0]).abs().median() < 1e-4
    assert (again - log_prob[0]).abs().mean() < 5e-3
    with torch.no_grad():
        assert (flow.log_prob(samples[0], context.expand(4000, -1)) - log_prob[0]).abs().mean() < 0.1


def test_an_event_alone_is_the_event_among_others() -> None:
    flow = small_flow()
    fast = accelerate(flow)
    context, noise = torch.randn(3, 6), torch.randn(3, 200, 5)
    together = fast.sample(200, context, noise=noise)
    for event in range(3):
        alone = fast.sample(200, context[event : event + 1], noise=noise[event : event + 1])
        assert torch.equal(alone[0], together[event])


@pytest.mark.parametrize("num_samples", [3, 64])
@pytest.mark.parametrize("compile", BACKENDS)
def test_a_broken_context_touches_its_own_event_alone(num_samples: int, compile: str) -> None:
    fast = accelerate(small_flow(), compile=compile)
    context, noise = torch.randn(4, 6), torch.randn(4, num_samples, 5)
    good, good_log_prob = fast.sample_and_log_prob(num_samples, context, noise=noise)
    context[2, 1] = torch.nan
    samples, log_prob = fast.sample_and_log_prob(num_samples, context, noise=noise)
    others = [0, 1, 3]
    assert torch.equal(samples[others], good[others])
    assert torch.equal(log_prob[others], good_log_prob[others])
    assert samples[2].isnan().all()
    assert log_prob[2].isnan().all()
    densities = fast.log_prob(good.reshape(-1, 5), context.repeat_interleave(num_samples, dim=0))
    assert densities.view(4, -1)[2].isnan().all()
    assert densities.view(4, -1)[others].isfinite().all()


def test_samples_at_a_time_stay_with_their_event() -> None:
    """nflows' own batch_size returns (6, 50, F) here, events and samples mixed."""
    flow = small_flow()
    context = torch.randn(3, 6)
    assert flow.sample(100, context, batch_size=50).shape == (6, 50, 5)
    assert accelerate(flow).sample(100, context, batch_size=40).shape == (3, 100, 5)
    with pytest.warns(UserWarning, match="Sigmoid"):
        through_nflows = accelerate(unknown_flow())
    assert through_nflows.sample(10, context, batch_size=4).shape == (3, 10, 5)
    context[1] = torch.nan
    samples = through_nflows.sample(10, context)
    assert samples[1].isnan().all()
    assert samples[[0, 2]].isfinite().all()


def unknown_flow() -> Any:
    coupling = transforms.PiecewiseRationalQuadraticCouplingTransform(
        mask=[1, -1, 1, -1, 1],
        transform_net_create_fn=lambda i, o: ResidualNet(i, o, hidden_features=8, context_features=6),
        tails=None,
    )
    inside, outside = transforms.Sigmoid(), transforms.InverseTransform(transforms.Sigmoid())
    return flows.Flow(
        transforms.CompositeTransform([inside, coupling, outside]), distributions.StandardNormal([5])
    ).eval()


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (
            lambda: transforms.MaskedAffineAutoregressiveTransform(5, 8, context_features=6),
            "MaskedAffineAuto",
        ),
        (lambda: transforms.SVDLinear(5, num_householder=2), "SVDLinear"),
        (lambda: transforms.Sigmoid(), "Sigmoid"),
    ],
    ids=["autoregressive", "SVD", "sigmoid"],
)
def test_falls_back_with_one_word_for_a_transform_that_it_does_not_know(part: Any, named: str) -> None:
    flow = small_flow()
    flow._transform._transforms.insert(0, part().eval())
    with pytest.warns(UserWarning, match=named) as warned:
        fast = accelerate(flow)
    assert sum(named in str(each.message) for each in warned) == 1
    with torch.no_grad():
        rows, context = torch.rand(4, 5), torch.randn(4, 6)
        assert torch.equal(fast.log_prob(rows, context), flow.log_prob(rows, context))
        with pytest.raises(ValueError, match="nflows takes no noise"):
            fast.sample(2, context, noise=torch.randn(8, 5))


def test_a_batch_norm_in_training_mode_runs_through_nflows_until_it_is_not() -> None:
    flow = small_flow(batch_norm=True).train()
    with pytest.warns(UserWarning, match="BatchNorm1d in training mode"):
        fast = accelerate(flow)
    flow.eval()
    rows, context = torch.randn(4, 5), torch.randn(4, 6)
    with torch.no_grad():
        assert torch.allclose(fast.log_prob(rows, context), flow.log_prob(rows, context), atol=1e-4)
    assert fast.fallback_reason is None


def test_another_base_is_named() -> None:
    flow = flows.Flow(small_flow()._transform, distributions.DiagonalNormal([5]))
    with pytest.warns(UserWarning, match="DiagonalNormal"):
        accelerate(flow.eval())


@pytest.mark.usefixtures("double")
def test_other_linear_layers_and_a_conditional_base() -> None:
    torch.manual_seed(0)
    inner = small_flow()._transform
    flow = flows.Flow(
        transforms.CompositeTransform(
            [
                transforms.ReversePermutation(5),
                transforms.PointwiseAffineTransform(shift=0.3, scale=torch.tensor([1.0, 2.0, 0.5, 1.5, 3.0])),
                transforms.InverseTransform(transforms.LULinear(5, identity_init=False)),
                inner,
                transforms.BatchNorm(5),
                transforms.LULinear(5, using_cache=True, identity_init=False),
            ]
        ),
        distributions.ConditionalDiagonalNormal([5], context_encoder=torch.nn.Linear(6, 10)),
    )
    flow = roughened(flow).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fast = accelerate(flow)
    context = torch.randn(3, 6)
    for num_samples in (4, 50):
        (samples, log_prob), (ours, ours_log_prob) = (
            drawn(flow, num_samples, context),
            drawn(fast, num_samples, context),
        )
        assert torch.allclose(ours, samples, rtol=1e-10, atol=1e-10)
        assert torch.allclose(ours_log_prob, log_prob, rtol=0, atol=1e-9)
        rows, repeats = samples.reshape(-1, 5), repeated(context, num_samples)
        with torch.no_grad():
            wanted = flow.log_prob(rows, repeats)
        rounding = (wanted - log_prob.flatten()).abs().max()  # nflows' own, there and back: 1e-8
        assert (fast.log_prob(rows, repeats) - wanted).abs().max() <= 20 * rounding


def test_training_on_cannot_leave_stale_weights() -> None:
    flow = small_flow()
    fast = accelerate(flow, compile="no")
    context, rows = torch.randn(40, 6), torch.randn(40, 5)
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.05)
    before = fast.log_prob(rows, context)
    flow.log_prob(rows, context).mean().neg().backward()
    optimizer.step()
    after = fast.log_prob(rows, context)
    assert not torch.allclose(before, after)
    with torch.no_grad():
        assert torch.allclose(after, flow.log_prob(rows, context), atol=1e-4)
    flow.load_state_dict(small_flow(num_bins=8).state_dict())
    assert torch.allclose(fast.log_prob(rows, context), before, atol=1e-4)
    flow._transform._transforms[1].bias.data += 1.0  # invisible
    fast.refresh()
    with torch.no_grad():
        assert torch.allclose(fast.log_prob(rows, context), flow.log_prob(rows, context), atol=1e-4)


def test_a_copy_of_nflows_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = small_flow()
    with torch.no_grad():
        rows, context = torch.randn(4, 5), torch.randn(4, 6)
        wanted = flow.log_prob(rows, context)
        for part in [*flow.modules()]:
            kind = type(part)
            if kind.__module__.startswith("nflows."):
                monkeypatch.setattr(kind, "__module__", "glasflow." + kind.__module__)
        fast = accelerate(flow, compile="no")
        assert fast.fallback_reason is None
        assert torch.allclose(fast.log_prob(rows, context), wanted, atol=1e-4)


def test_a_copy_has_the_weights_of_its_own_flow() -> None:
    fast = accelerate(small_flow())
    twin = copy.deepcopy(fast)
    torch.nn.init.zeros_(twin.flow._transform._transforms[1].bias)
    context, noise = torch.randn(2, 6), torch.randn(2, 50, 5)
    changed = twin.sample(50, context, noise=noise)
    assert not torch.equal(fast.sample(50, context, noise=noise), changed)
    assert torch.equal(accelerate(twin.flow).sample(50, context, noise=noise), changed)


def test_autocast_and_gradients_stay_out() -> None:
    flow = small_flow()
    fast = accelerate(flow, compile="no")
    rows, context = torch.randn(4, 5, requires_grad=True), torch.randn(4, 6)
    plain = fast.log_prob(rows, context)
    assert not plain.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast.log_prob(rows, context), plain)


def test_threads_give_the_same_samples() -> None:
    fast = accelerate(small_flow())
    context, noise = torch.randn(1, 6), torch.randn(1, 1100, 5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = fast.sample(1100, context, noise=noise)
        torch.set_num_threads(3)
        assert torch.equal(fast.sample(1100, context, noise=noise), one)
    finally:
        torch.set_num_threads(threads)


def test_a_generator_or_noise_stands_for_the_default_generator() -> None:
    fast = accelerate(small_flow(), compile="no")
    context = torch.randn(2, 6)
    draws = [fast.sample(50, context, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    noise = torch.randn(100, 5, generator=torch.Generator().manual_seed(5))
    kept = noise.clone()
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(fast.sample(50, context, noise=noise), draws[0])
    assert torch.equal(noise, kept)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda fast: fast.sample(0), TypeError, "positive integer, not 0"),
        (lambda fast: fast.sample(True), TypeError, "positive integer"),
        (lambda fast: fast.sample(4, torch.zeros(2, 6), noise=torch.zeros(4, 5)), ValueError, "8 rows of 5"),
        (
            lambda fast: fast.log_prob(torch.zeros(3, 5), torch.zeros(2, 6)),
            ValueError,
            "2 contexts for 3 rows",
        ),
        (
            lambda fast: fast.log_prob(torch.zeros(3, 4), torch.zeros(3, 6)),
            ValueError,
            r"\(N, 5\), not \(3, 4\)",
        ),
        (lambda fast: accelerate(fast.flow, dtype="float16"), ValueError, "not 'float16'"),
        (lambda fast: accelerate(fast.flow, compile="cython"), ValueError, "not 'cython'"),
        (lambda fast: accelerate(fast.flow, chunk_rows=0), ValueError, "at least 1, not 0"),
    ],
)
def test_says_what_is_wrong(call: Any, error: type[Exception], message: str) -> None:
    fast = accelerate(small_flow(), compile="no")
    with pytest.raises(error, match=message):
        call(fast)


def test_no_rows_no_densities() -> None:
    assert accelerate(small_flow(), compile="no").log_prob(torch.zeros(0, 5), torch.zeros(0, 6)).shape == (0,)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cuda_graph_gives_what_torch_gives(dtype: str) -> None:
    flow = small_flow().cuda()
    context, noise = torch.randn(3, 6).cuda(), torch.randn(3, 1000, 5).cuda()
    graph = accelerate(flow, dtype=dtype, chunk_rows=256)
    plain = accelerate(flow, dtype=dtype, compile="no")
    limit = 1e-4 if dtype == "float32" else 0.3
    for _ in range(2):
        samples, log_prob = graph.sample_and_log_prob(1000, context, noise=noise)
        wanted, wanted_log_prob = plain.sample_and_log_prob(1000, context, noise=noise)
        assert (samples - wanted).abs().max() < limit
        assert (log_prob - wanted_log_prob).abs().mean() < limit
