from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from lightning_itwin.records import (
    CarbonRecord,
    CommunicationRecord,
    EpochRecord,
    GPURecord,
    Record,
    RecordWriter,
    read_records,
)
from lightning_itwin.records.jsonl import decode, encode


def epoch_record(epoch: int = 0, time_s: float = 1.5) -> EpochRecord:
    return EpochRecord(
        time_unix_s=1000.0,
        rank=0,
        epoch=epoch,
        stage="train",
        time_s=time_s,
        steps=10,
        samples=80,
        world_samples=160,
        step_time_median_s=0.1,
        step_time_p95_s=0.2,
        data_wait_s=None,
        warmup=False,
    )


RECORDS: list[Record] = [
    epoch_record(),
    GPURecord(
        time_unix_s=1.0,
        rank=3,
        node="node7",
        index=0,
        uuid="GPU-1",
        name="H200 „Größe“",
        utilization_percent=100.0,
        memory_gib=1.0,
        memory_total_gib=140.0,
        power_w=700.0,
        temperature_c=50.0,
        energy_wh=0.0,
        energy_source="counter",
    ),
    CommunicationRecord(
        time_unix_s=1.0,
        rank=0,
        epoch=1,
        first_step=5,
        steps=10,
        wall_s=1.0,
        total_s=0.5,
        exposed_s=0.25,
        hidden_s=0.25,
        computation_s=0.6,
        data_wait_s=0.0,
        idle_s=0.15,
        wait_s=None,
        overhead_percent=25.0,
        collectives=10,
        cost_s=0.01,
        cost_percent=0.1,
        source="cpu-trace",
    ),
    CarbonRecord(
        time_unix_s=1.0,
        rank=0,
        node="node7",
        epoch=None,
        duration_s=60.0,
        energy_kwh=0.5,
        cpu_energy_kwh=0.25,
        gpu_energy_kwh=None,
        ram_energy_kwh=0.25,
        measured_percent=50.0,
        emissions_kg=None,
        intensity_g_per_kwh=None,
        country_iso_code=None,
        samples=100,
        cpu_source="rapl",
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_record_comes_back_as_it_was(tmp_path: Path, record: Record) -> None:
    writer = RecordWriter(tmp_path / "deep" / "rank-0000.jsonl")
    writer.write(record)
    writer.close()
    assert list(read_records(writer.path)) == [record]


def test_no_file_before_the_first_record(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "run" / "rank-0000.jsonl")
    writer.close()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_lacks_becomes_null(value: float) -> None:
    line = encode(epoch_record(time_s=value))
    assert json.loads(line)["time_s"] is None
    assert "NaN" not in line
    assert "Infinity" not in line


def test_fields_of_a_newer_version_are_passed_over() -> None:
    fields = {**json.loads(encode(RECORDS[0])), "a_later_idea": [1, 2]}
    assert decode(json.dumps(fields)) == RECORDS[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "Expecting value"),
        ('{"kind": "epoch", "rank"', "Expecting"),
        ("[1, 2]", "not a record of a known kind"),
        ("7", "not a record of a known kind"),
        ("{}", "not a record of a known kind"),
        ('{"kind": "weather"}', "known kind (epoch, wall_time, gpu, communication, carbon)"),
        ('{"kind": ["epoch"]}', "not a record of a known kind"),
        ('{"kind": "epoch", "rank": 0}', "incomplete epoch record"),
    ],
)
def test_a_broken_line_says_what_is_wrong(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        decode(line)


def test_a_half_written_last_line_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "rank-0000.jsonl"
    whole = encode(epoch_record()) + "\n"
    path.write_text(whole + whole[:40], encoding="utf-8")
    with pytest.warns(UserWarning, match=r"rank-0000\.jsonl:2: row passed over"):
        assert list(read_records(path)) == [epoch_record()]


def test_a_line_cut_within_a_letter_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rank-0000.jsonl"
    path.write_bytes(encode(epoch_record()).encode() + b'\n\n{"kind": "gpu", "name": "Gr\xc3')
    with pytest.warns(UserWarning, match="rank-0000.jsonl:3"):
        assert list(read_records(path)) == [epoch_record()]


def test_a_new_writer_leaves_a_broken_row_alone_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rank-0000.jsonl"
    path.write_text(encode(epoch_record(0)) + '\n{"kind": "ep', encoding="utf-8")
    writer = RecordWriter(path)
    writer.write(epoch_record(1))
    writer.close()
    with pytest.warns(UserWarning, match="rank-0000.jsonl:2"):
        assert list(read_records(path)) == [epoch_record(0), epoch_record(1)]


def test_a_writer_can_be_closed_and_goes_on(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "rank-0000.jsonl")
    for epoch in range(3):
        writer.write(epoch_record(epoch))
        writer.close()
        writer.close()
    assert [record.epoch for record in read_records(writer.path)] == [0, 1, 2]  # type: ignore[attr-defined]


def test_a_write_that_is_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    writer = RecordWriter(tmp_path / "rank-0000.jsonl")
    writer.write(epoch_record(0))
    writer.write(epoch_record(1))
    writer.close()
    assert list(read_records(writer.path)) == [epoch_record(0), epoch_record(1)]


def test_a_full_disk_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, budget = os.write, [30]

    def write_until_full(descriptor: int, data: bytes) -> int:
        if not budget[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, data[: budget[0]])
        budget[0] -= written
        return written

    writer = RecordWriter(tmp_path / "rank-0000.jsonl")
    writer.write(epoch_record(0))
    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(OSError, match="No space left"):
        writer.write(epoch_record(1))
    budget[0] = 10**6  # somebody has cleaned up
    writer.write(epoch_record(2))
    writer.close()
    with pytest.warns(UserWarning, match="rank-0000.jsonl:2"):
        assert list(read_records(writer.path)) == [epoch_record(0), epoch_record(2)]


def test_threads_may_share_a_writer(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "rank-0000.jsonl")

    def write(start: int) -> None:
        for epoch in range(start, start + 100):
            writer.write(epoch_record(epoch))
            if epoch % 10 == 0:
                writer.close()

    threads = [threading.Thread(target=write, args=(1000 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    epochs = sorted(record.epoch for record in read_records(writer.path))  # type: ignore[attr-defined]
    assert epochs == [1000 * number + step for number in range(8) for step in range(100)]


def test_kill_9_loses_at_most_the_row_being_written(tmp_path: Path) -> None:
    path = tmp_path / "rank-0000.jsonl"
    script = f"""
import itertools
from pathlib import Path
from lightning_itwin.records import GPURecord, RecordWriter
writer = RecordWriter(Path({str(path)!r}))
for number in itertools.count():
    writer.write(GPURecord(
        time_unix_s=float(number), rank=0, node="n" * 2000, index=0, uuid="u", name="g",
        utilization_percent=None, memory_gib=None, memory_total_gib=None, power_w=None,
        temperature_c=None, energy_wh=None,
        energy_source=None,
    ))
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s and (not path.exists() or path.stat().st_size < 500_000):
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = list(read_records(path))
    assert len(caught) <= 1
    assert len(rows) > 100
    assert [row.time_unix_s for row in rows] == [float(number) for number in range(len(rows))]
