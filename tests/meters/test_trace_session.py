from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.profiler import profile, record_function
from torch.utils.data import DataLoader

from lightning_itwin.meters.trace_session import TraceSession, profiler_is_running

CPU = torch.device("cpu")


def record(operators: bool, work) -> object:
    session = TraceSession(CPU, operators=operators)
    session.start()
    work()
    return session.stop()


def some_work() -> None:
    for _ in DataLoader(torch.ones(4, 2), batch_size=2):
        torch.ones(3) + 1
    with record_function("gloo:all_reduce"):  # as Gloo's threads annotate
        torch.zeros(2) * 2


def test_annotations_without_the_operators() -> None:
    trace = record(False, some_work)
    assert trace is not None
    assert not any(name.startswith("aten::") for name in trace.events.names)
    assert len(trace.events.host_communication) == 1
    assert len(trace.events.data_fetches(trace.thread)) == 3  # the third finds the end
    assert not len(trace.events.operators(trace.thread))


def test_annotations_and_operators() -> None:
    trace = record(True, some_work)
    assert trace is not None
    assert "aten::add" in trace.events.names
    assert len(trace.events.operators(trace.thread))


def test_the_stretch_and_its_events_are_on_one_clock() -> None:
    before = time.time_ns()
    trace = record(False, some_work)
    after = time.time_ns()
    assert trace is not None
    start, end = trace.stretch
    assert before <= start < end <= after
    fetches = trace.events.data_fetches(trace.thread)
    slack_ns = 2 * 10**6
    assert (fetches >= start - slack_ns).all()
    assert (fetches <= end + slack_ns).all()


def test_the_clock_can_be_restarted() -> None:
    session = TraceSession(CPU, operators=False)
    session.start()
    time.sleep(0.01)
    now = time.time_ns()
    session.restart_clock()
    trace = session.stop()
    assert trace is not None
    assert trace.stretch[0] >= now


def test_a_second_profiler_is_not_started() -> None:
    with profile() as other:
        with pytest.raises(RuntimeError, match="running already"):
            TraceSession(CPU, operators=False).start()
        torch.ones(3) + 1
    assert len(other.events())
    assert not profiler_is_running()


def test_events_that_another_profiler_took_are_missed() -> None:
    session = TraceSession(CPU, operators=False)
    session.start()
    with profile():
        torch.ones(3) + 1
    assert session.stop() is None
    assert not profiler_is_running()


def test_nothing_is_left_after_an_abort() -> None:
    session = TraceSession(CPU, operators=False)
    session.start()
    assert profiler_is_running()
    session.abort()
    session.abort()
    assert not profiler_is_running()


def test_kineto_is_quiet_where_ours_is_its_first_session() -> None:
    script = """
import torch
from lightning_itwin.meters.trace_session import TraceSession
session = TraceSession(torch.device("cpu"), operators=False)
session.start()
assert session.stop() is not None
"""
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "KINETO_LOG_LEVEL"}
        | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (told.stdout, told.stderr) == ("", "")
