"""Build Horovod for the torch that is installed: ``python -m lightning_itwin.strategies.horovod_build``.

Horovod 0.28.1, its last release, asks for C++14, and torch's headers want C++20: its own source distribution
cannot be built against a current torch. This command fetches it, changes that line, builds a wheel with Gloo
(and NCCL where the CUDA toolkit is there), and keeps it, so that the next environment with the same torch has
it at once. It takes a few minutes and needs a C++ compiler; cmake comes from pip.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSION = "0.28.1"
SDIST_SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"
_CPP_STANDARD = ("set(CMAKE_CXX_STANDARD 14)", "set(CMAKE_CXX_STANDARD 20)")
_PATCHED = ("CMakeLists.txt", "horovod/torch/CMakeLists.txt")
_CHECK = "import torch, horovod.torch as hvd; hvd.init(); print(hvd.allreduce(torch.ones(1)))"


class BuildError(Exception):
    """Horovod cannot be built; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a wheel is good for.

    Args:
        torch: version of torch with its local part, such as ``"2.13.0+cpu"``.
        python: tag of the interpreter, such as ``"cp311"``.
        machine: platform, such as ``"linux-x86_64"``.
        nccl: whether the wheel averages with NCCL on GPUs.
    """

    torch: str
    python: str
    machine: str
    nccl: bool

    @property
    def key(self) -> str:
        """Name of the wheel's folder in the cache.

        >>> Target(torch="2.13.0+cpu", python="cp311", machine="linux-x86_64", nccl=False).key
        'horovod-0.28.1-torch2.13.0+cpu-cp311-linux-x86_64-gloo'
        """
        operations = "nccl" if self.nccl else "gloo"
        return f"horovod-{VERSION}-torch{self.torch}-{self.python}-{self.machine}-{operations}"


def target(gpu: str, environment: Mapping[str, str]) -> Target:
    """Find out what to build for.

    Args:
        gpu: ``"nccl"``, ``"none"``, or ``"auto"``: NCCL where torch has CUDA and its toolkit is there.
        environment: environment variables.

    Raises:
        BuildError: there is no torch, or NCCL is asked for and there is no CUDA toolkit.
    """
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        raise BuildError("torch is not installed. Install it first: pip install torch") from None
    toolkit = environment.get("CUDA_HOME") or shutil.which("nvcc", path=environment.get("PATH"))
    if gpu == "nccl" and not toolkit:
        raise BuildError("--gpu nccl needs the CUDA toolkit: put nvcc on PATH or set CUDA_HOME.")
    return Target(
        torch=torch_version,
        python=f"cp{sys.version_info.major}{sys.version_info.minor}",
        machine=sysconfig.get_platform(),
        nccl=gpu == "nccl" or (gpu == "auto" and bool(toolkit) and _torch_has_cuda()),
    )


def build_environment(goal: Target, jobs: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment variables that Horovod's setup reads.

    Args:
        goal: what to build for.
        jobs: compilers at a time.
        environment: environment variables to add to.
    """
    added = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]),
        "HOROVOD_WITH_PYTORCH": "1",
        "HOROVOD_WITHOUT_TENSORFLOW": "1",
        "HOROVOD_WITHOUT_MXNET": "1",
        "HOROVOD_WITHOUT_MPI": "1",
        "HOROVOD_WITH_GLOO": "1",
        "HOROVOD_CPU_OPERATIONS": "GLOO",
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",  # Gloo's own CMakeLists are older than cmake 4 allows
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs),
        "MAKEFLAGS": f"-j{jobs}",
    }
    if shutil.which("make") is None:
        added["CMAKE_GENERATOR"] = "Ninja"
    if goal.nccl:
        added["HOROVOD_GPU_OPERATIONS"] = "NCCL"
        nccl = importlib.util.find_spec("nvidia.nccl") if importlib.util.find_spec("nvidia") else None
        if nccl is not None and nccl.submodule_search_locations and "HOROVOD_NCCL_HOME" not in environment:
            added["HOROVOD_NCCL_HOME"] = next(iter(nccl.submodule_search_locations))
            added["HOROVOD_NCCL_LINK"] = "SHARED"
    return {**environment, **added}


def patch(source: Path) -> None:
    """Ask for the C++ standard that torch's headers want.

    Args:
        source: Horovod's unpacked source distribution.

    Raises:
        BuildError: the line is not where it was.
    """
    for name in _PATCHED:
        file = source / name
        text = file.read_text()
        if _CPP_STANDARD[0] not in text:
            raise BuildError(f"{name} of Horovod {VERSION} has no line {_CPP_STANDARD[0]!r}: another source?")
        file.write_text(text.replace(*_CPP_STANDARD))


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack a source distribution, if it is the one that is known.

    Args:
        sdist: the archive.
        folder: where to unpack.

    Returns:
        The folder with the sources.

    Raises:
        BuildError: its SHA-256 is another one.
    """
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if digest != SDIST_SHA256:
        raise BuildError(f"{sdist.name} has SHA-256 {digest}, not {SDIST_SHA256}: it is not used.")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    return folder / f"horovod-{VERSION}"


def build(goal: Target, cache: Path, jobs: int) -> Path:
    """Build the wheel and put it into the cache, all at once.

    Args:
        goal: what to build for.
        cache: folder of wheels.
        jobs: compilers at a time.

    Returns:
        Path of the wheel.

    Raises:
        BuildError: a step failed; the message names its log.
    """
    environment = build_environment(goal, jobs, os.environ)
    _require_tools(environment)
    cache.mkdir(parents=True, exist_ok=True)
    log = cache / f"{goal.key}.log"
    log.write_bytes(b"")
    with tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as temporary:
        work = Path(temporary)
        pip = [sys.executable, "-m", "pip"]
        alone = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        requirement = f"horovod=={VERSION}"
        fetch = [*pip, "download", *alone, "--no-binary", "horovod", "--dest", str(work), requirement]
        _run("fetch the sources", fetch, environment, log)
        source = unpack(_only(work, "horovod-*.tar.gz", log), work)
        patch(source)
        ready = work / goal.key
        make = [*pip, "wheel", *alone, "--no-cache-dir", "--wheel-dir", str(ready), str(source)]
        _run("compile, a few minutes", make, environment, log)
        wheel = _only(ready, "*.whl", log)
        final = cache / goal.key
        if final.exists():
            shutil.rmtree(final)
        os.replace(ready, final)
    return final / wheel.name


def main(arguments: Sequence[str] | None = None) -> int:
    """Build Horovod, or find that there is nothing to do.

    Args:
        arguments: command line (default: ``sys.argv``).

    Returns:
        Exit status: 0 when Horovod is there, 1 when it cannot be built, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        goal = target(options.gpu, os.environ)
        if not options.force and _works():
            print(f"Horovod {VERSION} is installed and works with torch {goal.torch}: nothing to do.")
            return 0
        wheel = next((options.cache / goal.key).glob("*.whl"), None)
        if wheel is None or options.force:
            print(f"Building Horovod {VERSION} for torch {goal.torch}, {goal.python} ...", flush=True)
            wheel = build(goal, options.cache, options.jobs)
        print(f"wheel: {wheel}")
        if options.install:
            install = [sys.executable, "-m", "pip", "install", "--no-deps", "--force-reinstall", str(wheel)]
            _run("install", install, os.environ, options.cache / f"{goal.key}.log")
            if not _works():
                raise BuildError(
                    f"It is installed, but does not work: {sys.executable} -c {_CHECK!r} says why. "
                    "Build it again with --force."
                )
            print(f"Horovod {VERSION} is installed.")
    except BuildError as error:
        print(f"Horovod cannot be built: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing half-built is left behind.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lightning_itwin.strategies.horovod_build",
        description=f"Build Horovod {VERSION} for the torch that is installed here, once; keep the wheel.",
    )
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightning_itwin" / "wheels"
    add = parser.add_argument
    add("--install", action="store_true", help="install the wheel with pip too")
    add("--cache", type=Path, default=default, metavar="DIR", help="folder of wheels (default: %(default)s)")
    add(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="compilers at a time (default: cores)",
    )
    add(
        "--gpu",
        choices=("auto", "nccl", "none"),
        default="auto",
        help="NCCL on GPUs (default: where CUDA is)",
    )
    add("--force", action="store_true", help="build also when it is installed or in the cache")
    return parser


def _works() -> bool:
    # In a process of its own: a build for another torch may end it.
    if importlib.util.find_spec("horovod") is None:
        return False
    check = subprocess.run([sys.executable, "-c", _CHECK], capture_output=True, timeout=300, check=False)
    return check.returncode == 0


def _torch_has_cuda() -> bool:
    import torch

    return torch.version.cuda is not None


def _require_tools(environment: Mapping[str, str]) -> None:
    path = environment["PATH"]
    compiler = environment.get("CXX", "").split(" ")[0] or None
    found = [name for name in (compiler, "c++", "g++", "clang++") if name and shutil.which(name, path=path)]
    if not found:
        raise BuildError(
            "there is no C++ compiler. Install one (g++ 10 or newer: apt install g++, dnf install gcc-c++, "
            "module load GCC), or set CXX."
        )
    for tool in ("cmake", "pip") if shutil.which("make", path=path) else ("cmake", "ninja", "pip"):
        if shutil.which(tool, path=path) is None and importlib.util.find_spec(tool) is None:
            raise BuildError(f"there is no {tool}: {sys.executable} -m ensurepip, or pip install {tool}")


def _run(what: str, command: list[str], environment: Mapping[str, str], log: Path) -> None:
    print(f"  {what} ... ", end="", flush=True)
    started_s = time.monotonic()
    with open(log, "ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    print(f"{time.monotonic() - started_s:.0f} s")
    if status != 0:
        lines = log.read_text(errors="replace").splitlines()
        errors = [line.strip() for line in lines if "error" in line.lower()][-5:]
        told = "\n  ".join(["", *(errors or lines[-5:])])
        raise BuildError(f"the step '{what}' failed with status {status}. Log: {log}{told}")


def _only(folder: Path, pattern: str, log: Path) -> Path:
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise BuildError(f"pip left {len(files)} files {pattern} in {folder}, not one. Log: {log}")
    return files[0]


if __name__ == "__main__":
    sys.exit(main())
