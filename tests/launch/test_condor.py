"""Worlds as jobs of HTCondor: what its own bindings make of our description, and our side of a job's life.

No pool was tried: ``condor_pool`` runs what it is given on this machine.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.launch import CondorLauncher, JobSettings, Submitted, World, condor
from lightning_itwin.launch.local import process_start
from lightning_itwin.launch.world import KILLED, SchedulerError
from tests.launch.condor_pool import write_programs
from tests.launch.programs import FAIL, KILL, LONG
from tests.launch.slurm_daemons import wait_for

SAY = """
import json, os, sys
from pathlib import Path
keys = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "LIGHTNING_ITWIN_ADDRESS", "GREETING", "FROM_SETUP")
found = {key: os.environ.get(key) for key in keys}
Path(sys.argv[1], f"{sys.argv[2]}-{os.environ['RANK']}").write_text(json.dumps(found))
"""


def world(folder: Path, name: str, code: str, **changes: Any) -> World:
    script = folder / f"{name}.py"
    script.write_text(code)
    root = str(Path(__file__).parents[2])
    given = {
        "workers": 2,
        "mark": f"{folder.name}-{name}",
        "environment": {"OMP_NUM_THREADS": "1", "GREETING": "it's me", "PYTHONPATH": root},
        **changes,
    }
    return World(
        command=(str(script), str(folder), name), starter="ranks", log=folder / name / "world.log", **given
    )


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(condor, "_WAIT_S", 0.1)
    monkeypatch.setattr(condor, "_SETTLE_S", 0.5)
    folder = write_programs(tmp_path / "pool")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def parsed(text: str) -> dict[str, str]:
    htcondor2 = pytest.importorskip("htcondor2")
    return dict(htcondor2.Submit(text.partition("\n# the script")[0]))


def test_htcondors_bindings_read_the_description_of_one_machine(tmp_path: Path) -> None:
    settings = JobSettings(
        account="virgo.dev",
        time="2:00:00",
        gpus_per_node=4,
        memory="16GB",
        more={"requirements": 'Machine != "old"', "+WantsGPU": True, "request-disk": "10GB"},
    )
    found = parsed(CondorLauncher(settings).describe(world(tmp_path, "x", SAY, gpus=True, workers=4)))
    for key, value in {
        "universe": "vanilla",
        "executable": f"{tmp_path}/x/world.sh",
        "log": f"{tmp_path}/x/world.events",
        "initialdir": str(Path.cwd()),
        "request_cpus": "4",
        "request_gpus": "4",
        "request_memory": "16GB",
        "request_disk": "10GB",
        "accounting_group": "virgo.dev",
        "allowed_job_duration": "7200",
        "requirements": 'Machine != "old"',
        "MY.WantsGPU": "true",
        "JobBatchName": f"itwin-{tmp_path.name}-x",
    }.items():
        assert found[key] == value
    assert "machine_count" not in found


def test_htcondors_bindings_read_the_description_of_several_machines(tmp_path: Path) -> None:
    asked = world(tmp_path, "x", SAY, workers=4, nodes=2)
    found = parsed(CondorLauncher().script(asked))
    assert (found["universe"], found["machine_count"], found["arguments"]) == ("parallel", "2", "$(Node)")
    assert (found["request_cpus"], found["request_memory"]) == ("2", "8GB")
    assert "request_gpus" not in found
    with pytest.raises(ValueError, match="3 workers cannot be shared evenly by 2 nodes"):
        CondorLauncher().script(world(tmp_path, "x", SAY, workers=3, nodes=2))
    with pytest.raises(ValueError, match="starter horovodrun is not known"):
        CondorLauncher().script(World(command=(), workers=1, starter="horovodrun", log=tmp_path / "log"))


def test_a_job_that_follows_others_waits_for_them_where_it_was_submitted(tmp_path: Path) -> None:
    first = Submitted(job="7", world=world(tmp_path, "first", SAY))
    shown = CondorLauncher().script(world(tmp_path, "x", SAY), [first])
    found = parsed(shown)
    assert found["universe"] == "local"
    assert not [key for key in found if key.startswith("request_")]
    assert f"-m lightning_itwin.launch.condor_wait {tmp_path}/first/world.events" in shown


def test_the_script_is_one_that_bash_reads(tmp_path: Path) -> None:
    for nodes in (1, 2):
        asked = world(tmp_path, "x", SAY, nodes=nodes, timeout_s=60.0)
        script = (
            CondorLauncher(JobSettings(setup="module load cuda")).script(asked).partition("#!/bin/bash")[2]
        )
        assert "module load cuda" in script.splitlines()
        told = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert told.returncode == 0, told.stderr


def test_worlds_on_one_machine_and_on_two(pool: Path, tmp_path: Path) -> None:
    launcher = CondorLauncher(JobSettings(setup="export FROM_SETUP=modules"))
    one, two = world(tmp_path, "one", SAY), world(tmp_path, "two", SAY, nodes=2)
    for asked in (one, two):
        launcher.check(asked)
    ends = [job.wait() for job in [launcher.start(one), launcher.start(two)]]
    assert [end.status for end in ends] == ["ok", "ok"]
    assert all(end.started_unix_s for end in ends)
    found = {
        name: [json.loads((tmp_path / f"{name}-{rank}").read_text()) for rank in (0, 1)]
        for name in ("one", "two")
    }
    assert [rank["NODE_RANK"] for rank in found["one"]] == ["0", "0"]
    assert [rank["NODE_RANK"] for rank in found["two"]] == ["0", "1"]
    assert [rank["LOCAL_RANK"] for rank in found["two"]] == ["0", "0"]
    assert found["one"][0]["LIGHTNING_ITWIN_ADDRESS"] is None
    assert found["two"][0]["LIGHTNING_ITWIN_ADDRESS"]
    for rank in found["one"] + found["two"]:
        assert (rank["WORLD_SIZE"], rank["GREETING"], rank["FROM_SETUP"]) == ("2", "it's me", "modules")


def test_jobs_that_fail_are_killed_are_late_or_are_removed(pool: Path, tmp_path: Path) -> None:
    launcher = CondorLauncher()
    asked = {
        "fail": world(tmp_path, "fail", FAIL),
        "kill": world(tmp_path, "kill", KILL),
        "late": world(tmp_path, "late", LONG, timeout_s=1.0),
        "gone": world(tmp_path, "gone", LONG),
    }
    running = {name: launcher.start(one) for name, one in asked.items()}
    wait_for(lambda: len([path for path in tmp_path.glob("gone-?") if path.read_text()]) == 2, 30.0)
    adopted = CondorLauncher().adopt(asked["gone"])
    assert adopted is not None
    assert adopted.submitted.job == running["gone"].submitted.job
    assert launcher.cancel_command([adopted.submitted]) == "condor_rm 4"
    running["gone"].stop()
    ends = {name: one.wait() for name, one in running.items()}
    assert (ends["fail"].status, ends["fail"].reason) == ("failed", "ValueError: the detector is off")
    assert (ends["kill"].status, ends["kill"].reason) == ("failed", KILLED)
    assert (ends["late"].status, ends["late"].reason[:13]) == ("timeout", "no end after ")
    assert ends["gone"].reason == "job 4 was removed: via condor_rm (by user root)"
    assert CondorLauncher().adopt(asked["gone"]) is None
    pids = [int(path.read_text()) for name in ("late", "gone") for path in tmp_path.glob(f"{name}-?")]
    assert len(pids) == 4
    wait_for(lambda: not [pid for pid in pids if process_start(pid) is not None], 15.0)


def test_what_a_second_machine_says_is_in_the_log_of_a_world_that_failed(pool: Path, tmp_path: Path) -> None:
    asked = world(tmp_path, "x", FAIL.replace("time.sleep(60)", "raise SystemExit(3)"), nodes=2)
    end = CondorLauncher().start(asked).wait()
    assert (end.status, end.reason) == ("failed", "ValueError: the detector is off")
    assert not list(asked.log.parent.glob("*.node-1"))


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        ("012 (1.0.0) Job was held.\n\tout of memory\n", "failed", "job 1 was held: out of memory"),
        ("004 (1.0.0) Job was evicted.\n", "lost", "job 1 was taken from its machine"),
        (
            "005 (1.0.0) Job terminated.\n\t(0) Abnormal\n",
            "failed",
            "job 1 ended without a word: (0) Abnormal",
        ),
    ],
)
def test_what_its_event_log_says(pool: Path, tmp_path: Path, event: str, status: str, reason: str) -> None:
    (pool / "busy").touch()
    job = CondorLauncher().start(world(tmp_path, "x", SAY))
    assert (job.poll(), job.waits, job.lives) == (None, True, True)
    with open(tmp_path / "x" / "world.events", "a") as log:
        log.write(f"001 (1.0.0) Job executing on host\n...\n{event}...\n")
    end = job.wait()
    assert (end.status, end.reason) == (status, reason)
    assert end.taken is (status == "lost")


def test_a_job_that_waits_too_long_is_withdrawn(pool: Path, tmp_path: Path) -> None:
    (pool / "busy").touch()
    end = CondorLauncher(JobSettings(pending_s=0.5)).start(world(tmp_path, "x", SAY)).wait()
    assert (end.status, end.reason) == ("lost", "job 1 had waited for 1 s and was withdrawn")


def test_what_is_refused_is_said_in_its_words(pool: Path, tmp_path: Path) -> None:
    (pool / "refuse").touch()
    with pytest.raises(SchedulerError, match="HTCondor refuses the job: ERROR: no such universe"):
        CondorLauncher().check(world(tmp_path, "x", SAY))
    with pytest.raises(SchedulerError, match="HTCondor refuses the job: ERROR: Failed submission"):
        CondorLauncher().start(world(tmp_path, "x", SAY))
    with pytest.raises(ValueError, match="partition 'gpu': HTCondor has none"):
        CondorLauncher(JobSettings(partition="gpu"))


def test_a_machine_without_htcondor_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(condor, "available", lambda module: False)
    made = CondorLauncher()
    assert "universe = vanilla" in made.describe(world(tmp_path, "x", SAY))
    with pytest.raises(SchedulerError, match=r"there is no condor_submit .*lightning-itwin\[htcondor\]"):
        made.check(world(tmp_path, "x", SAY))


def test_the_bindings_alone_say_that_no_pool_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("htcondor2")
    monkeypatch.setenv("PATH", str(tmp_path))
    CondorLauncher().check(world(tmp_path, "x", SAY))
    with pytest.raises(SchedulerError, match="HTCondor refuses the job: Unable to locate local daemon"):
        CondorLauncher().start(world(tmp_path, "x", SAY))
