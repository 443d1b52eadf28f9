from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_itwin.reports import ReportError
from lightning_itwin.reports.files import forecast_json, summary
from lightning_itwin.reports.forecast import forecast
from lightning_itwin.reports.forecast_rows import FORECAST_COLUMNS, Forecast, forecast_lines
from lightning_itwin.reports.scalability import Scalability, read_scalability
from tests.reports.synthetic import epoch, window, write_failure, write_run

Law = Callable[[int], float]


def study_of(root: Path, laws: dict[str, Law], workers: tuple[int, ...], repeats: int = 2) -> Scalability:
    for strategy, law in laws.items():
        for count in workers:
            for repeat in range(repeats):
                write_run(root, strategy, count, repeat, law(count) * (1 + 0.002 * repeat))
    return read_scalability(root)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Scalability:
    laws: dict[str, Law] = {"ddp": lambda p: 100 / p + 2, "horovod": lambda p: 130 / p + 8}
    return study_of(tmp_path_factory.mktemp("sweep"), laws, (1, 2, 4, 8))


@pytest.fixture(scope="module")
def found(study: Scalability) -> Forecast:
    return forecast(study, (6, 16, 28), worker_hour_price=2.0)


def test_there_is_a_row_a_strategy_and_number_of_workers(found: Forecast) -> None:
    assert [(row.strategy, row.workers, row.extrapolated) for row in found.rows] == [
        ("ddp", 6, False),
        ("ddp", 16, True),
        ("ddp", 28, True),
        ("horovod", 6, False),
        ("horovod", 16, True),
        ("horovod", 28, True),
    ]
    for row in found.rows:
        work, serial = (100, 2) if row.strategy == "ddp" else (130, 8)
        truth = work / row.workers + serial
        assert row.low_s < truth < row.high_s
        assert row.low_s <= row.epoch_time_s <= row.high_s
        assert row.efficiency == pytest.approx((work + serial) / row.workers / row.epoch_time_s, rel=0.01)


def test_cost_and_energy_are_those_of_a_run(study: Scalability, found: Forecast) -> None:
    epochs = study.counted[0].epochs
    for cell in found.cells:
        expected = cell.row.workers * epochs * cell.row.epoch_time_s / 3600
        assert cell.worker_hours.value == pytest.approx(expected)
        cost = found.cost(cell)
        assert cost is not None
        assert cost.value == pytest.approx(2 * expected)
        assert cell.energy_kwh is not None
        assert cell.energy_kwh.low is not None
        assert cell.energy_kwh.low <= cell.energy_kwh.value == cell.row.energy_kwh


def test_the_winner_and_the_knees_are_told(found: Forecast) -> None:
    assert set(found.winners) == {6, 16, 28}
    assert found.winners[16].startswith("ddp will be the fastest")
    by_strategy = {knee.strategy: knee for knee in found.knees}
    assert by_strategy["ddp"].reach == 32
    low, high = by_strategy["horovod"].workers.low, by_strategy["horovod"].workers.high
    assert low is not None
    assert high is not None
    assert low <= 130 / 8 <= high


def test_without_a_wish_twice_and_four_times_the_largest_is_forecast(study: Scalability) -> None:
    assert {row.workers for row in forecast(study).rows} == {16, 32}
    assert forecast(study, ()) == Forecast()


def test_nothing_is_told_where_no_forecast_is_wanted(tmp_path: Path) -> None:
    assert forecast(study_of(tmp_path, {"ddp": lambda p: 10.0}, (2,)), ()) == Forecast()


def test_beyond_four_times_the_largest_it_is_refused(study: Scalability) -> None:
    with pytest.raises(ReportError, match=r"no forecast for 33, 64 workers: .* is 8, .* \(32\).* Measure 16"):
        forecast(study, (33, 16, 64))


def test_the_file_has_the_columns_that_are_promised(found: Forecast) -> None:
    rows = json.loads(forecast_json(found))
    assert [tuple(row) for row in rows] == [FORECAST_COLUMNS] * 6
    assert FORECAST_COLUMNS == (
        "strategy",
        "workers",
        "epoch_time_s",
        "low_s",
        "high_s",
        "efficiency",
        "energy_kwh",
        "extrapolated",
    )
    assert json.loads(forecast_json(Forecast())) == []


def test_the_summary_has_everything_else(study: Scalability, found: Forecast) -> None:
    told = json.loads(json.dumps(summary(study, (), found), allow_nan=False))["forecast"]
    assert told["cells"][0]["cost"]["value"] == pytest.approx(2 * told["cells"][0]["worker_hours"]["value"])
    assert [knee["strategy"] for knee in told["knees"]] == ["ddp", "horovod"]
    assert told["winners"]["28"] == found.winners[28]
    assert told["worker_hour_price"] == 2.0


def test_lines_tell_it_in_a_terminal(found: Forecast) -> None:
    lines = forecast_lines(found)
    assert lines[1].startswith("ddp on 16 workers: ")
    assert "a run costs" in lines[1]
    assert any(line.startswith("knee of ddp: ") for line in lines)
    assert any(line.startswith("on 28 workers ddp will be") for line in lines)
    assert lines[-1].startswith("note: everything was measured within one node")


def test_one_number_of_workers_is_not_enough(tmp_path: Path) -> None:
    found = forecast(study_of(tmp_path, {"ddp": lambda p: 10.0}, (2,)), (4,))
    assert found.rows == ()
    assert found.notes[0].startswith("no forecast for ddp: it was measured on 2 worker(s) alone")


def test_two_numbers_of_workers_make_wide_intervals_and_a_note(tmp_path: Path) -> None:
    found = forecast(study_of(tmp_path, {"ddp": lambda p: 100 / p + 2}, (1, 2)), (8,))
    (row,) = found.rows
    assert row.low_s < 100 / 8 + 2 < row.high_s
    assert (row.high_s - row.low_s) / row.epoch_time_s > 0.3
    assert any("two numbers of workers alone" in note for note in found.notes)


def test_failed_rows_are_told_and_left_out(tmp_path: Path) -> None:
    write_failure(tmp_path, "horovod", 8, 0, "RuntimeError: no")
    write_failure(tmp_path, "deepspeed", 2, 0, "RuntimeError: no")
    laws: dict[str, Law] = {"horovod": lambda p: 100 / p + 2}
    study_of(tmp_path, laws, (1, 2, 4))
    found = forecast(study_of(tmp_path, {"ddp": laws["horovod"]}, (1, 2, 4, 8)), (16, 32))
    assert [(row.strategy, row.workers) for row in found.rows] == [("ddp", 16), ("ddp", 32), ("horovod", 16)]
    for told in (
        "horovod failed on 8 workers; its forecast knows nothing of them",
        "deepspeed failed on 2 workers",
        "horovod was measured on at most 4 workers, so 32 are too far",
    ):
        assert told in found.notes
    assert any(note.startswith("no forecast for deepspeed: it was not measured") for note in found.notes)


def test_a_largest_world_that_failed_costs_its_forecast_and_not_the_report(tmp_path: Path) -> None:
    write_failure(tmp_path, "ddp", 8, 0, "RuntimeError: no")
    study = study_of(tmp_path, {"ddp": lambda p: 100 / p + 2}, (1, 2))
    found = forecast(study, (32,))
    assert found.rows == ()
    assert "ddp was measured on at most 2 workers, so 32 are too far" in found.notes
    with pytest.raises(ReportError, match="no forecast for 33 workers"):
        forecast(study, (33,))


def test_where_all_failed_the_reason_is_told(tmp_path: Path) -> None:
    write_failure(tmp_path, "ddp", 8, 0, "RuntimeError: no")
    found = forecast(read_scalability(tmp_path), (16,))
    assert found.rows == ()
    assert found.notes[0] == "ddp failed on 8 workers"


def test_noisy_repeats_are_told_and_widen_the_interval(tmp_path: Path) -> None:
    for count in (1, 2, 4):
        for repeat, factor in enumerate((0.7, 1.0, 1.4)):
            write_run(tmp_path / "noisy", "ddp", count, repeat, (100 / count + 2) * factor)
    noisy = forecast(read_scalability(tmp_path / "noisy"), (8,))
    quiet = forecast(study_of(tmp_path / "quiet", {"ddp": lambda p: 100 / p + 2}, (1, 2, 4)), (8,))
    assert any(note.startswith("the repeats of ddp scatter") for note in noisy.notes)
    assert noisy.rows[0].high_s - noisy.rows[0].low_s > 2 * (quiet.rows[0].high_s - quiet.rows[0].low_s)


@pytest.mark.parametrize(("batch_sizes", "told"), [((32, 16, 8), True), ((32, 32, 32), False)])
def test_communication_that_will_come_out_is_told(
    tmp_path: Path, batch_sizes: tuple[int, ...], told: bool
) -> None:
    for count, batch in zip((1, 2, 4), batch_sizes):
        windows = [window(rank, exposed_s=0.01, total_s=0.3) for rank in range(count)]
        epochs = [epoch(number, rank, 40 / count + 1) for rank in range(count) for number in (0, 1)]
        write_run(tmp_path, "ddp", count, 0, 0.0, records=[*epochs, *windows], batch_size=batch)
    notes = forecast(read_scalability(tmp_path), (16,)).notes
    assert (
        any("hides most of its communication (30 % of the time on 4 workers)" in note for note in notes)
        == told
    )
    assert any("from about 9 workers on" in note for note in notes) == told


def test_one_repeat_has_no_noise_to_go_by(tmp_path: Path) -> None:
    found = forecast(study_of(tmp_path, {"ddp": lambda p: 100 / p + 2}, (1, 2, 4), repeats=1), (8,))
    assert any("one repeat a row" in note for note in found.notes)
    assert math.isfinite(found.rows[0].high_s)


def test_efficiency_is_against_the_smallest_where_one_was_not_measured(tmp_path: Path) -> None:
    found = forecast(study_of(tmp_path, {"ddp": lambda p: 100 / p + 2}, (4, 8, 16)), (32,))
    (row,) = found.rows
    assert row.efficiency == pytest.approx((100 / 4 + 2) * 4 / 32 / row.epoch_time_s, rel=0.01)
