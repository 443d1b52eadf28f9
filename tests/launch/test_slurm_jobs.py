"""Worlds as jobs of a real SLURM, where its Debian packages are installed; what it says, also without."""

from __future__ import annotations

import json
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit")

from lightning_itwin.launch import JobSettings, SlurmJobLauncher, World, slurm_jobs
from lightning_itwin.launch.local import process_start
from lightning_itwin.launch.slurm_queue import SlurmQueue
from lightning_itwin.launch.slurm_script import job_name
from lightning_itwin.launch.world import KILLED, SchedulerError
from tests.launch.programs import FAIL, KILL, LONG
from tests.launch.slurm_daemons import Slurm, wait_for

SAY = """
import json, os, sys
from pathlib import Path
keys = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "LIGHTNING_ITWIN_ADDRESS", "SLURM_STEP_NODELIST",
        "CUDA_VISIBLE_DEVICES", "GREETING", "FROM_SETUP")
found = {key: os.environ.get(key) for key in keys}
Path(sys.argv[1], f"{sys.argv[2]}-{os.environ['RANK']}").write_text(json.dumps(found))
"""


def world(folder: Path, name: str, code: str, **changes: Any) -> World:
    script = folder / f"{name}.py"
    script.write_text(textwrap.dedent(code))
    given = {
        "workers": 2,
        "nodes": 2,
        "mark": f"{folder.name}-{name}",
        "environment": {"OMP_NUM_THREADS": "1", "GREETING": "it's me"},
        **changes,
    }
    return World(
        command=(str(script), str(folder), name), starter="ranks", log=folder / name / "world.log", **given
    )


def started(folder: Path, name: str, workers: int = 2) -> bool:
    return len([path for path in folder.glob(f"{name}-?") if path.read_text()]) == workers


@pytest.fixture
def launcher(slurm: Slurm) -> SlurmJobLauncher:
    return SlurmJobLauncher(queue=SlurmQueue(every_s=0.5))


@pytest.mark.world
def test_a_job_over_two_nodes_with_what_was_asked_for(slurm: Slurm, tmp_path: Path) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text("export FROM_SETUP=modules\n")
    settings = JobSettings(
        partition="debug", time="0:05:00", gpus_per_node=2, setup=str(setup), more={"comment": "mine"}
    )
    made = SlurmJobLauncher(settings, SlurmQueue(every_s=0.5))
    asked = world(tmp_path, "say", SAY, workers=4, gpus=True)
    made.check(asked)
    end = made.start(asked).wait()
    assert end.status == "ok", end
    ranks = [json.loads((tmp_path / f"say-{rank}").read_text()) for rank in range(4)]
    assert [rank["NODE_RANK"] for rank in ranks] == ["0", "0", "1", "1"]
    assert [rank["LOCAL_RANK"] for rank in ranks] == ["0", "1", "0", "1"]
    assert {rank["WORLD_SIZE"] for rank in ranks} == {"4"}
    assert {rank["SLURM_STEP_NODELIST"] for rank in ranks} == {"n[1-2]"}
    assert {rank["GREETING"] for rank in ranks} == {"it's me"}
    assert {rank["FROM_SETUP"] for rank in ranks} == {"modules"}
    assert {rank["LIGHTNING_ITWIN_ADDRESS"] for rank in ranks} == {"127.0.0.1"}
    for first, second in (ranks[:2], ranks[2:]):  # a node's workers see both of its GPUs
        assert first["CUDA_VISIBLE_DEVICES"] == second["CUDA_VISIBLE_DEVICES"]
        assert len(first["CUDA_VISIBLE_DEVICES"].split(",")) == 2


@pytest.mark.world
def test_jobs_that_fail_are_killed_are_cancelled_or_are_late(
    slurm: Slurm, launcher: SlurmJobLauncher, tmp_path: Path
) -> None:
    asked = {
        "fail": world(tmp_path, "fail", FAIL, nodes=1),
        "kill": world(tmp_path, "kill", KILL),
        "cancel": world(tmp_path, "cancel", LONG),
    }
    running = {name: launcher.start(one) for name, one in asked.items()}
    late = launcher.start(world(tmp_path, "late", LONG, nodes=1, timeout_s=2.0))
    wait_for(lambda: started(tmp_path, "cancel"), 30.0)
    adopted = SlurmJobLauncher(queue=SlurmQueue(every_s=0.5)).adopt(asked["cancel"])
    assert adopted is not None
    assert adopted.job == running["cancel"].job
    slurm.call("scancel", adopted.job)
    assert adopted.wait().reason == f"job {adopted.job} was cancelled"
    ends = {name: one.wait() for name, one in running.items()}
    assert (ends["fail"].status, ends["fail"].reason) == ("failed", "ValueError: the detector is off")
    assert (ends["kill"].status, ends["kill"].reason) == ("failed", KILLED)
    assert (ends["cancel"].status, ends["cancel"].taken) == ("lost", False)
    assert late.wait().status == "timeout"
    pids = [int(path.read_text()) for name in ("cancel", "late") for path in tmp_path.glob(f"{name}-?")]
    assert len(pids) == 4
    wait_for(lambda: not [pid for pid in pids if process_start(pid) is not None], 15.0)
    assert launcher.adopt(asked["cancel"]) is None


@pytest.mark.world
def test_a_job_that_is_preempted_or_loses_its_node_is_taken_not_failed(
    slurm: Slurm, launcher: SlurmJobLauncher, tmp_path: Path
) -> None:
    modest = launcher.start(world(tmp_path, "modest", LONG, workers=8))
    wait_for(lambda: started(tmp_path, "modest", 8), 30.0)
    urgent = SlurmJobLauncher(JobSettings(partition="urgent"), SlurmQueue(every_s=0.5))
    other = urgent.start(world(tmp_path, "urgent", LONG))
    end = modest.wait()
    assert (end.status, end.taken, end.reason) == ("lost", True, f"job {modest.job} was preempted")
    wait_for(lambda: started(tmp_path, "urgent"), 40.0)
    slurm.call("scontrol", "update", "nodename=n2", "state=down", "reason=drill")
    end = other.wait()
    slurm.call("scontrol", "update", "nodename=n2", "state=resume")
    assert (end.status, end.taken, end.reason) == ("lost", True, f"job {other.job} lost a node")
    wait_for(slurm.is_idle, 30.0)


@pytest.mark.world
def test_a_job_that_waits_is_withdrawn_at_its_limit_or_where_it_never_starts(
    slurm: Slurm, launcher: SlurmJobLauncher, tmp_path: Path
) -> None:
    impatient = SlurmJobLauncher(JobSettings(partition="closed", pending_s=2.0), SlurmQueue(every_s=0.5))
    end = impatient.start(world(tmp_path, "impatient", LONG)).wait()
    assert (end.status, end.taken) == ("lost", False)
    assert "(PartitionDown) and was withdrawn" in end.reason
    too_long = SlurmJobLauncher(JobSettings(time="1-00:00:00"), SlurmQueue(every_s=0.5))
    end = too_long.start(world(tmp_path, "too_long", LONG)).wait()
    assert end.status == "failed"
    assert "would never start: SLURM says PartitionTimeLimit" in end.reason
    assert slurm.jobs() == {}


@pytest.mark.world
def test_what_slurm_refuses_is_said_in_its_words(slurm: Slurm, tmp_path: Path) -> None:
    made = SlurmJobLauncher(JobSettings(partition="no_such"))
    for do in (made.check, made.start):
        with pytest.raises(SchedulerError, match=r"SLURM refuses the job: .*invalid partition"):
            do(world(tmp_path, "x", SAY))


@pytest.mark.world
def test_a_signal_before_the_end_of_its_time_does_not_kill_a_rank(
    slurm: Slurm, launcher: SlurmJobLauncher, tmp_path: Path
) -> None:
    running = launcher.start(world(tmp_path, "signalled", LONG.replace("60", "3")))
    wait_for(lambda: started(tmp_path, "signalled"), 30.0)
    slurm.call("scancel", "--signal=USR2", running.job)
    assert running.wait().status == "ok"


class FakeSlurm:
    """Programs that answer from files: what ``squeue`` says, and whether ``sbatch`` works."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        programs = {
            "srun": "",
            "scancel": f"echo $@ >> {folder}/cancelled",
            "squeue": f"cd {folder}\n[ -f down ] && exit 1\n[ $2 = -o ] && cat named || cat state",
            "sbatch": f"[ -f {folder}/refuse ] && cat {folder}/refuse >&2 && exit 1\necho '17;cluster'",
        }
        for name, text in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        (folder / "named").write_text("")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        self.say("PENDING", "Resources")

    def say(self, state: str, reason: str = "None") -> None:
        (self.folder / "state").write_text(f"17|{state}|{reason}\n" if state else "")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.setattr(slurm_jobs, "_SETTLE_S", 0.2)
    monkeypatch.setattr(slurm_jobs, "_PAUSE_S", 0.0)
    monkeypatch.setattr(slurm_jobs, "_STOP_S", 0.5)
    return FakeSlurm(tmp_path / "bin", monkeypatch)


@pytest.mark.parametrize(
    ("state", "code", "status", "taken", "reason"),
    [
        ("COMPLETED", None, "ok", False, ""),
        ("RUNNING", 0, "ok", False, ""),
        ("FAILED", 3, "failed", False, "exit code 3; see the log"),
        ("COMPLETING", 3, "failed", False, "exit code 3; see the log"),
        ("FAILED", None, "failed", False, "exit code 1; see the log"),
        ("TIMEOUT", None, "lost", True, "job 17 reached its time limit"),
        ("TIMEOUT", 143, "lost", True, "job 17 reached its time limit"),
        ("NODE_FAIL", None, "lost", True, "job 17 lost a node"),
        ("DEADLINE", None, "lost", True, "job 17 ended as DEADLINE"),
        ("OUT_OF_MEMORY", 137, "lost", False, KILLED),
        ("CANCELLED", 143, "lost", False, "job 17 was cancelled"),
        ("", None, "lost", False, "job 17 is gone without a trace"),
    ],
)
def test_how_a_job_ended(
    fake: FakeSlurm, tmp_path: Path, state: str, code: int | None, status: str, taken: bool, reason: str
) -> None:
    running = SlurmJobLauncher(queue=SlurmQueue(every_s=0.0)).start(world(tmp_path, "x", SAY))
    assert running.poll() is None
    assert running.waits
    fake.say("RUNNING")
    assert running.poll() is None
    assert not running.waits
    fake.say(state)
    if code is not None:
        (tmp_path / "x" / "world.exit").write_text(f"{code}\n")
    end = running.wait()
    assert (end.status, end.taken, end.reason) == (status, taken, reason)


def test_a_slurm_that_does_not_answer_ends_no_world(fake: FakeSlurm, tmp_path: Path) -> None:
    made = SlurmJobLauncher(queue=SlurmQueue(every_s=0.0))
    asked = world(tmp_path, "x", SAY)
    running = made.start(asked)
    (fake.folder / "down").touch()
    for _ in range(3):
        assert running.poll() is None
    with pytest.raises(SchedulerError, match="squeue"):
        made.adopt(asked)
    (tmp_path / "x" / "world.exit").write_text("0\n")
    assert running.wait().status == "ok"


def test_an_answer_that_was_lost_submits_nothing_twice(fake: FakeSlurm, tmp_path: Path) -> None:
    (fake.folder / "refuse").write_text("sbatch: error: Batch job submission failed: Socket timed out\n")
    name = job_name(world(tmp_path, "x", SAY))
    (fake.folder / "named").write_text(f"18|{name}\n17|{name}\n")
    made = SlurmJobLauncher(queue=SlurmQueue(every_s=0.0))
    assert made.start(world(tmp_path, "x", SAY)).job == "18"
    (fake.folder / "named").write_text("")
    with pytest.raises(SchedulerError, match="SLURM refuses the job: Batch job submission failed"):
        made.start(world(tmp_path, "x", SAY))


def test_the_script_stands_alone(fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    settings = JobSettings(
        partition="gpu",
        account="me",
        time=90,
        gpus_per_node=4,
        setup=("module load cuda",),
        more={"qos": "x"},
    )
    shown = SlurmJobLauncher(settings).describe(world(tmp_path, "x", SAY, workers=8, gpus=True))
    for line in (
        "#SBATCH --partition=gpu",
        "#SBATCH --account=me",
        "#SBATCH --time=90",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --qos=x",
        "#SBATCH --no-requeue",
        f"#SBATCH --output={tmp_path}/x/world.log",
        f"#SBATCH --job-name=itwin-{tmp_path.name}-x",
        "module load cuda",
    ):
        assert line in shown.splitlines()
    assert """export GREETING='it'"'"'s me'""" in shown
    assert "pickle" not in shown
    assert signal.SIGUSR2.name[3:] + "@" in shown


def test_a_machine_without_slurm_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = SlurmJobLauncher()
    assert "#SBATCH --nodes=2" in made.describe(world(tmp_path, "x", SAY))
    for do in (made.check, made.start):
        with pytest.raises(SchedulerError, match="there is no sbatch on this machine"):
            do(world(tmp_path, "x", SAY))
