"""One stretch of training under PyTorch's profiler, its events kept in memory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.profiler import profile, record_function

from lightning_itwin.meters.trace_events import TraceEvents, from_kineto

_MARK = "lightning_itwin::stretch"
# Above the level at which PyTorch 2.13's Kineto prints two lines on stderr for every start and stop.
_QUIET = "6"


def profiler_is_running() -> bool:
    """Say whether PyTorch's profiler is on in this process; a second one would empty the first."""
    return torch.autograd._profiler_enabled()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one stretch left behind.

    Args:
        events: its events.
        stretch: start and end in ns since the epoch.
        thread: the thread that started it, as the events number it.
    """

    events: TraceEvents
    stretch: tuple[int, int]
    thread: int


class TraceSession:
    """Records one stretch: kernels on a GPU, annotations (Gloo's collectives among them) on the host.

    Operators are recorded only if asked for. They are what a trace costs: about 5 us each until they are
    read, and a model of many small ones has 10,000 a step.

    Args:
        device: device of the training.
        operators: whether operators are recorded too.

    >>> session = TraceSession(torch.device("cpu"), operators=True)
    >>> session.start()
    >>> _ = torch.ones(3) + 1
    >>> trace = session.stop()
    >>> "aten::add" in trace.events.names
    True
    """

    def __init__(self, device: torch.device, *, operators: bool) -> None:
        self._device = device
        self._profile = _Profile(operators, use_device="cuda" if device.type == "cuda" else None)
        self._start_ns = 0

    def start(self) -> None:
        """Begin; on a GPU the work so far is finished first.

        Raises:
            RuntimeError: another profiler is running.
        """
        if profiler_is_running():
            raise RuntimeError("PyTorch's profiler is running already; use one profiler at a time")
        os.environ.setdefault("KINETO_LOG_LEVEL", _QUIET)
        self._profile.__enter__()
        with record_function(_MARK):
            pass
        self.restart_clock()

    def restart_clock(self) -> None:
        """Let the stretch begin now instead; on a GPU the work so far is finished first."""
        self._synchronize()
        self._start_ns = time.time_ns()

    def stop(self) -> Trace | None:
        """End and tell what was seen; None where another profiler has taken the events in between."""
        self._synchronize()
        end_ns = time.time_ns()
        with record_function(_MARK):
            pass
        if not self._end():
            return None
        assert self._profile.kineto_results is not None
        events = from_kineto(self._profile.kineto_results.events())
        if len(events.marks(_MARK)) != 2:
            return None
        thread = events.thread_of(_MARK)
        assert thread is not None
        return Trace(events=events, stretch=(self._start_ns, end_ns), thread=thread)

    def abort(self) -> None:
        """End without reading anything."""
        self._end()

    def _end(self) -> bool:
        if not profiler_is_running():
            return False
        self._profile.__exit__(None, None, None)
        return True

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class _Profile(profile):
    """PyTorch's profiler, which can leave the operators out: ``scopes`` is in the binding, not in Python."""

    def __init__(self, operators: bool, **options: Any) -> None:
        super().__init__(use_kineto=True, **options)
        self._operators = operators

    def _start_trace(self) -> None:
        if self._operators:
            super()._start_trace()
            return
        torch.autograd.profiler._run_on_profiler_start()
        enable: Any = torch.autograd._enable_profiler  # its stub lacks the scopes
        enable(self.config(), self.kineto_activities, {torch._C._profiler.RecordScope.USER_SCOPE})
