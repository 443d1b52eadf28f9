from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_itwin.records import CarbonRecord, CommunicationRecord, find_runs

EXAMPLE = Path(__file__).parents[2] / "examples" / "three_lines.py"


def run_example(folder: Path, *arguments: str) -> str:
    told = subprocess.run(
        [sys.executable, str(EXAMPLE), "--epochs", "1", "--country", "DEU", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLE.parents[1])},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    return told.stdout


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    said = run_example(tmp_path)
    assert f"Records and scalars: {tmp_path / 'lightning_logs' / 'version_0'}" in said
    [run] = find_runs(tmp_path)
    assert run.manifest is not None
    assert run.of(CarbonRecord)[-1].samples == 4096
    assert len(run.of(CommunicationRecord)) == 1


@pytest.mark.world
def test_the_example_runs_on_two_workers(tmp_path: Path) -> None:
    run_example(tmp_path, "--strategy", "ddp", "--devices", "2")
    [run] = find_runs(tmp_path)
    assert run.manifest is not None
    assert run.manifest.world_size == 2
    assert run.of(CarbonRecord)[-1].samples == 4096
    assert {row.rank for row in run.of(CommunicationRecord)} == {0, 1}
