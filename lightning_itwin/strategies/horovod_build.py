"""Builds Horovod for the torch that is there (run as ``python -m``, ``--install`` installs the wheel).

Horovod 0.28.1, the newest release, asks for C++14, and torch's headers need C++17 and newer since torch 2.1;
its Gloo asks for a CMake older than pip's. This command fetches the source by pip, mends both, builds (with
Gloo, and with NCCL where a CUDA build of torch and a CUDA toolkit are found) and keeps the wheel in a cache,
under a name that bears the versions which it is bound to.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin.optional import available

VERSION = "0.28.1"
_STANDARD = "set(CMAKE_CXX_STANDARD 14)", "set(CMAKE_CXX_STANDARD 20)"
_PATCHED = ("CMakeLists.txt", "horovod/torch/CMakeLists.txt")
_TOOLS = (
    "torch",
    "cmake",
    "ninja",
    "setuptools",
    "wheel",
    "cloudpickle",
    "psutil",
    "yaml",
    "packaging",
    "cffi",
)
_PROBE = "import horovod.torch as hvd; hvd.init(); print(hvd.gloo_built(), hvd.nccl_built())"
_ENVIRONMENT = {
    "HOROVOD_WITH_PYTORCH": "1",
    "HOROVOD_WITHOUT_TENSORFLOW": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
    "HOROVOD_WITHOUT_MPI": "1",
    "HOROVOD_WITH_GLOO": "1",
    "HOROVOD_CPU_OPERATIONS": "GLOO",
    "CMAKE_POLICY_VERSION_MINIMUM": "3.5",  # CMake 4 refuses the 3.1 that Gloo asks for
}


class HorovodBuildError(RuntimeError):
    """Horovod cannot be built here; the message says why and where the log is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Build, or find in the cache, and install if asked to; give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lightning_itwin.strategies.horovod_build",
        description=f"Build Horovod {VERSION} for the torch that is there, and keep the wheel in a cache.",
    )
    parser.add_argument("--install", action="store_true", help="install the wheel into this environment")
    parser.add_argument(
        "--force", action="store_true", help="build even if a wheel or a working Horovod is there"
    )
    parser.add_argument(
        "--gpu",
        choices=("auto", "nccl", "none"),
        default="auto",
        help="NCCL on GPUs (default: where torch has CUDA and a CUDA toolkit is found)",
    )
    parser.add_argument(
        "--cache", type=Path, default=cache(), help="folder of the wheels (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="compilers at once (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    if options.install and not options.force and works():
        print(f"Horovod is installed and works with torch {_torch_version()}")
        return 0
    try:
        nccl = _with_nccl(options.gpu)
        wheel = find(options.cache, nccl=nccl)
        if wheel is None or options.force:
            wheel = build(options.cache, nccl=nccl, jobs=options.jobs)
        print(f"wheel: {wheel}")
        if options.install:
            install(wheel)
            print(f"Horovod {VERSION} is installed")
    except HorovodBuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def cache() -> Path:
    """Give the default folder of the wheels, below the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "lightning_itwin" / "wheels"


def works() -> bool:
    """Say whether an installed Horovod runs with the installed torch, in a process of its own."""
    return available("horovod.torch") and _quiet([sys.executable, "-c", _PROBE]) == 0


def key(*, nccl: bool) -> str:
    """Give the name of the folder of a wheel: all that it is bound to."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    device = "nccl" if nccl else "cpu"
    return f"horovod-{VERSION}-torch-{_torch_version()}-{python}-{platform.machine()}-{device}"


def find(folder: Path, *, nccl: bool) -> Path | None:
    """Give the wheel that fits this environment, if the cache has one."""
    return next((folder / key(nccl=nccl)).glob("*.whl"), None)


def build(folder: Path, *, nccl: bool, jobs: int | None = None) -> Path:
    """Fetch, mend and build; the wheel moves into the cache as a whole or not at all.

    Args:
        folder: the cache.
        nccl: whether GPUs talk by NCCL.
        jobs: compilers at once.

    Raises:
        HorovodBuildError: something that building needs is missing, or a step failed.
    """
    missing = [tool for tool in _TOOLS if not available(tool)]
    if missing:
        raise HorovodBuildError(
            f"building Horovod needs {', '.join(missing)}: pip install 'lightning-itwin[horovod]'"
        )
    if shutil.which(os.environ.get("CXX", "c++")) is None and shutil.which("g++") is None:
        raise HorovodBuildError(
            "building Horovod needs a C++ compiler, and none is on PATH: load its module, or install g++"
        )
    target = folder / key(nccl=nccl)
    log = folder / f"{target.name}.log"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"building Horovod {VERSION} for torch {_torch_version()}: some minutes; log: {log}", flush=True)
    with tempfile.TemporaryDirectory(prefix="horovod-", dir=folder) as work, open(log, "wb") as output:
        source = _fetch(Path(work), output)
        _mend(source)
        environment = {
            **os.environ,
            **_ENVIRONMENT,
            **({"HOROVOD_GPU_OPERATIONS": "NCCL"} if nccl else {}),
            **({"MAKEFLAGS": f"-j{jobs}", "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs)} if jobs else {}),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        _step("building", ["wheel", "--wheel-dir", f"{work}/wheel", str(source)], output, environment)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(f"{work}/wheel", target)
    wheel = find(folder, nccl=nccl)
    if wheel is None:
        raise HorovodBuildError(f"the build left no wheel; see {log}")
    return wheel


def install(wheel: Path) -> None:
    """Install a wheel and see that it works.

    Raises:
        HorovodBuildError: pip refuses it, or it does not run with the installed torch.
    """
    log = wheel.parent.with_suffix(".install.log")
    with open(log, "wb") as output:
        _step("installing", ["install", "--force-reinstall", str(wheel)], output, dict(os.environ))
    if not works():
        raise HorovodBuildError(f"{wheel} is installed and does not run; build it anew with --force")


def _fetch(work: Path, output: object) -> Path:
    arguments = ["download", "--no-binary", "horovod", "--dest", str(work), f"horovod=={VERSION}"]
    _step("fetching the source", arguments, output, dict(os.environ))
    archive = next(work.glob("horovod-*.tar.gz"), None)
    if archive is None:
        raise HorovodBuildError(f"the package index gave no source of Horovod {VERSION}")
    with tarfile.open(archive) as tar:
        tar.extractall(work, filter="data")
    return work / f"horovod-{VERSION}"


def _mend(source: Path) -> None:
    before, after = _STANDARD
    for name in _PATCHED:
        path = source / name
        text = path.read_text(encoding="utf-8")
        if before not in text:
            raise HorovodBuildError(
                f"{name} of Horovod {VERSION} does not say {before!r}; is it another version?"
            )
        path.write_text(text.replace(before, after), encoding="utf-8")


def _step(what: str, arguments: list[str], output: object, environment: dict[str, str]) -> None:
    """Run one command of pip, without build isolation: Horovod is built against the torch that is here."""
    command, *rest = arguments
    isolation = [] if command == "install" else ["--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", command, "--no-deps", *isolation, *rest]
    ended = subprocess.run(
        pip, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
    )  # type: ignore[call-overload]
    if ended.returncode:
        log = Path(getattr(output, "name", ""))
        raise HorovodBuildError(f"{what} failed: {_first_error(log)}\n(whole log: {log})")


def _first_error(log: Path) -> str:
    """Give the line of a build log that names the cause."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for mark in (
        "CMake Error",
        ": error:",
        "fatal error",
        "No matching distribution",
        "Could not find",
        "ERROR:",
    ):
        for number, line in enumerate(lines):
            if mark in line:
                return " ".join(part.strip() for part in lines[number : number + 2])[:400]
    return lines[-1].strip()[:400] if lines else "no output"


def _with_nccl(wanted: str) -> bool:
    if wanted != "auto":
        return wanted == "nccl"
    if not available("torch"):
        return False
    import torch

    toolkit = shutil.which("nvcc") or os.environ.get("CUDA_HOME") or os.environ.get("HOROVOD_CUDA_HOME")
    return bool(torch.version.cuda and toolkit)


def _torch_version() -> str:
    if not available("torch"):
        raise HorovodBuildError("torch is not installed: pip install torch")
    import torch

    return torch.__version__


def _quiet(command: list[str]) -> int:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        ).returncode
    return 1


if __name__ == "__main__":
    sys.exit(main())
