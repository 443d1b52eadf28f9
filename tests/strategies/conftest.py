"""Starts worlds of real processes for the tests of the strategies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import lightning_itwin

HERE = Path(__file__).parent
STARTERS = {
    "python": lambda workers: [sys.executable],
    "torchrun": lambda workers: [
        sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={workers}", "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1",
    ],
    "horovodrun": lambda workers: [
        sys.executable, "-m", "horovod.runner.launch", "--gloo", "--network-interfaces", "lo",
        "-np", str(workers), sys.executable,
    ],
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a world ended."""

    status: int
    output: str
    ended_unix_s: float


def run_world(
    script: str, *arguments: object, starter: str = "python", workers: int = 2, timeout_s: float = 240
) -> Ended:
    """Run a script that lies beside this file as a world, and wait until its last process has gone."""
    command = [*STARTERS[starter](workers), str(HERE / script), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOROVOD_")}
    for name in ("LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED"):
        environment.pop(name, None)
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(lightning_itwin.__file__).parents[1]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout_s)  # ends when nobody holds the pipe any more
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += f"\n[ended after {timeout_s} s]"
    return Ended(status=process.returncode, output=output, ended_unix_s=time.time())


@pytest.fixture(scope="session")
def world() -> Callable[..., Ended]:
    return run_world
