"""One process of a Horovod world of 2 that tries the reducer; rank 0 writes what failed as JSON."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import horovod.torch as hvd
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from lightning_itwin.strategies.horovod_reducer import HorovodReducer, broadcast_module


def reducer_of(**parameters: nn.Parameter) -> HorovodReducer:
    return HorovodReducer(hvd, parameters.items())


def mine(tensor) -> torch.Tensor:
    """Rank 0 has one of it, rank 1 three: the average is two."""
    return tensor * (1 + 2 * hvd.rank())


def averages() -> None:
    w = nn.Parameter(torch.ones(3))
    reducer = reducer_of(w=w)
    with reducer.backward_pass():
        (w * mine(torch.tensor([1.0, 2.0, 3.0]))).sum().backward()
    assert_close(w.grad, torch.tensor([2.0, 4.0, 6.0]))


def averages_every_type_and_layout() -> None:
    parameters = {
        "bfloat16": nn.Parameter(torch.ones(4, dtype=torch.bfloat16)),
        "float16": nn.Parameter(torch.ones(4, dtype=torch.float16)),
        "float64": nn.Parameter(torch.ones(4, dtype=torch.float64)),
        "complex64": nn.Parameter(torch.ones(4, dtype=torch.complex64)),
        "nothing": nn.Parameter(torch.ones(0, 3)),
        "scalar": nn.Parameter(torch.tensor(1.0)),
        "channels_last": nn.Parameter(torch.ones(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)),
    }
    reducer = reducer_of(**parameters)
    with reducer.backward_pass():
        sum((p * mine(torch.ones(()))).abs().float().sum() for p in parameters.values()).backward()
    for name, parameter in parameters.items():
        assert_close(parameter.grad, torch.full_like(parameter, 2), msg=name)
    assert not parameters["channels_last"].grad.is_contiguous()


def averages_sparse_gradients() -> None:
    table, rare = (nn.Embedding(4, 2, sparse=True) for _ in range(2))
    reducer = reducer_of(table=table.weight, rare=rare.weight)
    with reducer.backward_pass():
        loss = table(torch.tensor([0, hvd.rank()])).sum()
        if hvd.rank() == 1:
            loss = loss + rare(torch.tensor([3])).sum()
        loss.backward()
    assert table.weight.grad.is_sparse
    assert rare.weight.grad.is_sparse
    assert_close(table.weight.grad.to_dense()[:, 0], torch.tensor([1.5, 0.5, 0.0, 0.0]))
    assert_close(rare.weight.grad.to_dense()[:, 0], torch.tensor([0.0, 0.0, 0.0, 0.5]))


def what_no_rank_reaches_keeps_no_gradient() -> None:
    used, here, nowhere = (nn.Parameter(torch.ones(2)) for _ in range(3))
    reducer = reducer_of(used=used, here=here, nowhere=nowhere)
    for _ in range(2):
        with reducer.backward_pass():
            (used.sum() + (here.sum() if hvd.rank() == 0 else 0)).backward()
    assert_close(used.grad, torch.full((2,), 2.0))
    assert_close(here.grad, torch.full((2,), 1.0))
    assert nowhere.grad is None


def a_rank_that_reaches_nothing_takes_part() -> None:
    w = nn.Parameter(torch.ones(2))
    other = torch.ones(2, requires_grad=True)
    reducer = reducer_of(w=w)
    with reducer.backward_pass():
        (w if hvd.rank() == 0 else other).sum().backward()
    assert_close(w.grad, torch.full((2,), 0.5))


def accumulates_without_communication() -> None:
    w, once = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    reducer = reducer_of(w=w, once=once)
    with reducer.accumulation(), reducer.backward_pass():
        (w * mine(torch.ones(2)) + once * mine(torch.ones(2))).sum().backward()
    assert_close(w.grad, mine(torch.ones(2)))
    with reducer.backward_pass():
        (w * mine(torch.ones(2))).sum().backward()
    assert_close(w.grad, torch.full((2,), 4.0))
    assert_close(once.grad, torch.full((2,), 2.0))


def averages_the_sum_of_two_backwards() -> None:
    w = nn.Parameter(torch.zeros(2))
    reducer = reducer_of(w=w)
    for _ in range(2):
        with reducer.backward_pass():
            (w * mine(torch.ones(2))).sum().backward()
    assert_close(w.grad, torch.full((2,), 4.0))


def sees_backward_that_nobody_announced() -> None:
    w, frozen = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2), requires_grad=False)
    reducer = reducer_of(w=w, frozen=frozen)
    (w * mine(torch.ones(2))).sum().backward()
    assert_close(w.grad, torch.full((2,), 2.0))
    frozen.requires_grad_(True)
    with reducer.backward_pass():
        (frozen * mine(torch.ones(2))).sum().backward(create_graph=True)
    assert_close(frozen.grad, torch.full((2,), 2.0))
    reducer.detach()
    frozen.grad = None
    (frozen * mine(torch.ones(2))).sum().backward()
    assert_close(frozen.grad, mine(torch.ones(2)))


def checkpointed_activations() -> None:
    w, v = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    reducer = reducer_of(w=w, v=v)
    x = torch.ones(2, requires_grad=True)
    for reentrant in (True, False):
        w.grad = v.grad = None
        with reducer.backward_pass():
            y = checkpoint(lambda x: w * mine(x), x, use_reentrant=reentrant)
            (checkpoint(lambda y: v * y, y, use_reentrant=reentrant)).sum().backward()
        assert_close(w.grad, torch.full((2,), 2.0))
        assert_close(v.grad, torch.full((2,), 2.0))


def says_when_backward_reaches_a_parameter_twice() -> None:
    w = nn.Parameter(torch.ones(2))
    reducer = reducer_of(w=w)
    x = torch.ones(2, requires_grad=True)
    message = ""
    try:
        with reducer.backward_pass():
            (checkpoint(lambda x: w * x, x, use_reentrant=True) * w).sum().backward()
    except RuntimeError as error:
        message = str(error)
    assert "use_reentrant=False" in message, message
    reducer.synchronize()


def broadcasts_every_type() -> None:
    torch.manual_seed(hvd.rank())
    module = nn.Module()
    module.weight = nn.Parameter(torch.randn(3, dtype=torch.bfloat16))
    module.complex = nn.Parameter(torch.randn(3, dtype=torch.complex64))
    module.image = nn.Parameter(torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    module.register_buffer("count", torch.tensor(hvd.rank() + 5))
    module.register_buffer("flag", torch.tensor([hvd.rank() == 0, True]))
    module.register_buffer("nothing", torch.zeros(0, 2))
    broadcast_module(hvd, module)
    torch.manual_seed(0)
    assert_close(module.weight, torch.randn(3, dtype=torch.bfloat16), rtol=0, atol=0, check_stride=False)
    assert_close(module.complex.detach(), torch.randn(3, dtype=torch.complex64), rtol=0, atol=0)
    assert_close(module.image.detach(), torch.randn(2, 3, 4, 4), rtol=0, atol=0)
    assert module.count == 5
    assert module.flag.tolist() == [True, True]


def refuses_a_module_without_shape() -> None:
    try:
        broadcast_module(hvd, nn.LazyLinear(3))
    except ValueError as error:
        assert "has no shape yet" in str(error)  # noqa: PT017
    else:
        raise AssertionError("no error")


CASES = [
    averages,
    averages_every_type_and_layout,
    averages_sparse_gradients,
    what_no_rank_reaches_keeps_no_gradient,
    a_rank_that_reaches_nothing_takes_part,
    accumulates_without_communication,
    averages_the_sum_of_two_backwards,
    sees_backward_that_nobody_announced,
    checkpointed_activations,
    says_when_backward_reaches_a_parameter_twice,
    broadcasts_every_type,
    refuses_a_module_without_shape,
]


def main() -> None:
    hvd.init()
    results = {}
    for case in CASES:
        try:
            case()
            results[case.__name__] = ""
        except Exception:  # noqa: BLE001 - told by the test, in both processes
            results[case.__name__] = traceback.format_exc()
        results[case.__name__] = "".join(hvd.allgather_object(results[case.__name__]))
    if hvd.rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
