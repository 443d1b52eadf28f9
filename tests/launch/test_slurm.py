"""Worlds as steps of a real SLURM, where its Debian packages are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lightning_itwin.launch import SlurmLauncher, World
from tests.launch.slurm_daemons import Slurm

ROOT = Path(__file__).parents[2]


def test_outside_of_an_allocation_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(RuntimeError, match="runs in no allocation of SLURM; start it in one: salloc"):
        SlurmLauncher()


def test_the_command_of_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    world = World(command=("-m", "x"), workers=4, starter="ranks", log=tmp_path / "log", nodes=2, gpus=True)
    shown = SlurmLauncher().describe(world)
    assert shown.startswith("srun --exact --kill-on-bad-exit=1")
    for expected in ("--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--gpus-per-node=2"):
        assert expected in shown
    with pytest.raises(ValueError, match="3 workers cannot be shared evenly by 2 nodes"):
        SlurmLauncher().describe(World(command=(), workers=3, starter="ranks", log=tmp_path, nodes=2))
    with pytest.raises(ValueError, match="starter horovodrun is not known"):
        SlurmLauncher().describe(World(command=(), workers=2, starter="horovodrun", log=tmp_path))


DRIVER = """
import json, os, sys, time
from pathlib import Path
from lightning_itwin.launch import SlurmLauncher, World
folder = Path(sys.argv[1])
launcher = SlurmLauncher()
def world(name, nodes, code, **more):
    script = folder / f"{name}.py"
    script.write_text(code)
    return World(command=(str(script), str(folder), name), workers=2, starter="ranks", nodes=nodes,
                 log=folder / f"{name}.log", environment={"OMP_NUM_THREADS": "1"}, timeout_s=60, **more)
SAY = '''
import json, os, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
keys = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "LIGHTNING_ITWIN_ADDRESS", "SLURM_STEP_ID",
        "CUDA_VISIBLE_DEVICES", "SLURMD_NODENAME")
(folder / f"{name}-{os.environ['RANK']}").write_text(json.dumps({key: os.environ[key] for key in keys}))
deadline = time.monotonic() + 30
while len(list(folder.glob("one-*")) + list(folder.glob("two-?"))) < 4 and time.monotonic() < deadline:
    time.sleep(0.05)
'''
KILL = '''
import os, signal, sys, time
if os.environ["RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
'''
LONG = '''
import time
time.sleep(60)
'''
both = [launcher.start(world("one", 1, SAY, gpus=True)), launcher.start(world("two", 2, SAY, gpus=True))]
ends = [one.wait() for one in both]
from lightning_itwin.launch.world import was_killed
killed = launcher.start(world("kill", 1, KILL)).wait()
long = launcher.start(world("long", 1, LONG, mark="a mark"))
time.sleep(1.0)
adopted = launcher.adopt(world("long", 1, LONG, mark="a mark"))
adopted.stop()
stopped = long.wait()
print(json.dumps({
    "ends": [end.status for end in ends],
    "killed": [killed.status, was_killed(folder / "kill.log")],
    "stopped": [stopped.status, stopped.wall_s < 30],
}))
"""


@pytest.mark.world
def test_steps_run_side_by_side_each_a_world_of_its_own(slurm: Slurm, tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(textwrap.dedent(DRIVER))
    told = subprocess.run(
        [
            "salloc",
            "-Q",
            "--nodes=2",
            "--ntasks=8",
            "--gpus-per-node=4",
            sys.executable,
            str(driver),
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(told.stdout.splitlines()[-1])
    assert found == {"ends": ["ok", "ok"], "killed": ["failed", True], "stopped": ["failed", True]}
    one = [json.loads((tmp_path / f"one-{rank}").read_text()) for rank in (0, 1)]
    two = [json.loads((tmp_path / f"two-{rank}").read_text()) for rank in (0, 1)]
    assert [place["NODE_RANK"] for place in one] == ["0", "0"]
    assert [place["LOCAL_RANK"] for place in one] == ["0", "1"]
    assert [place["NODE_RANK"] for place in two] == ["0", "1"]
    assert [place["LOCAL_RANK"] for place in two] == ["0", "0"]
    assert {place["WORLD_SIZE"] for place in one + two} == {"2"}
    seen = [(rank["SLURMD_NODENAME"], rank["CUDA_VISIBLE_DEVICES"].split(",")) for rank in one + two]
    assert seen[0] == seen[1]  # each of them takes the one of its local rank
    assert [len(gpus) for _, gpus in seen] == [2, 2, 1, 1]
    beside = next(gpus for node, gpus in seen[2:] if node == seen[0][0])
    assert not set(beside) & set(seen[0][1])
    assert one[0]["SLURM_STEP_ID"] == one[1]["SLURM_STEP_ID"] != two[0]["SLURM_STEP_ID"]
