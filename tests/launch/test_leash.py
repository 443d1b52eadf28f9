from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lightning_itwin.launch.local import process_start
from tests.launch.slurm_daemons import wait_for

PARENT = """
import signal, subprocess, sys, time
from lightning_itwin.launch.leash import end_with_parent
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
print(subprocess.Popen(sleep, preexec_fn=end_with_parent(signal.SIGKILL)).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert process_start(child) is not None
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: process_start(child) is None, 10.0)
