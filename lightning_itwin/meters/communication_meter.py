"""Measures a window of training steps on one rank, stretch by stretch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch

from lightning_itwin.meters.communication import (
    CommunicationReading,
    HostCommunication,
    operator_share,
    read_device,
    read_host,
)
from lightning_itwin.meters.communication_calls import CommunicationCalls
from lightning_itwin.meters.intervals import Intervals, intervals
from lightning_itwin.meters.trace_session import Trace, TraceSession

# What recording one event, and noting one call, takes out of the training: measured on a Xeon at 2.1-2.9 GHz
# with the profiler on and off, 0.3-0.8 us an operator.
_EVENT_S = 0.7e-6
_NOTE_S = 2e-6


class CommunicationMeter:
    """Adds up the stretches of one window: :meth:`begin` and :meth:`end` around each, then :meth:`read`.

    A stretch is a run of whole steps without a validation or an epoch's end in between. On a CPU the window
    itself is traced without operators, which cost more than all the rest; a slice of a step before it,
    between :meth:`begin_operators` and :meth:`end_operators`, tells what share of the free time operators
    fill. Without such a slice, the first stretch of the window is traced with operators.

    Args:
        device: device of the training.
        calls: what notes the calls that communicate.

    >>> meter = CommunicationMeter(torch.device("cpu"))
    >>> meter.begin()
    >>> meter.end(steps=1)
    >>> meter.read().collectives
    0
    """

    def __init__(self, device: torch.device, calls: CommunicationCalls | None = None) -> None:
        self._device = device
        self._calls = calls or CommunicationCalls()
        self._session: TraceSession | None = None
        self._slicing = False
        self._waits: list[tuple[int, int]] = []
        self._waiting_since: int | None = None
        self.reset()

    def reset(self) -> None:
        """Begin a new window; one that is under way is given up."""
        self.abort()
        self._reading = CommunicationReading()
        self._operator_share: float | None = None
        self.steps = 0
        self.cost_s = 0.0
        self.lost = ""  # why the window is worth nothing, if it is

    @property
    def source(self) -> str:
        """How communication is found: ``"cuda-kernels"`` or ``"cpu-trace"``."""
        return "cuda-kernels" if self._device.type == "cuda" else "cpu-trace"

    @property
    def wants_operators(self) -> bool:
        """Whether a slice with operators is still missing."""
        return self._device.type != "cuda" and self._operator_share is None

    @property
    def measuring(self) -> bool:
        """Whether a stretch is under way."""
        return self._session is not None and not self._slicing

    @property
    def slicing(self) -> bool:
        """Whether the slice with operators is under way."""
        return self._session is not None and self._slicing

    def begin_operators(self, optimizers: Iterable[Any] = ()) -> None:
        """Begin the slice with operators.

        Args:
            optimizers: the training's.

        Raises:
            RuntimeError: another profiler is running.
        """
        self._slicing = True
        self._start(optimizers, operators=True)

    def end_operators(self) -> None:
        """End the slice with operators."""
        clock = time.perf_counter()
        trace, host, waits = self._stop()
        self._slicing = False
        if trace is not None:
            self._operator_share = operator_share(
                trace.events, trace.stretch, thread=trace.thread, host=host, data_waits=waits
            )
        self.cost_s += time.perf_counter() - clock

    def restart_clock(self) -> None:
        """Let the stretch under way begin now: what came before, such as a barrier, is no part of it."""
        if self._session is not None:
            self._session.restart_clock()
            self._waits = []
            self._waiting_since = time.time_ns() if self._waiting_since is not None else None

    def begin(self, optimizers: Iterable[Any] = ()) -> None:
        """Begin a stretch.

        Args:
            optimizers: the training's.

        Raises:
            RuntimeError: another profiler is running.
        """
        self._start(optimizers, operators=self.wants_operators)

    def end(self, steps: int) -> None:
        """End a stretch and add it up.

        Args:
            steps: whole steps in it; with none it is left out.
        """
        clock = time.perf_counter()
        trace, host, waits = self._stop()
        if trace is None:
            self.lost = "another profiler has taken its events"
        elif self._device.type == "cuda" and not trace.events.on_device.any():
            self.lost = "no kernel was recorded; CUPTI may be forbidden on this machine"
        elif steps:
            self._reading += self._read(trace, host, waits)
            self.steps += steps
        self.cost_s += time.perf_counter() - clock

    def batch_start(self) -> None:
        """Note that the next batch has arrived."""
        self._calls.look()
        if self._session is not None and self._waiting_since is not None:
            self._waits.append((self._waiting_since, time.time_ns()))
            self._waiting_since = None

    def batch_end(self) -> None:
        """Note that a step is over and the wait for the next batch begins."""
        self._calls.look()
        if self._session is not None:
            self._waiting_since = time.time_ns()

    def read(self) -> CommunicationReading:
        """Tell of the stretches so far."""
        return self._reading

    def abort(self) -> None:
        """End whatever is under way without reading it."""
        if self._session is not None:
            self._session.abort()
            self._calls.stop()
            self._session = None
        self._slicing = False

    def _start(self, optimizers: Iterable[Any], *, operators: bool) -> None:
        clock = time.perf_counter()
        session = TraceSession(self._device, operators=operators)
        self._calls.start(optimizers, on_gpu=self._device.type == "cuda")
        try:
            session.start()
        except RuntimeError:
            self._calls.stop()
            self._slicing = False
            raise
        self._session = session
        self._waits = []
        self._waiting_since = time.time_ns()
        self.cost_s += time.perf_counter() - clock

    def _stop(self) -> tuple[Trace | None, HostCommunication, Intervals]:
        assert self._session is not None
        session, self._session = self._session, None
        notes = self._calls.notes
        trace = session.stop()
        host = self._calls.stop()
        if trace is None:
            return None, host, intervals(())
        self.cost_s += notes * _NOTE_S + len(trace.events) * _EVENT_S
        # A DataLoader tells its waits; for any other iterable they are the time between two steps.
        waits = trace.events.data_fetches(trace.thread)
        return trace, host, waits if len(waits) else intervals(self._waits)

    def _read(self, trace: Trace, host: HostCommunication, waits: Intervals) -> CommunicationReading:
        if self._device.type == "cuda":
            return read_device(trace.events, trace.stretch, host=host, data_waits=waits)
        if self._operator_share is None:
            self._operator_share = operator_share(
                trace.events, trace.stretch, thread=trace.thread, host=host, data_waits=waits
            )
        return read_host(
            trace.events,
            trace.stretch,
            host=host,
            data_waits=waits,
            operator_share=self._operator_share,
        )
