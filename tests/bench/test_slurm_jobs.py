"""Trainings of a sweep as jobs of a real SLURM, where its Debian packages are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("submitit")

from lightning_itwin.bench.job_list import JOBS, read_jobs
from lightning_itwin.bench.plan import Plan
from lightning_itwin.bench.settle import settle
from lightning_itwin.launch import JobSettings, SlurmJobLauncher
from lightning_itwin.launch.slurm_queue import SlurmQueue
from lightning_itwin.optional import available
from tests.bench.conftest import CONFIG
from tests.bench.light_jobs import LightSweep, small
from tests.launch.slurm_daemons import Slurm, wait_for

pytestmark = pytest.mark.world
ROOT = Path(__file__).parents[2]
MODULES = {"ddp": "torch", "deepspeed": "deepspeed", "horovod": "horovod.torch"}
STRATEGIES = [name for name, module in MODULES.items() if available(module)]


def launcher(**settings: object) -> SlurmJobLauncher:
    return SlurmJobLauncher(JobSettings(**settings), SlurmQueue(every_s=0.5))  # type: ignore[arg-type]


def test_a_job_that_loses_its_node_is_a_failed_row_and_alone_is_submitted_again(
    slurm: Slurm, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = LightSweep(tmp_path / "sweep", small(plan, ("ddp", "horovod")), monkeypatch)
    light.hold("horovod-w2-r0")
    jobs = light.open(launcher(), "slurm_jobs")
    assert sorted(light.submit(jobs)) == ["ddp-w2-r0", "horovod-w2-r0"]
    wait_for(lambda: light.trains("horovod-w2-r0", 2) and not light.trains("ddp-w2-r0", 3), 30.0)
    wait_for(lambda: len(slurm.jobs()) == 2, 30.0)  # the training, and the report that waits for it
    slurm.call("scontrol", "update", "nodename=n2", "state=down", "reason=drill")
    ends = light.wait(jobs)
    slurm.call("scontrol", "update", "nodename=n2", "state=resume")
    assert {name: end.status for name, end in ends.items()} == {"ddp-w2-r0": "ok", "horovod-w2-r0": "failed"}
    lost = ends["horovod-w2-r0"]
    assert lost.reason.endswith("lost a node")
    assert lost.log == "logs/horovod-w2-r0.log"
    assert lost.wall_s > 0
    assert lost.started_unix_s
    light.let_go()
    again = light.open(launcher(), "slurm_jobs")
    assert light.submit(again) == ["horovod-w2-r0"]
    assert light.wait(again)["horovod-w2-r0"].status == "ok"
    again.withdraw_report()
    assert light.trains("ddp-w2-r0", 2)
    assert not light.trains("ddp-w2-r0", 3)
    wait_for(slurm.is_idle, 30.0)


def test_jobs_outlive_who_submitted_them_and_are_judged_by_who_comes_next(
    slurm: Slurm, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = LightSweep(tmp_path / "sweep", small(plan, ("ddp", "deepspeed", "horovod"), (1,)), monkeypatch)
    (light.folder / "fail-deepspeed-w1-r0").touch()
    light.hold("ddp-w1-r0", "horovod-w1-r0")
    light.submit(light.open(launcher(), "slurm_jobs", timeout_s=4.0))
    (light.folder / JOBS).unlink()  # killed between SLURM's answer and its writing down
    wait_for(lambda: light.trains("ddp-w1-r0", 1) and light.trains("horovod-w1-r0", 1), 30.0)
    (light.folder / "hold-ddp-w1-r0").unlink()
    found = light.open(launcher(), "slurm_jobs")
    assert light.submit(found) in ([], ["deepspeed-w1-r0"])
    known = read_jobs(light.folder)
    assert known is not None
    assert "horovod-w1-r0" in known.cells
    failed = {one.strategy: one for one in settle(light.folder, known, launcher())}
    assert failed["horovod"].status == "timeout"  # nobody watched: its own script ended it
    assert not {"ddp"} & set(failed)
    wait_for(lambda: (light.folder / "reported").exists() and slurm.jobs() == {}, 40.0)


def test_in_an_allocation_a_training_is_a_step_over_its_nodes(slurm: Slurm, tmp_path: Path) -> None:
    (tmp_path / "boring.yaml").write_text(CONFIG)
    told = subprocess.run(
        [
            *(
                "salloc",
                "-Q",
                "--nodes=2",
                "--ntasks-per-node=1",
                sys.executable,
                "-m",
                "tests.bench.steps_driver",
            ),
            *("--config", "boring.yaml", "--launcher", "slurm", "--strategies", "ddp", "--repeats", "1"),
            *("--workers", "2", "--workers-per-node", "1", "--output", "sweep"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    places = [(tmp_path / "sweep" / "logs" / f"ddp-w2-r0.rank-{rank}").read_text() for rank in (0, 1)]
    assert places == ["n1 2 2", "n2 2 2"]
    assert not (tmp_path / "sweep" / JOBS).exists()


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lightning_itwin.bench", "--config", "boring.yaml", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_every_strategy_over_two_nodes_one_cancelled_the_report_after_them_and_again(
    slurm: Slurm, tmp_path: Path
) -> None:
    (tmp_path / "boring.yaml").write_text(CONFIG.replace("  init_args: {batch_size: 64}\n", ""))
    arguments = (
        *(
            "--strategies",
            ",".join(STRATEGIES),
            "--workers",
            "2",
            "--workers-per-node",
            "1",
            "--repeats",
            "1",
        ),
        *("--epochs", "1", "--country", "ITA", "--output", "sweep"),
        *("--launcher", "slurm", "--partition", "debug", "--time", "10"),
    )
    first = bench(tmp_path, *arguments, "--no-wait")
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"{len(STRATEGIES)} trainings were submitted as jobs" in first.stdout
    sweep = tmp_path / "sweep"
    victim = STRATEGIES[-1]
    wait_for(lambda: (sweep / "logs" / f"{victim}-w2-r0.began").exists(), 60.0)
    [job] = [name for name in slurm.jobs() if name.endswith(f"{victim}-w2-r0")]
    slurm.call("scancel", f"--name={job}")
    wait_for(lambda: slurm.jobs() == {}, 120.0)
    rows = {row["strategy"]: row for row in json.loads((sweep / "results.json").read_text())}
    assert {name: row["status"] for name, row in rows.items()} == {
        name: "failed" if name == victim else "ok" for name in STRATEGIES
    }
    assert "was cancelled" in (sweep / "logs" / "report.log").read_text()
    for name in STRATEGIES[:-1]:
        manifest = json.loads((sweep / "records" / f"{name}-w2-r0" / "manifest.json").read_text())
        assert (manifest["world_size"], manifest["nodes"]) == (2, 2)
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("records/*/outcome.json")}
    second = bench(tmp_path, *arguments)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "was cancelled" in second.stdout
    assert "1 trainings were submitted as jobs, 0 wait or run already" in second.stdout
    changed = [path.parent.name for path, then in before.items() if path.stat().st_mtime_ns != then]
    assert changed == [f"{victim}-w2-r0"]
    rows = {row["strategy"]: row for row in json.loads((sweep / "results.json").read_text())}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert slurm.jobs() == {}
