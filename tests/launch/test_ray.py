"""Worlds on a real Ray cluster of two nodes on this machine, where Ray is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from lightning_itwin.launch import World
from lightning_itwin.launch.local import process_start
from lightning_itwin.launch.ray import RayLauncher
from lightning_itwin.launch.world import KILLED
from lightning_itwin.optional import require
from tests.launch.programs import FAIL, KILL, LONG
from tests.launch.slurm_daemons import wait_for

pytestmark = pytest.mark.world
ROOT = Path(__file__).parents[2]
SAY = """
import json, os, sys
from pathlib import Path
keys = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "LIGHTNING_ITWIN_ADDRESS", "GREETING")
found = {key: os.environ[key] for key in keys}
Path(sys.argv[1], f"{sys.argv[2]}-{os.environ['RANK']}").write_text(json.dumps(found))
"""
DRIVER = """
import sys, time
from pathlib import Path
from lightning_itwin.launch import World
from lightning_itwin.launch.ray import RayLauncher
folder = Path(sys.argv[1])
RayLauncher().start(World(command=(str(folder / "long.py"), str(folder), "long"), workers=2, nodes=2,
                          starter="ranks", log=folder / "log"))
time.sleep(60)
"""


@pytest.fixture
def launcher(ray_cluster: str) -> RayLauncher:
    return RayLauncher(ray_cluster)


def world(folder: Path, name: str, code: str, **changes: Any) -> World:
    script = folder / f"{name}.py"
    script.write_text(textwrap.dedent(code))
    environment = {"OMP_NUM_THREADS": "1", "GREETING": "hello", "PYTHONPATH": str(ROOT)}
    given: dict[str, Any] = {
        "workers": 2,
        "nodes": 2,
        "timeout_s": 60.0,
        "environment": environment,
        **changes,
    }
    return World(
        command=(str(script), str(folder), name), starter="ranks", log=folder / f"{name}.log", **given
    )


def places_are_free() -> bool:
    return require("ray", extra="ray").available_resources().get("CPU") == 8.0


def pids_in(folder: Path) -> list[int]:
    return [int(text) for path in folder.glob("*-[0-9]") if (text := path.read_text()).isdigit()]


def nobody_lives(folder: Path) -> bool:
    return not [pid for pid in pids_in(folder) if process_start(pid) is not None]


def test_a_world_over_two_nodes_knows_its_ranks(launcher: RayLauncher, tmp_path: Path) -> None:
    asked = world(tmp_path, "say", SAY, workers=4)
    launcher.check(asked)
    end = launcher.start(asked).wait()
    assert end.status == "ok", end
    ranks = [json.loads((tmp_path / f"say-{rank}").read_text()) for rank in range(4)]
    assert [rank["NODE_RANK"] for rank in ranks] == ["0", "0", "1", "1"]
    assert [rank["LOCAL_RANK"] for rank in ranks] == ["0", "1", "0", "1"]
    assert {(rank["WORLD_SIZE"], rank["GREETING"]) for rank in ranks} == {("4", "hello")}
    assert len({rank["LIGHTNING_ITWIN_ADDRESS"] for rank in ranks}) == 1
    wait_for(places_are_free, 20.0)


def test_a_rank_that_fails_or_is_killed_ends_its_world_with_the_reason(
    launcher: RayLauncher, tmp_path: Path
) -> None:
    failed = launcher.start(world(tmp_path, "fail", FAIL)).wait()
    assert (failed.status, failed.reason) == ("failed", "ValueError: the detector is off")
    killed = launcher.start(world(tmp_path, "kill", KILL, nodes=1)).wait()
    assert (killed.status, killed.reason) == ("failed", KILLED)
    wait_for(places_are_free, 20.0)


def test_worlds_wait_for_their_places_and_leave_nothing_behind(launcher: RayLauncher, tmp_path: Path) -> None:
    first = launcher.start(world(tmp_path, "first", LONG, workers=8))
    wait_for(lambda: len(list(tmp_path.glob("first-?"))) == 8, 60.0)
    late = launcher.start(world(tmp_path, "late", LONG, nodes=1, timeout_s=6.0))
    assert late.poll() is None
    assert not list(tmp_path.glob("late-?"))
    first.stop()
    assert late.wait().status == "timeout"
    assert len(pids_in(tmp_path)) == 10
    wait_for(lambda: nobody_lives(tmp_path), 20.0)
    wait_for(places_are_free, 20.0)


def test_a_world_ends_with_a_driver_that_is_killed(
    launcher: RayLauncher, ray_cluster: str, tmp_path: Path
) -> None:
    (tmp_path / "long.py").write_text(LONG)
    (tmp_path / "driver.py").write_text(DRIVER)
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), str(tmp_path)],
        env={**os.environ, "RAY_ADDRESS": ray_cluster, "PYTHONPATH": str(ROOT)},
    )
    wait_for(lambda: len(pids_in(tmp_path)) == 2, 60.0)
    driver.kill()
    driver.wait()
    wait_for(lambda: nobody_lives(tmp_path), 30.0)
    wait_for(places_are_free, 30.0)


def test_what_cannot_run_is_said_before(launcher: RayLauncher, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 1 machines with 5 CPU, and 0 of the cluster's 2 have that"):
        launcher.check(world(tmp_path, "x", SAY, workers=5, nodes=1))
    with pytest.raises(ValueError, match="on Ray the starter horovodrun is not known"):
        launcher.start(World(command=(), workers=2, starter="horovodrun", log=tmp_path / "log"))
    assert launcher.adopt(world(tmp_path, "x", SAY)) is None
