import io
import os
import tarfile
from pathlib import Path

import pytest

from lightning_itwin.strategies import horovod_build
from lightning_itwin.strategies.horovod_build import (
    BuildError,
    Target,
    build_environment,
    main,
    patch,
    unpack,
)

GOAL = Target(torch="2.13.0+cpu", python="cp311", machine="linux-x86_64", nccl=False)


@pytest.fixture
def sdist(tmp_path, monkeypatch):
    """A source distribution with the two files that are changed, taken for the known one."""
    file = tmp_path / f"horovod-{horovod_build.VERSION}.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name in ("CMakeLists.txt", "horovod/torch/CMakeLists.txt"):
            content = b"project(horovod)\nset(CMAKE_CXX_STANDARD 14)\n"
            member = tarfile.TarInfo(f"horovod-{horovod_build.VERSION}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    digest = horovod_build.hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(horovod_build, "SDIST_SHA256", digest)
    return file


@pytest.fixture
def steps(monkeypatch, sdist):
    """Runs no pip: downloads the fake source, 'builds' an empty wheel, writes down each step."""
    taken = []

    def run(what, command, environment, log):
        taken.append((what, command, dict(environment)))
        if "download" in command:
            folder = Path(command[command.index("--dest") + 1])
            (folder / sdist.name).write_bytes(sdist.read_bytes())
        elif "wheel" in command:
            folder = Path(command[command.index("--wheel-dir") + 1])
            folder.mkdir()
            source = Path(command[-1])
            (folder / "horovod.whl").write_text((source / "CMakeLists.txt").read_text())

    monkeypatch.setattr(horovod_build, "_run", run)
    monkeypatch.setattr(horovod_build, "_require_tools", lambda environment: None)
    monkeypatch.setattr(horovod_build, "target", lambda gpu, environment: GOAL)
    return taken


def test_recipe_is_that_of_gloo_on_cpu():
    environment = build_environment(GOAL, 3, {"PATH": "/somewhere", "HOME": "/home/me"})
    assert environment["PATH"] == f"{Path(horovod_build.sys.executable).parent}{os.pathsep}/somewhere"
    assert environment["HOME"] == "/home/me"
    expected = {
        "HOROVOD_WITH_PYTORCH": "1", "HOROVOD_WITHOUT_TENSORFLOW": "1", "HOROVOD_WITHOUT_MXNET": "1",
        "HOROVOD_WITHOUT_MPI": "1", "HOROVOD_WITH_GLOO": "1", "HOROVOD_CPU_OPERATIONS": "GLOO",
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5", "MAKEFLAGS": "-j3",
    }  # fmt: skip
    assert environment.items() >= expected.items()
    assert "HOROVOD_GPU_OPERATIONS" not in environment


def test_recipe_averages_with_nccl_on_gpus():
    goal = Target(torch="2.13.0", python="cp311", machine="linux-x86_64", nccl=True)
    assert build_environment(goal, 1, {})["HOROVOD_GPU_OPERATIONS"] == "NCCL"
    assert goal.key.endswith("-nccl")


def test_nccl_needs_the_toolkit():
    with pytest.raises(BuildError, match="needs the CUDA toolkit"):
        horovod_build.target("nccl", {"PATH": "/nowhere"})


def test_torch_is_needed(monkeypatch):
    def no_torch(name):
        raise horovod_build.PackageNotFoundError(name)

    monkeypatch.setattr(horovod_build, "version", no_torch)
    with pytest.raises(BuildError, match="torch is not installed"):
        horovod_build.target("auto", {})


def test_a_compiler_is_needed():
    with pytest.raises(BuildError, match=r"there is no C\+\+ compiler"):
        horovod_build._require_tools({"PATH": "/nowhere"})


def test_patch_asks_for_cpp_20(sdist, tmp_path):
    source = unpack(sdist, tmp_path / "unpacked")
    patch(source)
    for name in ("CMakeLists.txt", "horovod/torch/CMakeLists.txt"):
        assert (source / name).read_text() == "project(horovod)\nset(CMAKE_CXX_STANDARD 20)\n"
    with pytest.raises(BuildError, match="another source"):
        patch(source)


def test_another_source_is_refused(sdist, tmp_path, monkeypatch):
    monkeypatch.setattr(horovod_build, "SDIST_SHA256", "0" * 64)
    with pytest.raises(BuildError, match="it is not used"):
        unpack(sdist, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


def test_builds_once_and_installs(steps, tmp_path, monkeypatch, capsys):
    works = iter([False, True, False, True])
    monkeypatch.setattr(horovod_build, "_works", lambda: next(works))
    arguments = ["--install", "--cache", str(tmp_path / "cache"), "--jobs", "2"]
    assert main(arguments) == 0
    assert [what.split(",")[0] for what, *_ in steps] == ["fetch the sources", "compile", "install"]
    wheel = tmp_path / "cache" / GOAL.key / "horovod.whl"
    assert "set(CMAKE_CXX_STANDARD 20)" in wheel.read_text()
    assert steps[2][1][-1] == str(wheel)
    assert [file.name for file in (tmp_path / "cache").iterdir() if file.is_dir()] == [GOAL.key]
    assert main(arguments) == 0
    assert [what for what, *_ in steps[3:]] == ["install"]
    assert capsys.readouterr().out.count("Building Horovod") == 1


def test_does_nothing_where_it_works(steps, monkeypatch, capsys):
    monkeypatch.setattr(horovod_build, "_works", lambda: True)
    assert main(["--install"]) == 0
    assert steps == []
    assert "nothing to do" in capsys.readouterr().out


def test_says_when_the_installed_one_does_not_work(steps, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(horovod_build, "_works", lambda: False)
    assert main(["--install", "--cache", str(tmp_path / "cache")]) == 1
    assert "does not work" in capsys.readouterr().err


def test_interrupted_leaves_nothing_half_built(steps, tmp_path, monkeypatch, capsys):
    def interrupted(what, command, environment, log):
        raise KeyboardInterrupt

    monkeypatch.setattr(horovod_build, "_run", interrupted)
    assert main(["--force", "--cache", str(tmp_path / "cache")]) == 130
    assert not [file for file in (tmp_path / "cache").iterdir() if file.is_dir()]


def test_a_failed_step_shows_its_errors_and_log(tmp_path, capfd):
    log = tmp_path / "build.log"
    code = "import sys; print('fatal error: torch.h'); sys.exit(3)"
    with pytest.raises(BuildError, match="'compile' failed with status 3") as told:
        horovod_build._run("compile", [horovod_build.sys.executable, "-c", code], os.environ, log)
    assert "fatal error: torch.h" in str(told.value)
    assert str(log) in str(told.value)
    assert log.read_text().startswith("$ ")


def test_failure_is_told_in_a_few_lines(steps, monkeypatch, tmp_path, capsys):
    def failing(what, command, environment, log):
        raise BuildError(f"the step '{what}' failed")

    monkeypatch.setattr(horovod_build, "_run", failing)
    assert main(["--force", "--cache", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error == "Horovod cannot be built: the step 'fetch the sources' failed\n"
