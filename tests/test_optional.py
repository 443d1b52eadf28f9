from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lightning_itwin.optional import MissingExtraError, available, require


def test_what_is_there_is_imported() -> None:
    assert require("json", extra="none") is sys.modules["json"]
    assert require("json.decoder", extra="none").__name__ == "json.decoder"


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.part", "json.no_such_part"])
def test_what_is_missing_names_the_command_that_brings_it(module: str) -> None:
    assert not available(module)
    with pytest.raises(MissingExtraError) as caught:
        require(module, extra="carbon")
    assert repr(module) in str(caught.value)
    assert "pip install 'lightning-itwin[carbon]'" in str(caught.value)


def test_a_missing_extra_is_an_import_error() -> None:
    assert issubclass(MissingExtraError, ImportError)


def test_asking_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "has_side_effects.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert available("has_side_effects")
    assert "has_side_effects" not in sys.modules


def test_a_blocked_module_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    assert not available("codecarbon")
    with pytest.raises(MissingExtraError):
        require("codecarbon", extra="carbon")


def test_a_module_that_is_there_and_broken_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("import no_such_dependency", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("broken_module", extra="carbon")


def test_every_extra_that_is_named_in_the_code_exists() -> None:
    root = Path(__file__).parents[1]
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    named = {
        line.split('extra="')[1].split('"')[0]
        for path in (root / "lightning_itwin").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "require(" in line and 'extra="' in line and ">>>" not in line
    }
    assert named
    assert named <= set(extras)
