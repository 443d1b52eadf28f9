"""Studies on a real SLURM, where its Debian packages are installed: trials as jobs, and as steps."""

from __future__ import annotations

import collections
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("optuna")
pytest.importorskip("submitit")

from lightning_itwin.hpo import tuning
from lightning_itwin.hpo.check import Checked
from lightning_itwin.hpo.study_plan import StudyPlan
from lightning_itwin.hpo.study_reading import StudyRecord, read_study
from lightning_itwin.hpo.trial_folder import TrialFolder
from lightning_itwin.hpo.worlds import unavailable
from lightning_itwin.launch import JobSettings, SlurmJobLauncher, World
from lightning_itwin.launch.slurm_queue import SlurmQueue
from tests.hpo.conftest import CHECKED, CONFIG
from tests.hpo.test_worlds import trial
from tests.launch.slurm_daemons import Slurm, wait_for

pytestmark = pytest.mark.world
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
JOBS = {"launcher": "slurm_jobs", "job": {"partition": "debug", "time": 5}}


class Study:
    """Starts drivers of light trials, and ends at the end of the test whatever they left."""

    def __init__(self, folder: Path, slurm: Slurm) -> None:
        self.folder = folder
        self.slurm = slurm
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, trials: int, *command: str, **plan: Any) -> subprocess.Popen[str]:
        driver = [
            sys.executable,
            "-m",
            "tests.hpo.driver_process",
            str(self.folder),
            str(trials),
            json.dumps(plan),
        ]
        process = subprocess.Popen(
            [*command, *driver],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.processes.append(process)
        return process

    def trained(self) -> list[str]:
        path = self.folder / "trained"
        return path.read_text().splitlines() if path.exists() else []

    def jobs(self, state: str) -> list[str]:
        return [name for name, found in self.slurm.jobs().items() if found == state]

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(30)
        self.slurm.call("scancel", "--user=root")
        wait_for(self.slurm.is_idle, 30.0)


@pytest.fixture
def study(tmp_path: Path, slurm: Slurm) -> Iterator[Study]:
    made = Study(tmp_path / "study", slurm)
    yield made
    made.end()


def whole(record: StudyRecord, trained: list[str], trials: int) -> None:
    assert {row.state for row in record.rows} <= {"complete", "paused"}
    assert len({row.configuration for row in record.rows}) == trials
    assert [line for line, count in collections.Counter(trained).items() if count > 1] == []


def test_jobs_outlive_a_killed_driver_and_none_is_run_twice(study: Study) -> None:
    asked = {**JOBS, "parallel_trials": 3, "job": {**JOBS["job"], "exclusive": True}}  # type: ignore[dict-item]
    first = study.start(4, **asked)
    wait_for(lambda: len(study.jobs("RUNNING")) == 2 and len(study.jobs("PENDING")) == 1, 60.0)
    wait_for(lambda: len(study.trained()) >= 3, 30.0)
    first.kill()
    first.wait()
    second = study.start(4, **asked)
    told, _ = second.communicate(timeout=150)
    assert second.returncode == 0, told
    whole(read_study(study.folder), study.trained(), 4)
    assert study.slurm.jobs() == {}


def test_trials_are_steps_of_an_allocation(study: Study) -> None:
    plan = {"launcher": "slurm", "workers_per_trial": 1, "threads_per_worker": 1}
    driver = study.start(3, "salloc", "-Q", "--nodes=1", "--ntasks=2", **plan)
    told, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, told
    whole(read_study(study.folder), study.trained(), 3)


def test_a_driver_in_a_batch_script_ends_in_time_and_the_same_script_goes_on(study: Study) -> None:
    script = study.folder.parent / "study.sh"
    command = ["exec", sys.executable, "-m", "tests.hpo.driver_process", str(study.folder), "3"]
    plan = json.dumps({"launcher": "slurm", "threads_per_worker": 1})
    script.write_text(f"#!/bin/bash\ncd {ROOT}\n{shlex.join(command)} '{plan}'\n")
    asked = [
        "--parsable",
        "--nodes=1",
        "--ntasks=3",
        f"--output={script}.log",
        f"--export=ALL,PYTHONPATH={ROOT}",
    ]
    first = study.slurm.call("sbatch", *asked, str(script)).stdout.strip()
    wait_for(lambda: len(study.trained()) >= 4, 60.0)
    study.slurm.call("scancel", "--batch", "--signal=TERM", first)  # as --signal=B:TERM@120 has it
    wait_for(lambda: study.slurm.jobs() == {}, 30.0)
    states = {row.state for row in read_study(study.folder).rows}
    assert "lost" in states
    assert not states & {"running", "waiting"}
    study.slurm.call("sbatch", *asked, str(script))
    wait_for(lambda: (study.folder / "best.ckpt").exists() and study.slurm.jobs() == {}, 90.0)
    rows = read_study(study.folder).rows
    assert {row.state for row in rows} <= {"complete", "paused", "lost"}
    assert {row.reason for row in rows if row.state == "lost"} == {"interrupted"}
    assert len({row.configuration for row in rows}) == 3


def test_outside_of_an_allocation_slurm_means_jobs_and_what_it_refuses_is_said_first(study: Study) -> None:
    driver = study.start(3, launcher="slurm", job={"partition": "no_such"})
    told, _ = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert "error: launcher slurm (this process runs in no allocation): SLURM refuses the job: " in told
    assert "invalid partition" in told
    assert not (study.folder / "study.json").exists()


def job(folder: Path, *command: str) -> World:
    return World(
        command=command,
        workers=2,
        nodes=2,
        starter="ranks",
        log=folder / "world.log",
        environment=ENVIRONMENT,
        timeout_s=150.0,
    )


def test_two_nodes_decide_alike_over_many_stopped_trials(slurm: Slurm, tmp_path: Path) -> None:
    launcher = SlurmJobLauncher(JobSettings(time=5), SlurmQueue(every_s=1.0))
    end = launcher.start(job(tmp_path, "-m", "tests.hpo.pruned_world", str(tmp_path), "12")).wait()
    assert end.status == "ok", end
    first, second = (json.loads((tmp_path / f"steps-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert set(first) == {2, 4, 6, 8}
    found = [TrialFolder(tmp_path / f"{number:04d}").result() for number in range(12)]
    assert {one.state for one in found if one} == {"stopped"}


def test_every_strategy_trains_over_two_nodes(slurm: Slurm, tmp_path: Path) -> None:
    launcher = SlurmJobLauncher(JobSettings(time=5), SlurmQueue(every_s=1.0))
    running = {}
    for name in ("ddp", "deepspeed_stage_1", "horovod"):
        if unavailable(name):
            continue
        made = trial(tmp_path / name, name)
        config = yaml.safe_load(made.config.read_text())
        config["trainer"] |= {"devices": 1, "num_nodes": 2}
        made.config.write_text(yaml.safe_dump(config))
        asked = job(made.path, "-m", "lightning_itwin.hpo.trial_process", str(made.spec))
        running[name] = made, launcher.start(asked)
    assert "ddp" in running
    for made, world in running.values():
        end = world.wait()
        assert end.status == "ok", end
        found = made.result()
        assert found is not None
        assert (found.state, found.epochs, found.steps) == ("paused", 2, 4)
        assert len(list(made.path.glob("last-00002.ckpt.rank-*"))) == 2


def test_a_training_that_is_cancelled_goes_on_in_another_job(
    slurm: Slurm, tmp_path: Path, make_plan: Callable[..., StudyPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {**CONFIG["model"], "init_args": {"learning_rate": 0.1, "epoch_s": 1.0, "draws": True}}
    config = {**CONFIG, "model": model, "trainer": {"max_epochs": 6, "logger": None}}
    checked = Checked(**{**vars(CHECKED), "config": config, "max_epochs": 6})
    monkeypatch.setattr(tuning, "check", lambda *given: checked)
    monkeypatch.setattr(tuning, "_write_report", lambda *given: None)
    monkeypatch.setattr(tuning, "import_path", lambda: str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plan = make_plan(
        trials=1, repeats=0, workers_per_trial=2, nodes_per_trial=2, accelerator="cpu", launcher="slurm_jobs"
    )
    launcher = SlurmJobLauncher(JobSettings(time=5), SlurmQueue(every_s=1.0))
    folder = tmp_path / "study"
    told: list[tuning.Tuned] = []

    def run() -> None:
        told.append(tuning.run(plan, folder, progress=False, launcher=launcher))

    driver = threading.Thread(target=run)
    driver.start()
    trial = TrialFolder(folder / "trials" / "0000")
    wait_for(lambda: 1 in trial.reports(), 90.0)
    [name] = slurm.jobs()
    slurm.call("scancel", "--signal=USR2", f"--name={name}")  # the time of the job is nearly over: save
    wait_for(lambda: trial.saved("last") is not None, 30.0)
    slurm.call("scancel", f"--name={name}")
    driver.join(150)
    assert told
    rows = read_study(folder).rows
    assert [(row.state, row.retry_of) for row in rows] == [("lost", None), ("complete", 0)]
    assert "was cancelled" in rows[0].reason
    saved = trial.saved("last")
    assert saved is None  # nobody needs it any more
    assert sorted(rows[1].curve) == list(range(1, 7))
    assert 0 < rows[1].epochs < 6
    result = TrialFolder(folder / "trials" / "0001").result()
    assert result is not None
    assert (result.epochs, result.steps) == (6, 12)
