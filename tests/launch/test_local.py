import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lightning_itwin.launch import LocalLauncher, World
from lightning_itwin.optional import available

STARTERS = [
    "torchrun",
    pytest.param(
        "horovodrun", marks=pytest.mark.skipif(not available("horovod.torch"), reason="no Horovod built")
    ),
]
pytestmark = pytest.mark.world


def start(tmp_path: Path, code: str, starter: str, *, workers: int = 2, timeout_s: float = 120.0):
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(code))
    world = World(
        command=(str(script), str(tmp_path)),
        workers=workers,
        starter=starter,
        log=tmp_path / "logs" / "world.log",
        environment={"GREETING": "hello", "OMP_NUM_THREADS": "1"},
        timeout_s=timeout_s,
    )
    return LocalLauncher().start(world)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("starter", STARTERS)
def test_every_worker_knows_its_rank_and_environment(tmp_path: Path, starter: str) -> None:
    end = start(
        tmp_path,
        """
        import os, pathlib, sys
        rank = os.environ.get("RANK", os.environ.get("HOROVOD_RANK"))
        size = os.environ.get("WORLD_SIZE", os.environ.get("HOROVOD_SIZE"))
        pathlib.Path(sys.argv[1], f"rank{rank}").write_text(f"{size} {os.environ['GREETING']}")
        """,
        starter,
    ).wait()
    assert end.status == "ok", end
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["2 hello", "2 hello"]


@pytest.mark.parametrize("starter", STARTERS)
def test_an_exception_on_one_rank_ends_the_world_with_its_reason(tmp_path: Path, starter: str) -> None:
    end = start(
        tmp_path,
        """
        import os, time
        if os.environ.get("RANK", os.environ.get("HOROVOD_RANK")) == "1":
            raise ValueError("the detector is off")
        time.sleep(600)
        """,
        starter,
    ).wait()
    assert end.status == "failed"
    assert end.reason == "ValueError: the detector is off"
    assert "the detector is off" in end.log_tail


@pytest.mark.parametrize("starter", STARTERS)
def test_a_hanging_world_is_ended_with_all_that_it_started(tmp_path: Path, starter: str) -> None:
    end = start(
        tmp_path,
        """
        import os, pathlib, subprocess, sys, time
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = subprocess.Popen(sleep, start_new_session=True)
        pathlib.Path(sys.argv[1], f"pids-{os.getpid()}").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
        """,
        starter,
        timeout_s=15.0,
    ).wait()
    assert end.status == "timeout"
    assert "--timeout" in end.reason
    pids = [int(pid) for path in tmp_path.glob("pids-*") for pid in path.read_text().split()]
    assert len(pids) == 4
    assert not [pid for pid in pids if alive(pid)]


def test_a_killed_worker_is_a_failed_world(tmp_path: Path) -> None:
    running = start(
        tmp_path,
        """
        import os, pathlib, sys, time
        pathlib.Path(sys.argv[1], "pid" + os.environ["RANK"]).write_text(str(os.getpid()))
        time.sleep(600)
        """,
        "torchrun",
    )
    deadline = time.monotonic() + 60
    victim = tmp_path / "pid1"
    while not (victim.exists() and victim.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(int(victim.read_text()), signal.SIGKILL)
    end = running.wait()
    assert end.status == "failed"
    assert "signal 9" in end.reason


def test_an_unknown_starter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'mpirun' is not known; there are torchrun, horovodrun"):
        start(tmp_path, "", "mpirun")


def test_the_command_can_be_shown(tmp_path: Path) -> None:
    world = World(command=("-m", "x"), workers=3, starter="torchrun", log=tmp_path / "log")
    shown = LocalLauncher().describe(world)
    assert shown.startswith(sys.executable)
    assert "--nproc-per-node=3" in shown
    assert shown.endswith("-m x")
