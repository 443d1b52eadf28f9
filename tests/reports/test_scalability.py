from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lightning_itwin.records import RunOutcome
from lightning_itwin.records.run_folder import MANIFEST
from lightning_itwin.reports.cells import COLUMNS, Cell
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.scalability import read_scalability
from tests.reports.synthetic import carbon, epoch, gpu, write_failure, write_run


def cells_of(root: Path) -> dict[tuple[str, int], Cell]:
    return {(cell.row.strategy, cell.row.workers): cell for cell in read_scalability(root).cells}


def test_the_columns_are_the_promised_ones() -> None:
    assert COLUMNS == (
        "strategy",
        "workers",
        "repeats",
        "epoch_time_s",
        "epoch_time_low_s",
        "epoch_time_high_s",
        "speedup",
        "efficiency",
        "samples_per_s",
        "gpu_utilization_percent",
        "gpu_energy_wh",
        "communication_overhead_percent",
        "energy_kwh",
        "emissions_kg",
        "status",
    )


def test_a_cell_is_the_median_of_its_repeats(tmp_path: Path) -> None:
    for repeat, time_s in enumerate((10.0, 11.0, 13.0)):
        write_run(tmp_path, "ddp", 1, repeat, time_s)
    row = cells_of(tmp_path)["ddp", 1].row
    assert (row.repeats, row.epoch_time_s, row.status) == (3, 11.0, "ok")
    assert row.epoch_time_low_s is not None
    assert row.epoch_time_high_s is not None
    assert row.epoch_time_low_s < 11 < row.epoch_time_high_s
    assert row.samples_per_s == pytest.approx(6400 / 11)


def test_each_strategy_is_compared_with_itself_on_one_worker(tmp_path: Path) -> None:
    for strategy, one, two in (("ddp", 10.0, 5.0), ("horovod", 12.0, 8.0)):
        write_run(tmp_path, strategy, 1, 0, one)
        write_run(tmp_path, strategy, 2, 0, two)
    cells = cells_of(tmp_path)
    assert cells["ddp", 1].row.speedup == 1.0
    assert cells["ddp", 2].row.speedup == pytest.approx(2.0)
    assert cells["horovod", 2].row.speedup == pytest.approx(1.5)
    assert cells["horovod", 2].row.efficiency == pytest.approx(0.75)
    assert cells["horovod", 2].serial_fraction == pytest.approx((1 / 1.5 - 0.5) / 0.5)


def test_without_a_run_on_one_worker_there_is_no_speedup_but_a_note(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    write_run(tmp_path, "deepspeed", 2, 0, 5.0)
    write_run(tmp_path, "deepspeed", 4, 0, 3.0)
    study = read_scalability(tmp_path)
    assert [row.speedup for row in study.rows] == [1.0, None, None]
    assert any("deepspeed on 2 workers: no speedup" in warning for warning in study.warnings)


def test_a_weak_scaling_is_judged_by_its_throughput(tmp_path: Path) -> None:
    for workers, time_s in ((1, 10.0), (4, 12.5)):
        records = [
            epoch(number, rank, time_s, world_samples=1000 * workers)
            for number in range(3)
            for rank in range(workers)
        ]
        write_run(tmp_path, "ddp", workers, 0, time_s, records=records, scaling="weak")
    row = cells_of(tmp_path)["ddp", 4].row
    assert row.speedup == pytest.approx(4 * 10 / 12.5)
    assert row.efficiency == pytest.approx(10 / 12.5)
    assert cells_of(tmp_path)["ddp", 4].serial_fraction is None


def test_ordinary_trainings_whose_work_grows_are_recognised_as_weak(tmp_path: Path) -> None:
    for workers in (1, 2):
        records = [
            epoch(number, rank, 10.0, world_samples=1000 * workers)
            for number in range(2)
            for rank in range(workers)
        ]
        write_run(tmp_path, "ddp", workers, 0, 0.0, records=records, sweep=False)
    study = read_scalability(tmp_path)
    assert study.scaling == "weak"
    assert study.rows[1].speedup == pytest.approx(2.0)


def test_a_strong_scaling_whose_work_is_not_the_same_is_corrected_and_told(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    records = [epoch(number, rank, 5.0, world_samples=4800) for number in range(3) for rank in range(2)]
    write_run(tmp_path, "ddp", 2, 0, 5.0, records=records)
    study = read_scalability(tmp_path)
    assert study.rows[1].speedup == pytest.approx((4800 / 5) / (6400 / 10))
    assert any("25 % more or fewer samples" in warning for warning in study.warnings)


def test_energy_of_repeats_is_a_mean_and_never_a_sum(tmp_path: Path) -> None:
    """20 Wh a run is 20 Wh, whether it was run once or three times."""
    for repeat in range(3):
        records = [epoch(number, 0, 10.0) for number in range(3)]
        records += [gpu(index, second) for index in range(4) for second in (0.0, 13.0, 60.0)]
        records.append(carbon(0.05))
        write_run(tmp_path, "ddp", 1, repeat, 10.0, records=records, accelerator="cuda")
        cell = cells_of(tmp_path)["ddp", 1]
        assert cell.row.gpu_energy_wh == pytest.approx(20.0)
        assert cell.row.energy_kwh == pytest.approx(0.05)
        assert cell.row.emissions_kg == pytest.approx(0.015)
        assert cell.epoch_energy_kwh == pytest.approx(0.05 / 3)
        assert cell.energy_kwh_per_1000_samples == pytest.approx(0.05 / 19.2)
        assert cell.row.gpu_utilization_percent == pytest.approx(80.0)


def test_failed_repeats_do_not_count_and_are_told(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    write_failure(tmp_path, "ddp", 1, 1)
    write_failure(tmp_path, "horovod", 1, 0)
    partial, failed = read_scalability(tmp_path).rows
    assert (partial.status, partial.repeats, partial.epoch_time_s) == ("partial", 1, 10.0)
    assert (failed.status, failed.repeats, failed.epoch_time_s) == ("failed", 0, None)
    assert {value for name, value in dataclasses.asdict(failed).items() if name in COLUMNS[3:-1]} == {None}


def test_a_timeout_is_a_failure(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "ddp", 1, 0, 10.0)
    RunOutcome(strategy="ddp", workers=1, repeat=0, status="timeout", wall_s=9.0).write(folder)
    (row,) = read_scalability(tmp_path).rows
    assert row.status == "failed"


def test_ordinary_trainings_are_repeats_of_their_strategy(tmp_path: Path) -> None:
    for number in range(3):
        version = tmp_path / "lightning_logs" / f"version_{number}"
        write_run(version, "ddp", 2, 0, 10.0 + number, sweep=False)
    (row,) = read_scalability(tmp_path).rows
    assert (row.strategy, row.workers, row.repeats, row.epoch_time_s) == ("ddp", 2, 3, 11.0)


def test_a_broken_manifest_leaves_its_run_out_and_goes_on(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    broken = write_run(tmp_path, "ddp", 1, 1, 20.0)
    (broken / MANIFEST).write_text('{"run_id": "half', encoding="utf-8")
    study = read_scalability(tmp_path)
    assert study.rows[0].epoch_time_s == 10.0
    ((name, reason),) = study.left_out
    assert name == "records/ddp-w1-r1"
    assert "manifest.json" in reason
    assert any("was left out" in warning for warning in study.warnings)


def test_no_folder_no_runs_and_no_numbers_are_errors_that_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="there is no folder"):
        read_scalability(tmp_path / "none")
    with pytest.raises(ReportError, match=r"looked for manifest.json and outcome.json .*bench --output DIR"):
        read_scalability(tmp_path)
    write_run(tmp_path, "ddp", 1, 0, 0.0, records=[], sweep=False)
    with pytest.raises(ReportError, match=r"nothing was measured .*\n.*ddp-w1-r0: .*EpochTimer"):
        read_scalability(tmp_path)


def test_a_sweep_of_which_all_failed_is_told_of(tmp_path: Path) -> None:
    write_failure(tmp_path, "ddp", 1, 0)
    (row,) = read_scalability(tmp_path).rows
    assert row.status == "failed"


def test_a_gpu_is_missed_only_where_there_was_one(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    study = read_scalability(tmp_path)
    assert study.missing(gpu=True) == "n/a (no GPU)"
    assert study.missing(gpu=False) == "n/a"
    write_run(tmp_path, "ddp", 1, 0, 10.0, accelerator="cuda")
    assert read_scalability(tmp_path).missing(gpu=True) == "n/a"


def test_padding_of_a_small_data_set_is_not_more_work(tmp_path: Path) -> None:
    for workers, samples in ((1, 10), (4, 12)):
        records = [
            epoch(number, rank, 8.0 / workers, world_samples=samples)
            for number in range(2)
            for rank in range(workers)
        ]
        write_run(tmp_path, "ddp", workers, 0, 0.0, records=records)
    study = read_scalability(tmp_path)
    assert study.rows[1].speedup == pytest.approx(4.0)
    assert study.warnings == ()


def test_a_run_that_an_interrupted_sweep_left_without_an_end_does_not_count(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    cut = write_run(tmp_path, "ddp", 1, 1, 30.0)
    (cut / "outcome.json").unlink()
    study = read_scalability(tmp_path)
    assert (study.rows[0].repeats, study.rows[0].epoch_time_s, study.rows[0].status) == (1, 10.0, "ok")
    assert study.left_out[0][0] == "records/ddp-w1-r1"


def test_a_training_without_the_epoch_timer_is_reported_as_far_as_it_goes(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 0.0, records=[carbon(0.1)], sweep=False)
    study = read_scalability(tmp_path)
    assert (study.rows[0].epoch_time_s, study.rows[0].energy_kwh, study.rows[0].status) == (None, 0.1, "ok")
    assert any("EpochTimer()" in warning for warning in study.warnings)
