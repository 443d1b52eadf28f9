from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.distributed as dist

from lightning_itwin.meters.communication_calls import CommunicationCalls
from tests.meters.made_up_clock import Clock, seconds


@pytest.fixture(autouse=True)
def _everything_is_put_back() -> Iterator[None]:
    places: list[tuple[Any, str]] = [
        *((dist, name) for name in ("all_reduce", "broadcast", "barrier", "all_gather")),
        *((dist.distributed_c10d, "all_reduce"), (dist.Work, "wait"), (torch.autograd, "backward")),
        *((torch.futures.Future, "wait"), (torch._C.Future, "wait")),
    ]
    before = [vars(owner)[name] for owner, name in places]
    yield
    assert [vars(owner)[name] for owner, name in places] == before


def test_a_collective_counts_as_a_whole_with_the_delay_that_someone_put_in(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, group: None
) -> None:
    real = dist.all_reduce

    def slow(*args: Any, **kwargs: Any) -> Any:
        clock.sleep(3)
        return real(*args, **kwargs)

    monkeypatch.setattr(dist, "all_reduce", slow)
    calls = CommunicationCalls()
    calls.start()
    clock.sleep(1)
    dist.all_reduce(torch.ones(3))
    clock.sleep(1)
    told = calls.stop()
    assert [1.0, 4.0] in seconds(told.blocking)
    assert dist.all_reduce is slow


def test_waiting_for_work_that_someone_else_launched(clock: Clock, group: None) -> None:
    launch = dist.distributed_c10d.all_reduce  # as a name that a library imported before the window
    calls = CommunicationCalls()
    calls.start()
    work = launch(torch.ones(3), async_op=True)
    assert work is not None
    work.wait()
    assert seconds(calls.stop().blocking) == [[0.0, 0.0]]


def test_another_threads_calls_block_nobody(clock: Clock, group: None) -> None:
    calls = CommunicationCalls()
    calls.start()
    thread = threading.Thread(target=lambda: dist.all_reduce(torch.ones(3)))
    thread.start()
    thread.join()
    told = calls.stop()
    assert len(told.elsewhere)
    assert not len(told.blocking)


def test_a_call_that_fails_is_noted_and_fails(clock: Clock, group: None) -> None:
    calls = CommunicationCalls()
    calls.start()
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        dist.all_reduce("no tensor")
    assert len(calls.stop().blocking) == 1


def test_nothing_is_wrapped_outside_a_window() -> None:
    before = dist.all_reduce, dist.Work.wait, torch.autograd.backward
    calls = CommunicationCalls()
    calls.start()
    assert dist.all_reduce is not before[0]
    assert dist.all_reduce is dist.distributed_c10d.all_reduce
    calls.stop()
    assert (dist.all_reduce, dist.Work.wait, torch.autograd.backward) == before


def test_on_a_gpu_horovod_alone_is_wrapped(clock: Clock, horovod: Any) -> None:
    before = dist.all_reduce, dist.Work.wait, torch.autograd.backward
    calls = CommunicationCalls()
    calls.start(on_gpu=True)
    assert (dist.all_reduce, dist.Work.wait, torch.autograd.backward) == before
    horovod.synchronize(horovod.allreduce_async_(None))
    assert seconds(calls.stop().flights) == [[0.0, 11.0]]


def test_who_wraps_the_wrapper_keeps_his_own(monkeypatch: pytest.MonkeyPatch, group: None) -> None:
    original = dist.all_reduce
    calls = CommunicationCalls()
    calls.start()
    inner = dist.all_reduce
    dist.all_reduce = lambda *args, **kwargs: inner(*args, **kwargs)
    calls.stop()
    dist.all_reduce(torch.ones(3))  # passes through
    calls.start()
    assert not len(calls.stop().blocking)
    dist.all_reduce = original


def test_two_meters_at_once_leave_nothing_behind(group: None) -> None:
    first, second = CommunicationCalls(), CommunicationCalls()
    first.start()
    second.start()
    dist.all_reduce(torch.ones(3))
    assert len(second.stop().blocking)
    assert len(first.stop().blocking)


# ---------------------------------------------------------------- backward
class Sleeps(torch.autograd.Function):
    clock: Clock

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        Sleeps.clock.sleep(5)
        return gradient


def test_backward_drains_from_the_end_of_the_graph_until_it_returns(clock: Clock) -> None:
    Sleeps.clock = clock
    weight = torch.ones(3, requires_grad=True)

    def ends(_: torch.Tensor) -> None:  # as DDP waits for its buckets
        torch.autograd.Variable._execution_engine.queue_callback(lambda: clock.sleep(2))

    weight.register_post_accumulate_grad_hook(ends)
    calls = CommunicationCalls()
    calls.start()
    Sleeps.apply(weight).sum().backward()
    clock.sleep(1)
    told = calls.stop()
    assert seconds(told.drains) == [[5.0, 7.0]]
    assert weight.grad.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("root", [lambda loss: loss, lambda loss: [loss]], ids=["tensor", "list"])
def test_backward_of_whatever_autograd_takes(root: Callable[[Any], Any]) -> None:
    weight = torch.ones(3, requires_grad=True)
    loss = (2 * weight).sum()
    calls = CommunicationCalls()
    calls.start()
    torch.autograd.backward(tensors=root(loss))
    told = calls.stop()
    assert len(told.drains) == 1
    assert weight.grad.tolist() == [2.0, 2.0, 2.0]
    assert not loss._backward_hooks


def test_a_backward_that_fails_leaves_no_hook_behind() -> None:
    loss = torch.ones(1, requires_grad=True) * 2
    loss.backward()
    calls = CommunicationCalls()
    calls.start()
    with pytest.raises(RuntimeError, match="second time"):
        (loss * loss).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.ones(1).backward()
    calls.stop()


def test_waiting_for_a_future_is_a_drain(clock: Clock) -> None:
    future: torch.futures.Future[int] = torch.futures.Future()
    future.set_result(3)
    calls = CommunicationCalls()
    calls.start()
    assert future.wait() == 3
    assert seconds(calls.stop().drains)[0] == [0.0, 0.0]


# ---------------------------------------------------------------- Horovod, whose threads no trace shows
@pytest.fixture
def horovod(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> ModuleType:
    """A Horovod whose operations take 10 s after their launch, which takes 1 s."""
    done_s: dict[int, int] = {}
    operations = ModuleType("horovod.torch.mpi_ops")

    def allreduce_async_(tensor: Any, **_: Any) -> int:
        clock.sleep(1)
        done_s[len(done_s)] = clock.now_s + 10
        return len(done_s) - 1

    def synchronize(handle: int) -> str:
        clock.now_s = max(clock.now_s, done_s[handle])
        return "output"

    def poll(handle: int) -> bool:
        if handle not in done_s:
            raise ValueError(f"Handle {handle} was not created or has been cleared.")
        return clock.now_s >= done_s[handle]

    def allreduce(tensor: Any) -> str:
        return operations.synchronize(operations.allreduce_async_(tensor))

    operations.allreduce_async_ = allreduce_async_  # type: ignore[attr-defined]
    operations.synchronize = synchronize  # type: ignore[attr-defined]
    operations.poll = poll  # type: ignore[attr-defined]
    operations.allreduce = allreduce  # type: ignore[attr-defined]
    torch_face = ModuleType("horovod.torch")
    torch_face.__dict__.update(operations.__dict__ | {"__name__": "horovod.torch"})
    package = ModuleType("horovod")
    package.torch, torch_face.mpi_ops = torch_face, operations  # type: ignore[attr-defined]
    for module in (package, torch_face, operations):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return torch_face


def test_horovods_flights_and_waits(clock: Clock, horovod: Any) -> None:
    calls = CommunicationCalls()
    calls.start()
    first = horovod.allreduce_async_(None)  # 0-1, done at 11
    clock.sleep(4)
    second = horovod.allreduce_async_(None)  # 5-6, done at 16
    assert horovod.synchronize(first) == "output"
    clock.sleep(1)
    horovod.synchronize(second)
    told = calls.stop()
    assert seconds(told.flights) == [[0.0, 11.0], [5.0, 16.0]]
    assert seconds(told.blocking) == [[0.0, 1.0], [5.0, 6.0], [6.0, 11.0], [12.0, 16.0]]
    assert told.operations == 2


def test_a_flight_lands_when_horovod_is_seen_to_be_done(clock: Clock, horovod: Any) -> None:
    calls = CommunicationCalls()
    calls.start()
    horovod.allreduce_async_(None)
    clock.sleep(9)
    calls.look()  # at 10 it is not done yet
    clock.sleep(5)
    horovod.allreduce_async_(None)  # looks, at 15, whether the first is done
    clock.sleep(11)
    calls.look()
    clock.sleep(1)
    assert seconds(calls.stop().flights) == [[0.0, 15.0], [15.0, 27.0]]


def test_a_call_that_waits_within_itself(clock: Clock, horovod: Any) -> None:
    calls = CommunicationCalls()
    calls.start()
    assert horovod.allreduce(None) == "output"
    told = calls.stop()
    assert [0.0, 11.0] in seconds(told.blocking)
    assert told.operations == 1


def test_horovod_is_put_back(horovod: Any) -> None:
    before = dict(vars(horovod)), dict(vars(horovod.mpi_ops))
    calls = CommunicationCalls()
    calls.start()
    assert horovod.synchronize is horovod.mpi_ops.synchronize is not before[0]["synchronize"]
    calls.stop()
    assert (vars(horovod), vars(horovod.mpi_ops)) == before


def test_an_optimizer_of_horovod_waits_in_its_own_synchronize(clock: Clock) -> None:
    class Distributed:
        def __init__(self) -> None:
            self._handles: dict[Any, Any] = {}

        def synchronize(self) -> None:
            clock.sleep(3)

    optimizer = Distributed()
    calls = CommunicationCalls()
    calls.start([optimizer, object()])
    optimizer.synchronize()
    assert seconds(calls.stop().blocking) == [[0.0, 3.0]]
    assert vars(optimizer) == {"_handles": {}}
