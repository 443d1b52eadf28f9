r"""Communication, computation and waiting on one rank, by interval algebra.

Within a stretch of wall time :math:`T`, with :math:`C` the union of communication in flight, :math:`K` the
union of what covers it and :math:`D` the waits for data:

.. math::

    \text{total} = |C|, \quad \text{exposed} = |C \setminus K|, \quad \text{hidden} = |C \cap K|, \quad
    \text{overhead} = 100 \, \frac{|C \setminus K|}{T}

On a GPU, :math:`C` are the kernels that move data between ranks and :math:`K` all other kernels, so hidden
over total is the overlap of HolisticTraceAnalysis. Kernels outlive the step that launched them: a stretch
spans several steps, the device synchronised at both ends.

On a CPU, :math:`C` are the collectives that Gloo's threads carry out, the calls that themselves communicate
and the flights from launch to completion. What computes there is the training's own thread, and it covers
communication unless it is blocked by it: :math:`C \setminus K = C \cap B`, with :math:`B` the times at which
the thread is in a call that communicates, or waits for one. So a layer that computes outside PyTorch's
operators hides communication as one within does, which the trace alone cannot see. ``computation_s`` counts
operators only: Python between operators is idle time.

Reference:
    ``get_comm_comp_overlap`` and ``get_temporal_breakdown`` of HolisticTraceAnalysis,
    https://hta.readthedocs.io; ``CommsComputeOverlapAnalyzer`` of torchtitan, pull request 3020.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields

import numpy as np

from lightning_itwin.meters.intervals import (
    Intervals,
    difference,
    intersection,
    length_ns,
    no_intervals,
    union,
)
from lightning_itwin.meters.trace_events import TraceEvents

_NS_PER_S = 1e9


@dataclass(frozen=True, kw_only=True)
class HostCommunication:
    """What the calls of a host process tell of its communication.

    Args:
        blocking: calls in the training's thread that communicate or wait for communication, (N, 2) in ns.
        elsewhere: such calls in other threads.
        flights: from the launch of an asynchronous operation to its end.
        drains: times at which the training's thread waits for whatever is in flight, if anything is.
        operations: asynchronous operations that no trace shows.
    """

    blocking: Intervals = field(default_factory=no_intervals)
    elsewhere: Intervals = field(default_factory=no_intervals)
    flights: Intervals = field(default_factory=no_intervals)
    drains: Intervals = field(default_factory=no_intervals)
    operations: int = 0


@dataclass(frozen=True, kw_only=True)
class CommunicationReading:
    """Where the wall time of a stretch of training went on one rank; readings of stretches add up.

    Args:
        wall_s: the stretch.
        total_s: communication in flight, as a union: two collectives at once count once.
        exposed_s: its part that nothing covers.
        computation_s: union of computation.
        data_wait_s: waiting for the next batch, with nothing else going on.
        idle_s: none of exposed communication, computation and data wait.
        collectives: operations between ranks.

    >>> half = CommunicationReading(wall_s=2.0, total_s=1.0, exposed_s=0.5, computation_s=1.5, collectives=2)
    >>> (half + half).collectives, half.hidden_s, half.overhead_percent
    (4, 0.5, 25.0)
    """

    wall_s: float = 0.0
    total_s: float = 0.0
    exposed_s: float = 0.0
    computation_s: float = 0.0
    data_wait_s: float = 0.0
    idle_s: float = 0.0
    collectives: int = 0

    def to_values(self) -> list[float]:
        """Give the fields as numbers in a row, as ranks exchange them."""
        return [float(value) for value in astuple(self)]

    @classmethod
    def from_values(cls, values: Iterable[float]) -> CommunicationReading:
        """Make a reading of such a row."""
        *times_s, collectives = values
        names = [field.name for field in fields(cls)]
        return cls(**dict(zip(names, times_s)), collectives=int(collectives))

    def __add__(self, other: CommunicationReading) -> CommunicationReading:
        return CommunicationReading(
            **{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        )

    @property
    def hidden_s(self) -> float:
        """Communication that is covered."""
        return self.total_s - self.exposed_s

    @property
    def overhead_percent(self) -> float:
        """Exposed communication as a share of the stretch, 0-100."""
        return 100.0 * self.exposed_s / self.wall_s if self.wall_s else 0.0


def read_device(
    events: TraceEvents,
    stretch: tuple[int, int],
    *,
    host: HostCommunication | None = None,
    data_waits: Intervals | None = None,
) -> CommunicationReading:
    """Read a stretch of a training on a GPU.

    Communication that no kernel carries out (Gloo's, or Horovod's over Gloo or MPI, on a GPU's tensors) is
    taken from the host; what the host alone knows counts only where no kernel communicates, because
    there a call mostly launches or waits for kernels.

    Args:
        events: the trace.
        stretch: start and end in ns; the device is idle at both.
        host: communication seen by the host.
        data_waits: waits of the training's thread for the next batch, (N, 2) in ns.

    >>> from lightning_itwin.meters.trace_events import from_columns
    >>> reading = read_device(
    ...     from_columns([
    ...         ("ampere_sgemm", 0, 60, 0, True, False),
    ...         ("ncclDevKernel_AllReduce", 40, 80, 0, True, False),
    ...         ("nccl:all_reduce", 40, 80, 0, True, True),
    ...     ]),
    ...     (0, 100),
    ... )
    >>> reading.total_s, reading.exposed_s, reading.computation_s, reading.idle_s
    (4e-08, 2e-08, 6e-08, 2e-08)
    """
    window = np.array([stretch], dtype=np.int64)
    host = host or HostCommunication()
    kernels = events.communication_kernels
    parts = [kernels, events.host_communication]
    if not len(kernels):
        parts += [host.blocking, host.elsewhere, host.flights]
    flying = intersection(union(*parts), window)
    computing = intersection(union(events.computation_kernels), window)
    fetching = difference(intersection(union(*_given(data_waits)), window), union(flying, computing))
    busy = union(flying, computing, fetching)
    return CommunicationReading(
        wall_s=_seconds(window),
        total_s=_seconds(flying),
        exposed_s=_seconds(difference(flying, computing)),
        computation_s=_seconds(computing),
        data_wait_s=_seconds(fetching),
        idle_s=_seconds(difference(window, busy)),
        collectives=_count(kernels, window) or _count(events.host_communication, window) + host.operations,
    )


def read_host(
    events: TraceEvents,
    stretch: tuple[int, int],
    *,
    host: HostCommunication | None = None,
    data_waits: Intervals | None = None,
    operator_share: float,
) -> CommunicationReading:
    """Read a stretch of a training on a CPU.

    Args:
        events: the trace.
        stretch: start and end in ns.
        host: communication seen by the host.
        data_waits: waits of the training's thread for the next batch, (N, 2) in ns.
        operator_share: share of the thread's free time that operators fill, from :func:`operator_share`.

    >>> from lightning_itwin.meters.intervals import intervals
    >>> from lightning_itwin.meters.trace_events import from_columns
    >>> reading = read_host(
    ...     from_columns([("gloo:all_reduce", 20, 70, 9, False, True)]),
    ...     (0, 100),
    ...     host=HostCommunication(drains=intervals([(60, 75)])),
    ...     data_waits=intervals([(90, 100)]),
    ...     operator_share=0.5,
    ... )
    >>> reading.total_s, reading.exposed_s, reading.data_wait_s, reading.computation_s
    (5e-08, 1e-08, 1e-08, 4e-08)
    """
    window = np.array([stretch], dtype=np.int64)
    flying, blocked, fetching = _host_times(events, window, host or HostCommunication(), data_waits)
    free_s = _seconds(difference(window, union(blocked, fetching)))
    return CommunicationReading(
        wall_s=_seconds(window),
        total_s=_seconds(flying),
        exposed_s=_seconds(blocked),
        computation_s=operator_share * free_s,
        data_wait_s=_seconds(fetching),
        idle_s=(1.0 - operator_share) * free_s,
        collectives=_count(events.host_communication, window) + (host.operations if host else 0),
    )


def operator_share(
    events: TraceEvents,
    stretch: tuple[int, int],
    *,
    thread: int,
    host: HostCommunication | None = None,
    data_waits: Intervals | None = None,
) -> float:
    """Give the share of the training thread's free time that operators fill, 0-1.

    Free is what is neither blocked by communication nor waiting for data.

    Args:
        events: a trace with operators.
        stretch: start and end in ns.
        thread: the training's thread, as the trace numbers it.
        host: communication seen by the host.
        data_waits: waits for the next batch, (N, 2) in ns.
    """
    window = np.array([stretch], dtype=np.int64)
    _, blocked, fetching = _host_times(events, window, host or HostCommunication(), data_waits)
    free = difference(window, union(blocked, fetching))
    free_ns = length_ns(free)
    return length_ns(intersection(union(events.operators(thread)), free)) / free_ns if free_ns else 0.0


def straggler_waits(exposed_s: Iterable[float]) -> list[float]:
    """Give the time that each rank waits for the one that arrives last.

    The last to arrive waits least, so what a rank exposes beyond the least of all ranks is waiting for
    others. No clock is compared between ranks.

    Args:
        exposed_s: exposed communication of each rank in seconds, the same steps on all.

    >>> straggler_waits([0.5, 0.125])
    [0.375, 0.0]
    """
    exposed = list(exposed_s)
    return [rank - min(exposed) for rank in exposed]


def _host_times(
    events: TraceEvents, window: Intervals, host: HostCommunication, data_waits: Intervals | None
) -> tuple[Intervals, Intervals, Intervals]:
    blocking = union(host.blocking)
    in_flight = union(events.host_communication, host.elsewhere, host.flights)
    blocked = union(blocking, intersection(union(host.drains), in_flight))
    fetching = difference(union(*_given(data_waits)), blocked)
    flying = union(blocking, in_flight)
    return intersection(flying, window), intersection(blocked, window), intersection(fetching, window)


def _given(spans: Intervals | None) -> list[Intervals]:
    return [] if spans is None else [spans]


def _seconds(spans: Intervals) -> float:
    return length_ns(spans) / _NS_PER_S


def _count(spans: Intervals, window: Intervals) -> int:
    return int(((spans[:, 0] < window[0, 1]) & (spans[:, 1] > window[0, 0])).sum())
