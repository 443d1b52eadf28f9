"""What a sweep does with jobs, whatever the scheduler; and the whole way through a pool of programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lightning_itwin.bench.job_list import JOBS, read_jobs
from lightning_itwin.bench.jobs import living_jobs
from lightning_itwin.bench.plan import Plan
from lightning_itwin.bench.run import records_of
from lightning_itwin.bench.settle import settle
from lightning_itwin.launch import CondorLauncher, SchedulerError, Submitted, World, WorldEnd, condor
from lightning_itwin.records import Run
from tests.bench.light_jobs import LightSweep, small
from tests.launch.condor_pool import write_programs
from tests.launch.slurm_daemons import wait_for


class RememberedJob:
    """A job that ends as it is told."""

    def __init__(self, submitted: Submitted, end: WorldEnd | None, lives: bool | None = True) -> None:
        self.submitted = submitted
        self.end = end
        self.lives = lives
        self.waits = False
        self.stopped = False

    def poll(self) -> WorldEnd | None:
        return self.end

    def wait(self) -> WorldEnd:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopped = True


class RememberingJobs:
    """A scheduler of the mind.

    Args:
        most: jobs that it takes before it refuses.
    """

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.jobs: dict[str, RememberedJob] = {}
        self.after: dict[str, list[str]] = {}

    def start(self, world: World, after: Sequence[Submitted] = ()) -> RememberedJob:
        if len(self.jobs) >= self.most and not after:
            raise SchedulerError("SLURM refuses the job: Job violates accounting/QOS policy")
        job = RememberedJob(Submitted(job=str(len(self.jobs) + 1), world=world), None)
        self.jobs[job.submitted.job] = job
        self.after[world.log.stem] = [one.job for one in after]
        return job

    def living(self, worlds: Sequence[World]) -> list[RememberedJob]:
        marks = {world.mark for world in worlds}
        return [
            job
            for job in self.jobs.values()
            if job.submitted.world.mark in marks and job.end is None and not job.stopped
        ]

    def adopt(self, world: World) -> RememberedJob | None:
        return next(iter(self.living([world])), None)

    def attach(self, submitted: Submitted) -> RememberedJob:
        return self.jobs[submitted.job]

    def cancel_command(self, jobs: Sequence[Submitted]) -> str:
        return "scancel " + " ".join(one.job for one in jobs)

    def describe(self, world: World) -> str:
        return ""

    def script(self, world: World, after: Sequence[Submitted] = ()) -> str:
        return ""

    def check(self, world: World) -> None:
        raise NotImplementedError


@pytest.fixture
def light(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> LightSweep:
    return LightSweep(tmp_path / "sweep", small(plan, ("ddp", "horovod"), (1, 2)), monkeypatch)


def test_the_report_follows_all_jobs_that_live(light: LightSweep) -> None:
    scheduler = RememberingJobs()
    names = light.submit(light.open(scheduler, "slurm_jobs"))
    assert sorted(names) == ["ddp-w1-r0", "ddp-w2-r0", "horovod-w1-r0", "horovod-w2-r0"]
    assert scheduler.after["report"] == ["1", "2", "3", "4"]
    scheduler.jobs["2"].end = WorldEnd(status="lost", wall_s=3.0, reason="job 2 was preempted", taken=True)
    again = light.open(scheduler, "slurm_jobs")
    assert len(again.living) == 3
    assert light.submit(again) == [names[1]]
    assert scheduler.jobs["5"].stopped
    assert scheduler.after["report"] == ["1", "3", "4", "6"]
    third = light.open(scheduler, "slurm_jobs")
    assert light.submit(third) == []  # all live, and their report too: nothing new
    assert len(scheduler.jobs) == 7
    assert third.cancel_command() == "scancel 1 3 4 6"


def test_how_a_job_ended_is_written_down_once(light: LightSweep) -> None:
    scheduler = RememberingJobs()
    jobs = light.open(scheduler, "slurm_jobs")
    first = light.submit(jobs)[0]
    cell = next(cell for cell in jobs.living if cell.name == first)
    scheduler.jobs["1"].end = WorldEnd(
        status="lost", wall_s=3.0, reason="job 1 was preempted", log_tail="its last words", started_unix_s=7.0
    )
    light.open(scheduler, "slurm_jobs")
    outcome = Run.read(records_of(light.folder, cell)).outcome
    assert outcome is not None
    assert (outcome.status, outcome.reason, outcome.log) == (
        "failed",
        "job 1 was preempted",
        f"logs/{first}.log",
    )
    assert (outcome.log_tail, outcome.wall_s, outcome.started_unix_s) == ("its last words", 3.0, 7.0)


def test_a_scheduler_that_takes_no_more_leaves_what_it_took_and_a_report(light: LightSweep) -> None:
    scheduler = RememberingJobs(most=2)
    jobs = light.open(scheduler, "slurm_jobs")
    with pytest.raises(SchedulerError, match="violates accounting/QOS policy"):
        light.submit(jobs)
    assert len(jobs.living) == 2
    assert scheduler.after["report"] == ["1", "2"]
    scheduler.most = 100
    assert len(light.submit(light.open(scheduler, "slurm_jobs"))) == 2
    assert scheduler.after["report"] == ["1", "2", "4", "5"]


def test_who_settles_waits_for_what_lives_and_gives_up_what_nobody_tells(
    light: LightSweep,
) -> None:
    scheduler = RememberingJobs()
    light.submit(light.open(scheduler, "slurm_jobs"))
    known = read_jobs(light.folder)
    assert known is not None
    scheduler.jobs["2"].lives = None
    turns = 0

    def sleep(seconds: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            for number in ("1", "3", "4"):
                scheduler.jobs[number].end = WorldEnd(status="ok", wall_s=1.0)
                scheduler.jobs[number].lives = False

    [failed] = settle(light.folder, known, scheduler, limit_s=0.0, sleep=sleep)
    assert turns >= 3
    assert failed.reason == "job 2 ended without a word, and its scheduler does not tell how"
    assert settle(light.folder, known, scheduler, limit_s=0.0, sleep=sleep) == [failed]


def test_jobs_that_live_are_seen_without_the_plan(light: LightSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    assert living_jobs(light.folder) is None
    scheduler = RememberingJobs()
    light.submit(light.open(scheduler, "slurm_jobs"))
    known = read_jobs(light.folder)
    monkeypatch.setattr(type(known), "job_launcher", lambda self: scheduler)
    found = living_jobs(light.folder)
    assert found is not None
    assert [one.job for one in found[1]] == ["1", "2", "3", "4"]
    for job in scheduler.jobs.values():
        job.end = WorldEnd(status="ok", wall_s=1.0)
    assert living_jobs(light.folder) is None


def test_two_folders_of_one_name_share_no_jobs(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = RememberingJobs()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        light = LightSweep(tmp_path / place / "a sweep, mine", small(plan), monkeypatch)
        assert light.submit(light.open(scheduler, "slurm_jobs")) == ["ddp-w2-r0"]
    marks = {job.submitted.world.mark for job in scheduler.jobs.values()}
    assert len(marks) == 4
    assert not [mark for mark in marks if "," in mark or " " in mark]


def test_a_list_of_jobs_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / JOBS).write_text("{}")
    with pytest.raises(ValueError, match=r"jobs.json does not tell the jobs of a sweep: KeyError"):
        read_jobs(tmp_path)


def test_a_sweep_through_a_pool_and_its_report_after_it(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = write_programs(tmp_path / "pool")
    monkeypatch.setenv("PATH", f"{pool}:/usr/bin:/bin")
    monkeypatch.setattr(condor, "_WAIT_S", 0.1)
    light = LightSweep(tmp_path / "sweep", small(plan, ("ddp", "horovod")), monkeypatch)
    (light.folder / "fail-horovod-w2-r0").touch()
    light.hold("ddp-w2-r0")
    jobs = light.open(CondorLauncher(), "htcondor")
    assert sorted(light.submit(jobs)) == ["ddp-w2-r0", "horovod-w2-r0"]
    wait_for(lambda: light.trains("ddp-w2-r0", 2), 30.0)
    found = living_jobs(light.folder)
    assert found is not None
    assert "ddp-w2-r0" in {one.world.log.stem for one in found[1]}
    assert not (light.folder / "reported").exists()
    light.let_go()
    again = light.open(CondorLauncher(), "htcondor")
    ends = {**light.wait(jobs), **light.wait(again)}
    assert {name: end.status for name, end in ends.items()} == {"ddp-w2-r0": "ok", "horovod-w2-r0": "failed"}
    assert ends["horovod-w2-r0"].reason == "FloatingPointError: the loss is NaN"
    assert json.loads((light.folder / JOBS).read_text())["launcher"] == "htcondor"
    wait_for(lambda: (light.folder / "reported").exists(), 30.0)
