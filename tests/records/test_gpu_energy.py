from __future__ import annotations

import pytest

from lightning_itwin.records import GPURecord
from lightning_itwin.records.gpu_energy import gpu_energy_wh, gpu_utilization_percent, summarize_gpus


def row(time_s: float, energy_wh: float | None, *, rank: int = 0, uuid: str = "GPU-a", **fields) -> GPURecord:
    values = {
        "node": "node0",
        "index": 0,
        "name": "Fake",
        "utilization_percent": 50.0,
        "memory_gib": 1.0,
        "memory_total_gib": 80.0,
        "power_w": 360.0,
        "temperature_c": 40.0,
        "energy_source": None if energy_wh is None else "counter",
    }
    return GPURecord(time_unix_s=time_s, rank=rank, uuid=uuid, energy_wh=energy_wh, **{**values, **fields})


def test_no_rows_are_no_energy_rather_than_zero() -> None:
    assert summarize_gpus([]) == ()
    assert gpu_energy_wh([]) is None
    assert gpu_utilization_percent([]) is None


def test_devices_add_up() -> None:
    rows = [row(t, t / 10, uuid=uuid) for t in (0.0, 10.0, 20.0) for uuid in ("GPU-a", "GPU-b")]
    assert gpu_energy_wh(rows) == 4.0


def test_ranks_on_one_device_count_once() -> None:
    rows = [row(t + rank * 0.1, t / 10, rank=rank) for t in (0.0, 10.0, 20.0) for rank in (0, 1, 2)]
    assert gpu_energy_wh(rows) == 2.0
    assert len(summarize_gpus(rows)) == 1


def test_the_rank_that_saw_most_counts() -> None:
    rows = [row(0, 0.0), row(5, 0.5), row(0, 0.0, rank=1), row(20, 2.0, rank=1)]
    assert gpu_energy_wh(rows) == 2.0
    assert summarize_gpus(rows)[0].duration_s == 20


def test_a_resumed_run_adds_up() -> None:
    rows = [row(0, 0.0), row(10, 1.0), row(100, 0.0), row(130, 3.0)]
    (summary,) = summarize_gpus(rows)
    assert summary.energy_wh == 4.0
    assert summary.duration_s == 40
    assert summary.power_w == pytest.approx(360.0)


def test_a_run_resumed_under_another_rank_adds_up() -> None:
    rows = [row(0, 0.0), row(10, 1.0), row(100, 0.0, rank=3), row(130, 3.0, rank=3)]
    assert gpu_energy_wh(rows) == 4.0


def test_a_resumed_run_of_two_ranks_on_one_device_counts_each_stretch_once() -> None:
    rows = [row(t, e, rank=r) for r in (0, 1) for t, e in ((0, 0.0), (10, 1.0), (100, 0.0), (110, 1.0))]
    assert gpu_energy_wh(rows) == 2.0


def test_one_unknown_device_makes_the_sum_unknown() -> None:
    rows = [row(0, 0.0), row(10, 1.0), row(10, None, uuid="GPU-b", power_w=None)]
    assert gpu_energy_wh(rows) is None
    assert [gpu.energy_wh for gpu in summarize_gpus(rows)] == [1.0, None]


def test_a_mean_weighs_time_and_not_readings() -> None:
    # busy for 50 s, read twice; idle for 50 s, read fifty times
    rows = [row(0, 0.0, utilization_percent=0.0), row(25, 1.0, utilization_percent=100.0)]
    rows += [row(50, 2.0, utilization_percent=100.0)]
    rows += [row(51 + i, 2.0, utilization_percent=0.0) for i in range(50)]
    assert gpu_utilization_percent(rows) == pytest.approx(50.0)


def test_utilisation_is_the_mean_over_devices() -> None:
    rows = [row(0, 0.0), row(10, 1.0, utilization_percent=90.0)]
    rows += [row(t, t / 10, uuid="GPU-b", utilization_percent=30.0) for t in (0, 2, 4, 6)]
    rows += [row(0, 0.0, uuid="GPU-c", utilization_percent=None)]
    assert gpu_utilization_percent(rows) == pytest.approx(60.0)


def test_one_reading_is_its_own_mean() -> None:
    (summary,) = summarize_gpus([row(5, 0.0, utilization_percent=7.0)])
    assert (summary.utilization_percent, summary.power_w, summary.duration_s) == (7.0, 360.0, 0.0)


def test_peaks_reasons_and_sources() -> None:
    rows = [
        row(0, 0.0, memory_gib=3.0, temperature_c=70.0, throttle_reasons=""),
        row(1, 0.1, throttle_reasons="sw_power_cap", energy_source="trapezoid"),
        row(2, 0.2, throttle_reasons="hw_slowdown+sw_power_cap"),
    ]
    (summary,) = summarize_gpus(rows)
    assert (summary.memory_gib, summary.temperature_c) == (3.0, 70.0)
    assert summary.throttle_reasons == "hw_slowdown+sw_power_cap"
    assert summary.energy_source == "counter+trapezoid"
    assert summarize_gpus([row(0, 0.0)])[0].throttle_reasons is None
