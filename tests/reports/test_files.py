from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from lightning_itwin.reports import files
from lightning_itwin.reports.cells import COLUMNS
from lightning_itwin.reports.recommendation import recommend
from lightning_itwin.reports.scalability import read_scalability
from tests.reports.synthetic import carbon, epoch, gpu, window, write_failure, write_run


def test_json_and_csv_hold_the_columns_and_leave_open_what_was_not_measured(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    rows = read_scalability(tmp_path).rows
    (told,) = json.loads(files.results_json(rows))
    assert tuple(told) == COLUMNS
    assert told["gpu_energy_wh"] is None
    assert told["epoch_time_s"] == 10.0
    (line,) = csv.DictReader(io.StringIO(files.results_csv(rows)))
    assert tuple(line) == COLUMNS
    assert (line["gpu_energy_wh"], line["epoch_time_s"], line["strategy"]) == ("", "10.0", "ddp")


def test_pandas_reads_the_results(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_run(tmp_path, "ddp", 1, 0, 10.0)
    write_run(tmp_path, "ddp", 2, 0, 6.0)
    frame = pandas.read_json(io.StringIO(files.results_json(read_scalability(tmp_path).rows)))
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame.epoch_time_s) == [10.0, 6.0]


def test_the_summary_tells_everything_else_as_plain_json(tmp_path: Path) -> None:
    records = [epoch(0, 0, 9.0), epoch(1, 0, 9.0), window(0), carbon(0.1), gpu(0, 0.0), gpu(0, 60.0)]
    write_run(tmp_path, "ddp", 1, 0, 10.0, records=records, accelerator="cuda", device_name="NVIDIA H200")
    write_failure(tmp_path, "horovod", 1, 0, "it burns")
    study = read_scalability(tmp_path)
    told = json.loads(json.dumps(files.summary(study, recommend(study)), allow_nan=False))
    assert [found["goal"] for found in told["recommendation"]] == [
        "shortest time",
        "least energy",
        "best efficiency",
    ]
    assert told["recommendation"][0]["line"].startswith("Shortest time: ddp on 1 worker")
    (failure,) = told["failures"]
    assert failure["reason"] == "it burns"
    assert "RuntimeError" in failure["log_tail"]
    assert told["environment"]["device_name"] == ["NVIDIA H200"]
    assert told["environment"]["GPUs of node0"] == ["1 x NVIDIA H200"]
    assert told["environment"]["version of torch"] == ["2.13.0"]
    ddp, horovod = told["cells"]
    assert ddp["profiler_cost_percent"] == 0.5
    assert ddp["measured_percent"] == 0.0
    assert ddp["energy_kwh_per_1000_samples"] == pytest.approx(0.1 / 19.2)
    assert horovod["status"] == "failed"
    run = next(run for run in told["runs"] if run["strategy"] == "ddp")
    assert run["manifest"]["git_commit"] == "0123456789abcdef"
    assert run["gpus"][0]["energy_wh"] == pytest.approx(5.0)
    assert run["epoch_times_s"] == [9.0]
