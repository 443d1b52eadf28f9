from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna")

import optuna

from lightning_itwin.hpo.journal import WholeJournal
from lightning_itwin.hpo.storage import open_storage, storage_errors, storage_url
from lightning_itwin.hpo.study_plan import StudyError


def new_study(path: Path) -> optuna.Study:
    return optuna.create_study(
        study_name="s", storage=open_storage(f"journal://{path.absolute()}"), load_if_exists=True
    )


def test_half_a_line_of_a_killed_writer_is_cut_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = new_study(path)
    study.ask().report(0.5, 1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":7,"worker_id":"x","trial_')
    again = new_study(path)
    again.tell(0, 0.25)
    assert path.read_bytes().startswith(whole)
    assert all(line.startswith(b"{") and line.endswith(b"}") for line in path.read_bytes().splitlines())
    row = new_study(path).trials[0]
    assert (row.state.name, row.value, row.intermediate_values) == ("COMPLETE", 0.25, {1: 0.5})


def test_what_was_glued_to_half_a_line_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = new_study(path)
    study.ask()
    before = len(path.read_bytes())
    study.tell(0, 0.25)
    whole = path.read_bytes()
    path.write_bytes(whole[:before] + b'{"op_code":7,"wor' + whole[before:])
    with pytest.raises(storage_errors()):
        new_study(path).ask()
    assert WholeJournal(path).mend() == 1
    assert new_study(path).trials[0].value == 0.25
    assert WholeJournal(path).mend() == 0


WRITER = """
import os, signal, sys
from pathlib import Path
import lightning_itwin.hpo.journal as journal
from lightning_itwin.hpo.storage import open_storage
import optuna
study = optuna.load_study(study_name="s", storage=open_storage("journal://" + sys.argv[1]))
trial = study.ask()
real = os.fsync
class Half:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def __enter__(self): return self
    def __exit__(self, *end): self.file.close()
    def write(self, text):
        self.file.write(text[: len(text) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
opened = open
journal.open = lambda *given, **named: Half(opened(*given, **named))
trial.report(0.5, 1)
"""


def test_a_writer_killed_in_the_middle_of_a_write_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = new_study(path)
    ended = subprocess.run([sys.executable, "-c", WRITER, str(path)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not path.read_bytes().endswith(b"\n")
    assert os.path.lexists(f"{path}.lock")
    started_s = time.monotonic()
    study.tell(0, 0.25)
    assert time.monotonic() - started_s < 10  # Optuna's own lock would be waited for 30 s
    row = new_study(path).trials[0]
    assert (row.value, row.intermediate_values) == (0.25, {})


FULL = """
import resource, sys
from lightning_itwin.hpo.storage import open_storage
import optuna
study = optuna.load_study(study_name="s", storage=open_storage("journal://" + sys.argv[1]))
trial = study.ask()
import os
room = os.path.getsize(sys.argv[1]) + 40
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
try:
    trial.report(0.5, 1)
except OSError as error:
    print("full:", error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
trial.report(0.5, 1)
study.tell(trial, 0.25)
"""


def test_a_full_disk_leaves_no_half_line_and_the_study_goes_on_with_room(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("this process has a limit on file sizes already")
    path = tmp_path / "journal.log"
    new_study(path)
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], timeout=60, check=False, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("full: File too large")
    row = new_study(path).trials[0]
    assert (row.value, row.intermediate_values) == (0.25, {1: 0.5})


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    new_study(path)

    def write() -> None:
        study = new_study(path)
        for _ in range(5):
            trial = study.ask()
            trial.report(1.0, 1)
            study.tell(trial, 1.0)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = new_study(path).trials
    assert [row.number for row in rows] == list(range(20))
    assert all(row.intermediate_values == {1: 1.0} for row in rows)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("rows.log", "journal:///data/rows.log"),
        ("sqlite:///rows.db", "sqlite:////data/rows.db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("mysql+pymysql://user@host/db", "mysql+pymysql://user@host/db"),
    ],
)
def test_paths_in_urls_become_absolute(given: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "absolute", lambda path: Path("/data") / path)
    assert storage_url(given, Path("study")) == url


def test_an_unknown_storage_is_named() -> None:
    with pytest.raises(StudyError, match=r"storage 'redis://x' is not known; give a path"):
        storage_url("redis://x", Path())


def test_sqlite_is_a_storage_too(tmp_path: Path) -> None:
    url = storage_url(f"sqlite:///{tmp_path / 'rows.db'}", tmp_path)
    study = optuna.create_study(storage=open_storage(url))
    study.tell(study.ask(), 1.0)
    assert study.best_value == 1.0
