"""Rules of the house that no linter holds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lightning_itwin

PACKAGE = Path(lightning_itwin.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    "torch",
    "lightning",
    "numpy",
    "pandas",
    "tensorboard",
    "codecarbon",
    "deepspeed",
    "horovod",
    "pynvml",
)
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}


def loaded_by(statement: str, names: tuple[str, ...]) -> list[str]:
    """Give which of the named packages a fresh interpreter has loaded after a statement."""
    script = f"import sys\n{statement}\nprint(*[name for name in {names!r} if name in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import lightning_itwin", HEAVY) == []


@pytest.mark.parametrize("room", ["records", "optional", "strategy_names"])
def test_the_ground_floor_loads_nothing_heavy(room: str) -> None:
    assert loaded_by(f"import lightning_itwin.{room}", HEAVY) == []


def test_the_callbacks_load_no_optional_dependency() -> None:
    optional = ("codecarbon", "deepspeed", "horovod", "pandas", "h5py", "altair")
    assert loaded_by("import lightning_itwin.callbacks", optional) == []


def test_importing_the_callbacks_opens_no_socket_and_starts_no_thread() -> None:
    script = """
import socket, sys, threading
import lightning.pytorch
class NoSocket(socket.socket):
    def __init__(self, *args, **kwargs):
        raise AssertionError("a socket was opened")
socket.socket = NoSocket
before = threading.active_count()
import lightning_itwin.callbacks
assert threading.active_count() == before
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_keeps_the_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert not FORBIDDEN_NAMES & set(path.relative_to(PACKAGE).with_suffix("").parts)
    assert ast.get_docstring(tree) or not text.strip()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):  # for the type checker alone
            narrows = re.fullmatch(r".* is not None|isinstance\(.*\)", ast.unparse(node.test))
            assert narrows, f"line {node.lineno}: raise an error that helps instead"
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            cleans_up = isinstance(node.body[-1], ast.Raise)
            narrow = caught not in ("everything", "Exception", "BaseException")
            assert narrow or cleans_up, f"line {node.lineno}"
    imported = re.findall(
        r"^(?:import|from)\s+(codecarbon|deepspeed|horovod|h5py|altair)\b", text, re.MULTILINE
    )
    allowed = path.name.startswith(("deepspeed", "horovod"))  # which are imported by their name alone
    assert allowed or not imported, (
        "optional dependencies come late, through lightning_itwin.optional.require"
    )


def test_nothing_unpickles() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text, path
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert re.search(r"weights_only=(?!False)", call), path
