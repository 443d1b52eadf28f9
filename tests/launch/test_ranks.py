"""Worlds of bare ranks, and worlds that another process takes over."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import pytest

from lightning_itwin.launch import LocalLauncher, World
from lightning_itwin.launch.local import process_start
from lightning_itwin.launch.world import was_killed

pytestmark = pytest.mark.world


def world(tmp_path: Path, code: str, mark: str = "", timeout_s: float = 60.0) -> World:
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(code))
    return World(
        command=(str(script), str(tmp_path)),
        workers=2,
        starter="ranks",
        log=tmp_path / "world.log",
        timeout_s=timeout_s,
        mark=mark,
    )


def test_every_rank_knows_its_place(tmp_path: Path) -> None:
    code = """
    import os, pathlib, sys
    place = " ".join(os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK"))
    pathlib.Path(sys.argv[1], "rank" + os.environ["RANK"]).write_text(place)
    """
    assert LocalLauncher().start(world(tmp_path, code)).wait().status == "ok"
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["0 0 2 0", "1 1 2 0"]


def test_the_first_rank_that_fails_ends_the_others_with_its_reason(tmp_path: Path) -> None:
    code = """
    import os, time
    if os.environ["RANK"] == "1":
        raise ValueError("the detector is off")
    time.sleep(600)
    """
    end = LocalLauncher().start(world(tmp_path, code)).wait()
    assert (end.status, end.reason) == ("failed", "ValueError: the detector is off")
    assert not was_killed(tmp_path / "world.log")


def test_a_killed_rank_is_known_by_what_the_starter_says(tmp_path: Path) -> None:
    code = """
    import os, signal, time
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    raise RuntimeError("Connection closed by peer")
    """
    end = LocalLauncher().start(world(tmp_path, code)).wait()
    assert end.status == "failed"
    assert was_killed(tmp_path / "world.log")


def test_a_world_can_be_polled_and_is_ended_when_it_is_late(tmp_path: Path) -> None:
    running = LocalLauncher().start(world(tmp_path, "import time; time.sleep(600)", timeout_s=1.0))
    assert running.poll() is None
    deadline_s = time.monotonic() + 30
    while (end := running.poll()) is None and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert end is not None
    assert end.status == "timeout"


def test_another_launcher_takes_a_world_over_by_its_mark(tmp_path: Path) -> None:
    code = """
    import os, pathlib, sys, time
    pathlib.Path(sys.argv[1], "pid" + os.environ["RANK"]).write_text(str(os.getpid()))
    time.sleep(600)
    """
    started = LocalLauncher().start(world(tmp_path, code, mark="trial-7"))
    pids = [tmp_path / f"pid{rank}" for rank in (0, 1)]
    deadline_s = time.monotonic() + 30
    while not all(pid.exists() and pid.read_text() for pid in pids) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert LocalLauncher().adopt(world(tmp_path, code, mark="trial-8")) is None
    adopted = LocalLauncher().adopt(world(tmp_path, code, mark="trial-7"))
    assert adopted is not None
    assert adopted.poll() is None
    adopted.stop()
    assert [process_start(int(pid.read_text())) for pid in pids] == [None, None]
    assert started.wait().status == "failed"
    assert LocalLauncher().adopt(world(tmp_path, code, mark="trial-7")) is None


def test_a_process_is_known_by_its_start() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid())
    assert process_start(2**22 + 1) is None
