from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.profiler import profile
from torch.utils.data import DataLoader

from lightning_itwin.meters import communication_meter
from lightning_itwin.meters.communication_meter import CommunicationMeter
from lightning_itwin.meters.trace_events import from_columns
from lightning_itwin.meters.trace_session import Trace, profiler_is_running

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MS = 10**6
Row = tuple[str, int, int, int, bool, bool]


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the sessions to come tell of made-up traces of 100 ms, in order; None for a lost one."""
    queue: list[list[Row] | None] = []
    asked: list[bool] = []

    class Session:
        def __init__(self, device: torch.device, *, operators: bool) -> None:
            asked.append(operators)

        def start(self) -> None: ...
        def restart_clock(self) -> None: ...
        def abort(self) -> None: ...

        def stop(self) -> Trace | None:
            rows = queue.pop(0)
            if rows is None:
                return None
            events = from_columns((name, start * MS, end * MS, *rest) for name, start, end, *rest in rows)
            return Trace(events=events, stretch=(0, 100 * MS), thread=1)

    monkeypatch.setattr(communication_meter, "TraceSession", Session)

    def give(*rows: list[Row] | None) -> list[bool]:
        queue.extend(rows)
        return asked

    return give


OPERATOR: Row = ("aten::mm", 0, 40, 1, False, False)
FETCH: Row = ("enumerate(DataLoader)#_Iter.__next__", 80, 100, 1, False, True)
GLOO: Row = ("gloo:all_reduce", 10, 30, 2, False, True)


def test_a_slice_tells_the_share_of_operators_in_the_stretches_that_have_none(traces: Any) -> None:
    asked = traces([OPERATOR, FETCH], [GLOO], [FETCH])
    meter = CommunicationMeter(CPU)
    meter.begin_operators()
    assert meter.slicing
    meter.end_operators()
    for steps in (3, 4):
        meter.begin()
        assert meter.measuring
        meter.end(steps)
    reading = meter.read()
    assert asked == [True, False, False]
    assert (meter.steps, meter.source) == (7, "cpu-trace")
    assert reading.wall_s == pytest.approx(0.2)
    assert reading.data_wait_s == pytest.approx(0.02)
    assert reading.computation_s == pytest.approx(0.5 * 0.18)  # 40 of 80 ms that were free
    assert (reading.total_s, reading.exposed_s, reading.collectives) == (pytest.approx(0.02), 0.0, 1)


def test_without_a_slice_the_first_stretch_has_the_operators(traces: Any) -> None:
    asked = traces([OPERATOR], [])
    meter = CommunicationMeter(CPU)
    for _ in range(2):
        meter.begin()
        meter.end(1)
    assert asked == [True, False]
    assert meter.read().computation_s == pytest.approx(2 * 0.04)


def test_a_gpu_needs_no_operators(traces: Any) -> None:
    asked = traces(
        [("ampere_sgemm", 0, 60, 0, True, False), ("ncclDevKernel_AllReduce", 50, 70, 0, True, False)]
    )
    meter = CommunicationMeter(CUDA)
    assert not meter.wants_operators
    meter.begin()
    meter.end(10)
    reading = meter.read()
    assert asked == [False]
    assert meter.source == "cuda-kernels"
    assert (reading.exposed_s, reading.computation_s) == (pytest.approx(0.01), pytest.approx(0.06))


def test_a_stretch_without_a_step_is_left_out(traces: Any) -> None:
    traces([OPERATOR])
    meter = CommunicationMeter(CPU)
    meter.begin()
    meter.end(0)
    assert (meter.read().wall_s, meter.steps, meter.lost) == (0.0, 0, "")


def test_a_stretch_that_another_profiler_took_is_lost(traces: Any) -> None:
    traces(None)
    meter = CommunicationMeter(CPU)
    meter.begin()
    meter.end(1)
    assert "another profiler" in meter.lost
    meter.reset()
    assert not meter.lost


def test_a_gpu_without_kernels_was_not_seen(traces: Any) -> None:
    traces([OPERATOR])
    meter = CommunicationMeter(CUDA)
    meter.begin()
    meter.end(1)
    assert "CUPTI" in meter.lost


def test_a_lost_slice_leaves_the_operators_to_the_window(traces: Any) -> None:
    traces(None)
    meter = CommunicationMeter(CPU)
    meter.begin_operators()
    meter.end_operators()
    assert meter.wants_operators
    assert not meter.lost


def test_data_that_no_loader_annotates_is_waited_for_between_the_steps(
    traces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = iter([0, 10, 50, 55])
    clock = type("Clock", (), {"time_ns": lambda: next(now_ms) * MS, "perf_counter": time.perf_counter})
    traces([OPERATOR])
    meter = CommunicationMeter(CPU)
    monkeypatch.setattr(communication_meter, "time", clock)
    meter.begin()
    meter.batch_start()
    meter.batch_start()
    meter.batch_end()
    meter.batch_start()
    meter.end(2)
    assert meter.read().data_wait_s == pytest.approx(0.015)


def test_a_real_stretch_of_a_training_that_does_not_communicate() -> None:
    meter = CommunicationMeter(CPU)
    weight = torch.ones(64, 64, requires_grad=True)

    def steps() -> None:
        for batch in DataLoader(torch.ones(4, 64), batch_size=2):
            (batch @ weight).sum().backward()

    meter.begin_operators()
    steps()
    meter.end_operators()
    meter.begin()
    steps()
    time.sleep(0.05)
    meter.end(2)
    reading = meter.read()
    assert (reading.total_s, reading.exposed_s, reading.collectives) == (0.0, 0.0, 0)
    assert 0 < reading.data_wait_s < reading.wall_s
    assert 0 < reading.computation_s < reading.wall_s
    assert meter.cost_s > 0
    assert not profiler_is_running()


def test_beside_another_profiler_nothing_begins() -> None:
    meter = CommunicationMeter(CPU)
    with profile():
        for begin in (meter.begin, meter.begin_operators):
            with pytest.raises(RuntimeError, match="running already"):
                begin()
    assert not meter.measuring
    assert not meter.slicing


def test_an_abort_leaves_nothing_running() -> None:
    backward = torch.autograd.backward
    meter = CommunicationMeter(CPU)
    meter.begin()
    assert torch.autograd.backward is not backward
    meter.abort()
    meter.abort()
    assert torch.autograd.backward is backward
    assert not profiler_is_running()
