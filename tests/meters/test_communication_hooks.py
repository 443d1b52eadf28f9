from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lightning_itwin.meters.communication_calls import CommunicationCalls
from lightning_itwin.meters.communication_hooks import CommunicationHooks
from tests.meters.made_up_clock import Clock, seconds

_NS = 10**9


@pytest.fixture(autouse=True)
def _ddp_is_put_back() -> Iterator[None]:
    before = vars(nn.parallel.DistributedDataParallel)["register_comm_hook"]
    yield
    assert vars(nn.parallel.DistributedDataParallel)["register_comm_hook"] is before


@pytest.fixture
def ddp(group: None) -> Iterator[tuple[Callable[[Any], nn.Module], CommunicationCalls]]:
    calls = CommunicationCalls()
    hooks = CommunicationHooks(calls)
    hooks.install()
    hooks.install()

    def wrap(hook: Any) -> nn.Module:
        module = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
        module.register_comm_hook(None, hook)
        return module

    yield wrap, calls
    hooks.remove()
    hooks.remove()


def backward(module: nn.Module) -> None:
    module(torch.ones(1, 2)).sum().backward()


def test_a_hook_that_sleeps_and_its_future(clock: Clock, ddp: Any) -> None:
    wrap, calls = ddp

    def hook(state, bucket):
        clock.sleep(4)
        return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda f: f.value()[0])

    module = wrap(hook)
    calls.start()
    backward(module)
    told = calls.stop()
    assert [0.0, 4.0] in seconds(told.blocking)
    assert seconds(told.flights) == [[0.0, 4.0]]


def test_a_future_that_is_done_late_flies_until_then(ddp: Any) -> None:
    wrap, calls = ddp
    late_s = 0.05

    def hook(state, bucket):
        future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        threading.Timer(late_s, lambda: future.set_result(bucket.buffer())).start()
        return future

    module = wrap(hook)
    calls.start()
    started = time.time_ns()
    backward(module)
    waited_s = (time.time_ns() - started) / _NS
    told = calls.stop()
    [[begin, end]] = told.flights.tolist()
    assert late_s <= (end - begin) / _NS <= waited_s
    [[drain_begin, drain_end]] = told.drains.tolist()
    # Two threads read the clock at each end; which of them is first is up to the system.
    slack = _NS // 50
    assert begin <= drain_begin + slack
    assert drain_begin <= end + slack
    assert end <= drain_end + slack


def test_a_flight_that_outlives_the_window_ends_with_it(clock: Clock) -> None:
    calls = CommunicationCalls()
    future: torch.futures.Future[int] = torch.futures.Future()

    class Bucket:
        @staticmethod
        def buffer() -> torch.Tensor:
            return torch.ones(1)

    watched = calls.watch_hook(lambda state, bucket: future)
    calls.start()
    assert watched(None, Bucket()) is future
    clock.sleep(7)
    assert seconds(calls.stop().flights) == [[0.0, 7.0]]
    future.set_result(1)
    calls.start()
    assert not len(calls.stop().flights)


def test_a_hook_of_an_earlier_training_passes_through(ddp: Any) -> None:
    wrap, calls = ddp
    future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    future.set_result(torch.zeros(3))
    module = wrap(lambda state, bucket: future)
    backward(module)
    calls.start()
    assert not len(calls.stop().flights)
