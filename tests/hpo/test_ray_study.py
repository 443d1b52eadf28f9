"""Studies on a real Ray cluster of two nodes on this machine, where Ray is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("ray")

from lightning_itwin.hpo.study_reading import read_study
from lightning_itwin.launch import World
from lightning_itwin.launch.ray import RayLauncher
from tests.launch.slurm_daemons import wait_for

pytestmark = pytest.mark.world
ROOT = Path(__file__).parents[2]


def start(folder: Path, address: str, **plan: object) -> subprocess.Popen[str]:
    given = json.dumps({"launcher": "ray", "threads_per_worker": 1, **plan})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hpo.driver_process", str(folder), "3", given],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": address},
    )


def test_a_study_on_ray_goes_on_after_its_driver_was_killed(ray_cluster: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    first = start(folder, ray_cluster)
    wait_for(lambda: (folder / "trained").exists(), 90.0)
    first.kill()
    first.wait()
    second = start(folder, ray_cluster)
    told, _ = second.communicate(timeout=120)
    assert second.returncode == 0, told
    rows = read_study(folder).rows
    assert {row.state for row in rows} <= {"complete", "paused", "lost"}
    assert len({row.configuration for row in rows}) == 3
    assert {row.reason for row in rows if row.state == "lost"} == {"its driver and its processes are gone"}


def test_what_the_cluster_cannot_hold_is_said_first(ray_cluster: str, tmp_path: Path) -> None:
    driver = start(tmp_path / "study", ray_cluster, workers_per_trial=5)
    told, _ = driver.communicate(timeout=90)
    assert driver.returncode == 2
    assert "error: launcher ray: a world needs 1 machines with 5 CPU" in told


def test_two_nodes_decide_alike_over_stopped_trials(ray_cluster: str, tmp_path: Path) -> None:
    asked = World(
        command=("-m", "tests.hpo.pruned_world", str(tmp_path), "6"),
        workers=2,
        nodes=2,
        starter="ranks",
        log=tmp_path / "world.log",
        environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        timeout_s=150.0,
    )
    end = RayLauncher(ray_cluster).start(asked).wait()
    assert end.status == "ok", end
    first, second = (json.loads((tmp_path / f"steps-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
