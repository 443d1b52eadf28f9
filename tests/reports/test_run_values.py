from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from lightning_itwin.records import Run, RunOutcome
from lightning_itwin.records.run_folder import rank_file
from lightning_itwin.reports.run_values import RunValues, read_run_values
from tests.reports.synthetic import carbon, epoch, gpu, window, write_failure, write_records, write_run


def values_of(folder: Path, root: Path) -> RunValues:
    return read_run_values(Run.read(folder), root)


def test_an_epoch_takes_as_long_as_its_slowest_rank_and_the_warm_up_does_not_count(tmp_path: Path) -> None:
    records = [
        *(epoch(0, rank, 90.0) for rank in (0, 1)),
        epoch(1, 0, 10.0),
        epoch(1, 1, 12.0),
        epoch(2, 0, 11.0),
        epoch(2, 1, 10.0),
        epoch(3, 0, 14.0),
        epoch(3, 1, 13.0),
    ]
    run = values_of(write_run(tmp_path, "ddp", 2, 0, 0.0, records=records), tmp_path)
    assert run.ok
    assert run.epoch_times_s == (12.0, 11.0, 14.0)
    assert run.epoch_time_s == 12.0
    assert run.epochs == 4
    assert run.samples_per_s == pytest.approx(6400 / 12)
    assert run.data_wait_percent == pytest.approx(10.0)
    assert run.notes == ()


def test_validation_is_no_training(tmp_path: Path) -> None:
    records = [epoch(0, 0, 9.0), epoch(1, 0, 2.0), epoch(1, 0, 50.0, stage="validate")]
    assert values_of(write_run(tmp_path, "ddp", 1, 0, 0.0, records=records), tmp_path).epoch_time_s == 2.0


def test_a_single_epoch_counts_although_it_warms_up(tmp_path: Path) -> None:
    run = values_of(write_run(tmp_path, "ddp", 1, 0, 0.0, records=[epoch(0, 0, 9.0)]), tmp_path)
    assert run.epoch_time_s == 9.0
    assert "warm-up" in run.notes[0]


def test_an_epoch_that_was_trained_again_after_a_resume_counts_once(tmp_path: Path) -> None:
    records = [
        epoch(0, 0, 9.0),
        epoch(1, 0, 5.0),
        epoch(1, 0, 7.0, warmup=True),
        epoch(2, 0, 2.0),
    ]
    run = values_of(write_run(tmp_path, "ddp", 1, 0, 0.0, records=records), tmp_path)
    assert run.epoch_times_s == (2.0,)


def test_ranks_without_rows_are_told_of(tmp_path: Path) -> None:
    records = [epoch(0, 0, 9.0), epoch(1, 0, 2.0)]
    run = values_of(write_run(tmp_path, "ddp", 4, 0, 0.0, records=records), tmp_path)
    assert "3 of 4 ranks" in run.notes[0]


def test_communication_is_weighed_by_wall_time_over_ranks_and_windows(tmp_path: Path) -> None:
    records = [
        epoch(1, 0, 2.0),
        epoch(1, 1, 2.0),
        window(0, wall_s=1.0, exposed_s=0.5, total_s=0.6, wait_s=0.1, cost_percent=0.2),
        window(0, wall_s=3.0, exposed_s=0.1, total_s=0.6, wait_s=None, first_step=200, cost_percent=0.6),
        window(1, wall_s=1.0, exposed_s=0.0, total_s=0.3, wait_s=0.0, cost_percent=0.4),
    ]
    run = values_of(write_run(tmp_path, "ddp", 2, 0, 0.0, records=records), tmp_path)
    assert run.communication_overhead_percent == pytest.approx(100 * 0.6 / 5)
    assert run.communication_percent == pytest.approx(100 * 1.5 / 5)
    assert run.communication_wait_percent == pytest.approx(100 * 0.1 / 2)
    assert run.profiler_cost_percent == pytest.approx((0.6 + 0.4) / 2)


def test_carbon_is_the_last_word_of_every_node(tmp_path: Path) -> None:
    records = [
        epoch(1, 0, 2.0),
        carbon(0.5, node="a", second=100, epoch=0),
        carbon(0.9, node="a", second=200, emissions_kg=0.2, measured_percent=50.0),
        carbon(0.1, node="b", second=200, emissions_kg=0.1, measured_percent=100.0),
    ]
    run = values_of(write_run(tmp_path, "ddp", 1, 0, 0.0, records=records), tmp_path)
    assert run.energy_kwh == pytest.approx(1.0)
    assert run.emissions_kg == pytest.approx(0.3)
    assert run.measured_percent == pytest.approx(55.0)
    assert run.per_1000_samples("energy_kwh") == pytest.approx(1000 / 19_200)


def test_emissions_are_unknown_where_a_node_does_not_know_its_grid(tmp_path: Path) -> None:
    records = [epoch(1, 0, 2.0), carbon(0.9, node="a"), carbon(0.1, node="b", emissions_kg=None)]
    run = values_of(write_run(tmp_path, "ddp", 1, 0, 0.0, records=records), tmp_path)
    assert run.energy_kwh == pytest.approx(1.0)
    assert run.emissions_kg is None


@pytest.mark.parametrize("ranks", [1, 4], ids=["one rank writes", "every rank writes"])
def test_gpu_energy_is_that_of_four_gpus_once(tmp_path: Path, ranks: int) -> None:
    """300 W x 60 s x 4 = 20.00 Wh, however many ranks tell of the same devices."""
    records = [epoch(1, rank, 2.0) for rank in range(4)]
    records += [
        gpu(index, second, rank=rank)
        for rank in range(ranks)
        for index in range(4)
        for second in (0.0, 1.0, 7.5, 30.0, 60.0)
    ]
    run = values_of(write_run(tmp_path, "ddp", 4, 0, 0.0, records=records), tmp_path)
    assert run.gpu_energy_wh == pytest.approx(20.0)
    assert run.gpu_utilization_percent == pytest.approx(80.0)


def test_what_was_not_measured_is_none_and_never_zero(tmp_path: Path) -> None:
    run = values_of(write_run(tmp_path, "ddp", 1, 0, 0.0, records=[epoch(1, 0, 2.0)]), tmp_path)
    for name in (
        "gpu_utilization_percent",
        "gpu_energy_wh",
        "communication_overhead_percent",
        "energy_kwh",
        "emissions_kg",
        "measured_percent",
        "profiler_cost_percent",
    ):
        assert getattr(run, name) is None
    assert run.per_epoch("energy_kwh") is None


def test_a_broken_row_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "ddp", 1, 0, 0.0, records=[epoch(0, 0, 9.0), epoch(1, 0, 2.0)])
    with open(rank_file(folder, 0), "a", encoding="utf-8") as rows:
        rows.write('{"kind": "epoch", "epoch": 2, "time_')
    write_records(folder, [epoch(3, 0, float("nan")), epoch(4, 0, 4.0)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = values_of(folder, tmp_path)
    assert run.epoch_times_s == (2.0, 4.0)
    assert len(caught) == 2
    assert "time_s" in str(caught[1].message)


def test_a_failed_run_tells_why(tmp_path: Path) -> None:
    run = values_of(write_failure(tmp_path, "horovod", 2, 1, "exit code 1"), tmp_path)
    assert (run.strategy, run.workers, run.repeat, run.status) == ("horovod", 2, 1, "failed")
    assert run.reason == "exit code 1"
    assert "RuntimeError" in run.log_tail


def test_a_world_of_another_size_than_asked_for_is_a_failure(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "horovod", 1, 0, 5.0)
    RunOutcome(strategy="horovod", workers=2, repeat=0, status="ok", wall_s=1.0).write(folder)
    run = values_of(folder, tmp_path)
    assert run.status == "failed"
    assert "2 workers were asked for, the training ran with 1" in run.reason


def test_a_run_without_a_finished_epoch_is_a_failure(tmp_path: Path) -> None:
    run = values_of(write_run(tmp_path, "ddp", 1, 0, 0.0, records=[carbon(0.1)]), tmp_path)
    assert run.status == "failed"
    assert "EpochTimer" in run.reason
