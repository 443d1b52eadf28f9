"""What the ranks of worlds run in tests: ``program FOLDER NAME``."""

from __future__ import annotations

FAIL = """
import os, time
if os.environ["RANK"] == "1":
    raise ValueError("the detector is off")
time.sleep(60)
"""
KILL = """
import os, signal, time
if os.environ["RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""
LONG = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1], f"{sys.argv[2]}-{os.environ['RANK']}").write_text(str(os.getpid()))
time.sleep(60)
"""
