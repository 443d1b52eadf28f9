from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lightning_itwin.records import (
    CarbonRecord,
    EpochRecord,
    GPURecord,
    RecordWriter,
    Run,
    RunOutcome,
    find_runs,
    run_folders,
)
from lightning_itwin.records.run_folder import MANIFEST, rank_file
from tests.records.test_jsonl import RECORDS
from tests.records.test_manifest import MANIFEST as MANIFEST_ROW

OUTCOME = RunOutcome(
    strategy="ddp", workers=2, repeat=0, status="failed", wall_s=3.0, reason="exit code 1", log_tail="boom"
)


def write_rows(folder: Path, rank: int) -> None:
    writer = RecordWriter(rank_file(folder, rank))
    for record in RECORDS:
        writer.write(dataclasses.replace(record, rank=rank))
    writer.close()


def test_a_run_is_read_back_with_the_rows_of_all_ranks(tmp_path: Path) -> None:
    MANIFEST_ROW.write(tmp_path / MANIFEST)
    OUTCOME.write(tmp_path)
    for rank in (1, 0):
        write_rows(tmp_path, rank)
    run = Run.read(tmp_path)
    assert run.manifest == MANIFEST_ROW
    assert run.outcome == OUTCOME
    assert [record.rank for record in run.records] == [0] * len(RECORDS) + [1] * len(RECORDS)
    for kind in (EpochRecord, GPURecord, CarbonRecord):
        assert [type(record) for record in run.of(kind)] == [kind, kind]


def test_a_run_that_died_early_has_an_outcome_alone(tmp_path: Path) -> None:
    OUTCOME.write(tmp_path)
    assert Run.read(tmp_path) == Run(folder=tmp_path, manifest=None, outcome=OUTCOME, records=())


def test_runs_are_found_below_a_folder_in_order(tmp_path: Path) -> None:
    OUTCOME.write(tmp_path / "b")
    MANIFEST_ROW.write(tmp_path / "a" / "deep" / MANIFEST)
    (tmp_path / "c").mkdir()
    assert [run.folder for run in find_runs(tmp_path)] == [tmp_path / "a" / "deep", tmp_path / "b"]
    assert run_folders(tmp_path / "a" / "deep") == [tmp_path / "a" / "deep"]
    assert list(find_runs(tmp_path / "c")) == []


def test_a_broken_manifest_names_its_file(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.json is not a RunManifest"):
        Run.read(tmp_path)
