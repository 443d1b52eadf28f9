from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_itwin.sustainability import main
from tests.reports.sustainability.synthetic import write_run

ROOT = Path(__file__).resolve().parents[1]
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "codecarbon", "pandas", "altair", "vl_convert"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Blocked())
from lightning_itwin.sustainability import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_page_is_made_without_torch_and_extras(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    ended = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
    assert "net energy   2.00 kWh" in ended.stdout
    assert "net carbon   0.600 kg (600 g)" in ended.stdout
    assert "6.19 hours of a 32-inch LCD television" in ended.stdout
    assert (tmp_path / "sustainability.html").exists()


def test_the_page_goes_where_it_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name / "one", run_id=name)
    output = tmp_path / "new" / "page.html"
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(output), "--title", "Ours"]) == 0
    assert "<h1>Ours</h1>" in output.read_text()
    assert "a/one" in output.read_text()
    assert main([str(tmp_path / "a"), "--output", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "sustainability.html").exists()
    assert not list((tmp_path / "new").glob(".*"))


def test_errors_are_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no page: no energy was found in" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no page: there is no folder" in capsys.readouterr().err
    write_run(tmp_path / "a")
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path), "--output", str(tmp_path / "file" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_warnings_go_to_the_error_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "a")
    with open(folder / "rank-0000.jsonl", "a", encoding="utf-8") as file:
        file.write("broken\n" * 30)
    assert main([str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert told.err.count("row passed over") == 20
    assert "and 10 more; see the page" in told.err


def test_a_run_that_knows_no_grid_has_no_carbon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.reports.sustainability.synthetic import carbon

    write_run(tmp_path / "a", records=[carbon(1.0, 1.0, emissions_kg=None)])
    assert main([str(tmp_path)]) == 0
    assert "net carbon   n/a: no grid is known" in capsys.readouterr().out
