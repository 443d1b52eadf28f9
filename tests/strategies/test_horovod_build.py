import io
import tarfile
from pathlib import Path

import pytest

from lightning_itwin.strategies import horovod_build
from lightning_itwin.strategies.horovod_build import HorovodBuildError


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for pip: gives a source like Horovod's, and a wheel for it; remembers what it was asked."""
    asked: list[list[str]] = []

    def step(what: str, arguments: list[str], output: object, environment: dict[str, str]) -> None:
        asked.append(arguments)
        if arguments[0] == "download":
            archive = Path(arguments[arguments.index("--dest") + 1]) / "horovod-0.28.1.tar.gz"
            with tarfile.open(archive, "w:gz") as tar:
                for name in ("CMakeLists.txt", "horovod/torch/CMakeLists.txt"):
                    text = b"set(CMAKE_CXX_STANDARD 14)\nset(CMAKE_CXX_STANDARD_REQUIRED ON)\n"
                    entry = tarfile.TarInfo(f"horovod-0.28.1/{name}")
                    entry.size = len(text)
                    tar.addfile(entry, io.BytesIO(text))
        elif arguments[0] == "wheel":
            source = Path(arguments[-1])
            assert "STANDARD 20)" in (source / "CMakeLists.txt").read_text()
            assert "STANDARD 20)" in (source / "horovod" / "torch" / "CMakeLists.txt").read_text()
            assert environment["HOROVOD_CPU_OPERATIONS"] == "GLOO"
            folder = Path(arguments[arguments.index("--wheel-dir") + 1])
            folder.mkdir()
            (folder / "horovod-0.28.1-cp311-cp311-linux_x86_64.whl").write_text("wheel")

    monkeypatch.setattr(horovod_build, "_step", step)
    monkeypatch.setattr(horovod_build, "available", lambda module: True)
    return asked


def test_a_wheel_is_built_once_and_found_again(tmp_path: Path, index: list[list[str]]) -> None:
    built = horovod_build.build(tmp_path, nccl=False)
    assert built == horovod_build.find(tmp_path, nccl=False)
    assert horovod_build.find(tmp_path, nccl=True) is None
    assert horovod_build.main(["--cache", str(tmp_path), "--gpu", "none"]) == 0
    assert [arguments[0] for arguments in index] == ["download", "wheel"]


def test_nothing_of_an_interrupted_build_is_left(
    tmp_path: Path, index: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = horovod_build._step

    def interrupted(what: str, arguments: list[str], *rest: object) -> None:
        if arguments[0] == "wheel":
            raise KeyboardInterrupt
        step(what, arguments, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(horovod_build, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        horovod_build.build(tmp_path, nccl=False)
    assert horovod_build.find(tmp_path, nccl=False) is None
    assert [path.suffix for path in tmp_path.iterdir()] == [".log"]


def test_the_wheels_folder_bears_all_that_it_is_bound_to() -> None:
    import torch

    name = horovod_build.key(nccl=False)
    assert f"torch-{torch.__version__}" in name
    assert name != horovod_build.key(nccl=True)


def test_a_missing_tool_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horovod_build, "available", lambda module: module != "cmake")
    with pytest.raises(HorovodBuildError, match=r"needs cmake: pip install 'lightning-itwin\[horovod\]'"):
        horovod_build.build(tmp_path, nccl=False)


def test_a_missing_compiler_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horovod_build, "available", lambda module: True)
    monkeypatch.setattr(horovod_build.shutil, "which", lambda name: None)
    with pytest.raises(HorovodBuildError, match="needs a C\\+\\+ compiler"):
        horovod_build.build(tmp_path, nccl=False)


def test_a_failed_step_names_its_cause_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    with open(log, "wb") as output, pytest.raises(HorovodBuildError, match="building failed") as raised:
        horovod_build._step("building", ["wheel", str(tmp_path / "nothing")], output, {"PATH": ""})
    assert str(log) in str(raised.value)


def test_another_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text("set(CMAKE_CXX_STANDARD 17)\n")
    with pytest.raises(HorovodBuildError, match="is it another version"):
        horovod_build._mend(tmp_path)
