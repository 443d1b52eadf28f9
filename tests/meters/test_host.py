from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lightning_itwin.meters import host


def test_the_host_agrees_with_psutil() -> None:
    assert host.memory_gib() == pytest.approx(psutil.virtual_memory().total / 2**30, rel=0.01)
    assert host.cpu_cores() == len(psutil.Process().cpu_affinity())
    assert host.cpu_name()


def test_the_name_of_an_arm_processor_falls_back_to_its_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, **_: "processor\t: 0\nCPU part\t: 0xd0c\n")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert host.cpu_name() == "aarch64"


def test_without_proc_there_is_a_name_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **_: object) -> str:
        raise PermissionError(self)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert host.cpu_name()
    assert 0 <= host.machine_number() < 2**48


def test_the_processes_of_a_machine_share_its_number() -> None:
    command = "from lightning_itwin.meters import host; print(host.machine_number())"
    told = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(told.stdout) == host.machine_number()
    assert float(host.machine_number()) == host.machine_number()  # a double carries it between ranks


def test_versions_of_what_is_installed_alone() -> None:
    versions = host.library_versions(("torch", "no-such-library"))
    assert set(versions) == {"python", "torch"}


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], check=True, timeout=20, env=environment
        )

    assert host.git_commit(tmp_path) is None
    git("init", "-q")
    assert host.git_commit(tmp_path) is None
    (tmp_path / "file").write_text("1", encoding="utf-8")
    git("add", "file")
    git("commit", "-q", "-m", "First")
    commit = host.git_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "file").write_text("2", encoding="utf-8")
    assert host.git_commit(tmp_path) == commit + "+"


def test_no_git_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert host.git_commit() is None
