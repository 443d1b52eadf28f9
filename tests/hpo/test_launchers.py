from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("submitit")

from lightning_itwin.hpo.launchers import make_launcher
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from lightning_itwin.hpo.worlds import find_places
from lightning_itwin.launch import (
    LocalLauncher,
    SchedulerError,
    SlurmJobLauncher,
    SlurmLauncher,
    World,
    by_name,
)
from lightning_itwin.launch.by_name import adopt, submits_jobs

PROGRAMS = {
    "srun": "",
    "sbatch": "echo 17",
    "squeue": "[ $2 = -o ] && echo '17|itwin-0001-abc' || echo '17|PENDING|Priority'",
    "scancel": "",
}


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return folder


def test_slurm_means_steps_in_an_allocation_and_jobs_outside(
    make_plan: Callable[..., StudyPlan], fake_slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, jobs = make_plan(launcher="slurm"), make_plan(launcher="slurm_jobs")
    assert (submits_jobs(steps.launcher), submits_jobs(jobs.launcher)) == (True, True)
    assert isinstance(make_launcher(steps, tmp_path), SlurmJobLauncher)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert (submits_jobs(steps.launcher), submits_jobs(jobs.launcher)) == (False, True)
    assert type(make_launcher(steps, tmp_path)) is SlurmLauncher
    assert isinstance(make_launcher(make_plan(), tmp_path), LocalLauncher)


def test_a_machine_without_slurm_is_told_before_anything_is_spent(
    make_plan: Callable[..., StudyPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(StudyError, match=r"launcher slurm .*: there is no sbatch on this machine"):
        make_launcher(make_plan(launcher="slurm"), tmp_path)


def test_gpus_of_a_job_are_asked_for_not_looked_for(
    make_plan: Callable[..., StudyPlan], fake_slurm: Path
) -> None:
    def accelerator(gpus: int, **plan: object) -> str:
        return find_places(make_plan(launcher="slurm_jobs", **plan), gpus).accelerator

    assert accelerator(gpus=2) == "cpu"
    assert accelerator(gpus=0, job={"gpus_per_node": 4}) == "gpu"
    assert accelerator(gpus=0, job={"gres": "gpu:4"}) == "gpu"
    assert accelerator(gpus=0, job={"gpus_per_node": 4}, accelerator="cpu") == "cpu"
    with pytest.raises(StudyError, match="say how many GPUs a job gets on each node with --gpus-per-node"):
        accelerator(gpus=2, accelerator="gpu")
    with pytest.raises(StudyError, match=r"8 on 1 nodes of 4 GPUs: .* say --nodes-per-trial 2"):
        make_plan(workers_per_trial=8, job={"gpus_per_node": 4})


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        ({"gpus_per_node": 0}, "gpus_per_node 0: it has to be a whole number"),
        ({"nodes": 3}, "nodes: workers, nodes and threads say that already"),
        ({"pending_s": -1}, "pending_s -1"),
        ({"time": 1.5}, "time 1.5: give whole minutes"),
    ],
)
def test_what_no_job_can_ask_for(
    make_plan: Callable[..., StudyPlan], job: dict[str, object], complaint: str
) -> None:
    with pytest.raises(StudyError, match=f"job: {complaint}"):
        make_plan(job=job)


def test_a_job_is_found_by_a_driver_that_submits_none(
    fake_slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = World(command=(), workers=1, starter="ranks", log=tmp_path / "world.log", mark="0001-abc")
    assert adopt(LocalLauncher(), asked) is None
    (tmp_path / "world.sbatch").touch()
    found = adopt(LocalLauncher(), asked)
    assert found is not None
    assert found.poll() is None
    (fake_slurm / "squeue").unlink()
    with pytest.raises(SchedulerError, match="there is no squeue on this machine"):
        adopt(LocalLauncher(), asked)


def test_a_world_of_this_machine_is_found_by_a_driver_that_submits_jobs(
    fake_slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_slurm / "squeue").write_text("#!/bin/sh\n")
    asked = World(command=(), workers=1, starter="ranks", log=tmp_path / "world.log", mark="0001-abc")
    living = object()
    monkeypatch.setattr(by_name.LocalLauncher, "adopt", lambda self, world: living)
    assert adopt(SlurmJobLauncher(), asked) is living
