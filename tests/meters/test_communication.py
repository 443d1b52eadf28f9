from __future__ import annotations

import pytest

from lightning_itwin.meters.communication import (
    CommunicationReading,
    HostCommunication,
    operator_share,
    read_device,
    read_host,
    straggler_waits,
)
from lightning_itwin.meters.intervals import intervals
from lightning_itwin.meters.trace_events import TraceEvents, from_columns

MS = 10**6
KERNEL, NCCL = "ampere_sgemm_128x64_tn", "ncclDevKernel_AllReduce_Sum_f32_RING_LL"
MAIN, GLOO = 1, 2
WINDOW = (0, 100 * MS)


def device(*rows: tuple[str, int, int]) -> TraceEvents:
    """Events on a device, in ms; what is no kernel and no copy is an annotation's shadow."""
    return from_columns(
        (name, start * MS, end * MS, 0, True, not name.startswith((KERNEL, "nccl", "Memcpy")) or ":" in name)
        for name, start, end in rows
    )


def spans(*pairs: tuple[int, int]):
    return intervals((start * MS, end * MS) for start, end in pairs)


def percent(reading: CommunicationReading) -> tuple[float, ...]:
    """Total, exposed, computation, data wait and idle, in percent of the window."""
    return tuple(
        round(100 * part / reading.wall_s, 6)
        for part in (
            reading.total_s,
            reading.exposed_s,
            reading.computation_s,
            reading.data_wait_s,
            reading.idle_s,
        )
    )


SHADOWS = [
    ("nccl:all_reduce", 20, 50),
    ("Optimizer.step#Adam.step", 90, 100),
    ("DistributedDataParallel.forward", 0, 40),
    ("ProfilerStep#3", 0, 100),
]


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        pytest.param([(KERNEL, 0, 100)], (0, 0, 100, 0, 0), id="all computation"),
        pytest.param([(KERNEL, 0, 100), (NCCL, 20, 50)], (30, 0, 100, 0, 0), id="hidden"),
        pytest.param([(KERNEL, 0, 100), (NCCL, 20, 50), *SHADOWS], (30, 0, 100, 0, 0), id="annotated"),
        pytest.param([(KERNEL, 0, 60), (NCCL, 60, 100)], (40, 40, 60, 0, 0), id="fully exposed"),
        pytest.param([(KERNEL, 0, 60), (NCCL, 40, 80)], (40, 20, 60, 0, 20), id="half overlapped"),
        pytest.param([(NCCL, 0, 100), (KERNEL, 20, 40), (KERNEL, 50, 70)], (100, 60, 40, 0, 0), id="nested"),
        pytest.param(
            [(KERNEL, 0, 55), (NCCL, 50, 80), ("ncclKernel_AllGather", 60, 90)],
            (40, 35, 55, 0, 10),
            id="two at once",
        ),
        pytest.param(
            [(KERNEL, 0, 60), (NCCL, 60, 80), ("Memcpy DtoH (Device -> Pinned)", 60, 80)],
            (20, 20, 60, 0, 20),
            id="a copy covers nothing",
        ),
        pytest.param([(KERNEL, -50, 20), (NCCL, 90, 150)], (10, 10, 20, 0, 70), id="clipped to the window"),
        pytest.param([(KERNEL, 0, 30), (KERNEL, 10, 50), (KERNEL, 0, 50)], (0, 0, 50, 0, 50), id="streams"),
        pytest.param([], (0, 0, 0, 0, 100), id="nothing"),
    ],
)
def test_device_time_lines_with_known_truth(
    events: list[tuple[str, int, int]], wanted: tuple[float, ...]
) -> None:
    assert percent(read_device(device(*events), WINDOW)) == wanted


def test_on_a_device_data_is_waited_for_only_while_nothing_runs() -> None:
    reading = read_device(device((KERNEL, 0, 60)), WINDOW, data_waits=spans((50, 80)))
    assert percent(reading) == (0, 0, 60, 20, 20)


def test_where_kernels_communicate_the_hosts_calls_are_launches_and_do_not_count() -> None:
    host = HostCommunication(blocking=spans((0, 90)), operations=3)
    reading = read_device(device((KERNEL, 0, 60), (NCCL, 60, 70)), WINDOW, host=host)
    assert percent(reading) == (10, 10, 60, 0, 30)
    assert reading.collectives == 1


def test_gloo_and_horovod_on_a_gpus_tensors_are_known_to_the_host() -> None:
    events = from_columns(
        [(KERNEL, 0, 60 * MS, 0, True, False), ("gloo:all_reduce", 50 * MS, 70 * MS, GLOO, False, True)]
    )
    host = HostCommunication(flights=spans((55, 75)), operations=1)
    reading = read_device(events, WINDOW, host=host)
    assert percent(reading) == (25, 15, 60, 0, 25)
    assert reading.collectives == 2


def gloo(*pairs: tuple[int, int]) -> TraceEvents:
    return from_columns(("gloo:all_reduce", start * MS, end * MS, GLOO, False, True) for start, end in pairs)


@pytest.mark.parametrize(
    ("events", "host", "waits", "wanted"),
    [
        pytest.param(gloo((20, 50)), HostCommunication(), [], (30, 0, 50, 0, 50), id="hidden"),
        pytest.param(
            gloo((20, 70)), HostCommunication(drains=spans((60, 75))), [], (50, 10, 45, 0, 45), id="ddp"
        ),
        pytest.param(
            gloo((20, 70)), HostCommunication(blocking=spans((60, 80))), [], (60, 20, 40, 0, 40), id="zero"
        ),
        pytest.param(
            gloo(), HostCommunication(drains=spans((60, 75))), [], (0, 0, 50, 0, 50), id="nothing in flight"
        ),
        pytest.param(
            gloo(),
            HostCommunication(flights=spans((10, 60), (20, 80)), blocking=spans((70, 80), (75, 80))),
            [],
            (70, 10, 45, 0, 45),
            id="horovod",
        ),
        pytest.param(
            gloo(), HostCommunication(elsewhere=spans((10, 60))), [], (50, 0, 50, 0, 50), id="another thread"
        ),
        pytest.param(
            gloo((0, 20)),
            HostCommunication(blocking=spans((10, 20))),
            [(0, 20)],
            (20, 10, 40, 10, 40),
            id="data wait",
        ),
        pytest.param(
            gloo((-10, 10)),
            HostCommunication(blocking=spans((90, 120))),
            [],
            (20, 10, 45, 0, 45),
            id="clipped",
        ),
    ],
)
def test_host_time_lines_with_known_truth(
    events: TraceEvents, host: HostCommunication, waits: list[tuple[int, int]], wanted: tuple[float, ...]
) -> None:
    reading = read_host(events, WINDOW, host=host, data_waits=spans(*waits), operator_share=0.5)
    assert percent(reading) == wanted
    parts = reading.exposed_s + reading.computation_s + reading.data_wait_s + reading.idle_s
    assert parts == pytest.approx(reading.wall_s)


def test_operators_fill_a_share_of_the_free_time() -> None:
    events = from_columns(
        [
            ("aten::mm", 0, 30 * MS, MAIN, False, False),
            ("aten::add", 20 * MS, 40 * MS, MAIN, False, False),  # counts once where they overlap
            ("aten::copy_", 50 * MS, 60 * MS, MAIN, False, False),  # within a call that communicates
        ]
    )
    host = HostCommunication(blocking=spans((50, 90)))
    share = operator_share(events, WINDOW, thread=MAIN, host=host, data_waits=spans((90, 100)))
    assert share == pytest.approx(40 / 50)
    assert operator_share(events, (50 * MS, 90 * MS), thread=MAIN, host=host) == 0.0


def test_stretches_add_up_and_travel_between_ranks() -> None:
    one = CommunicationReading(
        wall_s=2.0,
        total_s=1.0,
        exposed_s=0.5,
        computation_s=1.0,
        data_wait_s=0.25,
        idle_s=0.25,
        collectives=3,
    )
    both = one + one
    assert (both.wall_s, both.hidden_s, both.overhead_percent, both.collectives) == (4.0, 1.0, 25.0, 6)
    assert CommunicationReading.from_values(both.to_values()) == both
    assert CommunicationReading().overhead_percent == 0.0


def test_the_last_to_arrive_waits_for_nobody() -> None:
    assert straggler_waits([0.75, 0.25, 0.5]) == [0.5, 0.0, 0.25]
    assert straggler_waits([0.25]) == [0.0]
