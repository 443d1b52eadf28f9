from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("tensorboard")

from lightning_itwin.report import main
from tests.reports.synthetic import write_failure, write_run

ROOT = Path(__file__).resolve().parents[1]
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "pytorch_lightning", "pandas"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Blocked())
from lightning_itwin.report import main
sys.exit(main(sys.argv[1:]))
"""


def run_blocked(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_report_is_made_without_torch(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 12.0)
    ended = run_blocked(str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert "n/a (no GPU)" in ended.stdout
    assert "Shortest time: ddp on 1 worker" in ended.stdout
    assert f"tensorboard --logdir {tmp_path / 'tensorboard'}" in ended.stdout
    assert (tmp_path / "report.html").exists()


def test_help_is_complete_and_quick_to_import() -> None:
    ended = run_blocked("--help")
    assert ended.returncode == 0
    for told in ("DIR", "--output", "--allow-mixed", "batch_size", "exit code", "--title"):
        assert told in ended.stdout


def test_no_data_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert f"no runs in {tmp_path}" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_what_cannot_be_compared_is_refused_until_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "ddp", 1, 0, 12.0)
    write_run(tmp_path, "horovod", 1, 0, 12.0, precision="bf16-mixed")
    assert main([str(tmp_path)]) == 2
    assert "--allow-mixed precision" in capsys.readouterr().err
    assert main([str(tmp_path), "--allow-mixed", "precision", "--output", str(tmp_path / "out")]) == 0
    assert "mixed as you allowed" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 2


def test_a_sweep_of_which_all_failed_leaves_a_page_and_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_failure(tmp_path, "ddp", 1, 0, "out of memory")
    assert main([str(tmp_path)]) == 2
    assert "every training failed" in capsys.readouterr().err
    assert "out of memory" in (tmp_path / "report.html").read_text(encoding="utf-8")
    (row,) = json.loads((tmp_path / "results.json").read_text())
    assert row["status"] == "failed"
