"""A study whose trials are jobs of HTCondor, on a pool of programs: no real one was tried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from lightning_itwin.hpo.study_reading import read_study
from lightning_itwin.hpo.trial_folder import TrialFolder
from tests.launch.condor_pool import write_programs

ROOT = Path(__file__).parents[2]


@pytest.mark.world
def test_trials_are_jobs_of_htcondor(tmp_path: Path) -> None:
    pool, study = write_programs(tmp_path / "pool"), tmp_path / "study"
    plan = {"launcher": "htcondor", "job": {"account": "virgo.dev", "+WantsGPU": False}}
    told = subprocess.run(
        [sys.executable, "-m", "tests.hpo.driver_process", str(study), "2", json.dumps(plan)],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{pool}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    rows = read_study(study).rows
    assert {row.state for row in rows} <= {"complete", "paused"}
    assert len({row.configuration for row in rows}) == 2
    description = (TrialFolder(study / "trials" / "0000").path / "world.sub").read_text()
    assert "accounting_group = virgo.dev\n" in description
    assert "+WantsGPU = false\n" in description
