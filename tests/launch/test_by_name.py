from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("submitit")

from lightning_itwin.launch import CondorLauncher, JobSettings, LocalLauncher, SlurmJobLauncher, World
from lightning_itwin.launch.by_name import LAUNCHERS, LauncherError, adopt, job_launcher, make_launcher
from tests.launch.condor_pool import write_programs


@pytest.fixture
def asked(tmp_path: Path) -> World:
    return World(command=(), workers=1, starter="ranks", log=tmp_path / "world.log", mark="a mark")


def test_a_name_that_is_none_is_told_what_there_is(asked: World) -> None:
    with pytest.raises(LauncherError, match="launcher 'pbs': it has to be one of local, slurm, "):
        make_launcher("pbs", JobSettings(), [asked])
    assert LAUNCHERS == ("local", "slurm", "slurm_jobs", "htcondor", "ray")


def test_jobs_of_htcondor_by_name(asked: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = write_programs(tmp_path / "pool")
    monkeypatch.setenv("PATH", f"{pool}:/usr/bin:/bin")
    assert isinstance(make_launcher("htcondor", JobSettings(), [asked]), CondorLauncher)
    (pool / "refuse").touch()
    with pytest.raises(LauncherError, match="launcher htcondor: HTCondor refuses the job: ERROR: no such"):
        make_launcher("htcondor", JobSettings(), [asked])
    with pytest.raises(LauncherError, match="launcher htcondor: partition 'gpu'"):
        job_launcher("htcondor", JobSettings(partition="gpu"))


def test_a_job_of_htcondor_is_found_by_whoever_comes_next(
    asked: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = write_programs(tmp_path / "pool")
    monkeypatch.setenv("PATH", f"{pool}:/usr/bin:/bin")
    monkeypatch.setattr(SlurmJobLauncher, "living", lambda self, worlds: [])
    (pool / "busy").touch()
    CondorLauncher().start(asked)
    for launcher in (LocalLauncher(), SlurmJobLauncher(), CondorLauncher()):
        assert adopt(launcher, asked) is not None
