"""HTCondor's programs as far as a test needs them: what they are given runs on this machine.

No pool can be started from packages, so this says nothing of HTCondor itself; it holds our scripts, our event
log and our ends against each other. The event log is written as HTCondor writes it, which its own bindings
are asked about in ``test_condor_events.py``.
"""

from __future__ import annotations

import stat
import sys
from pathlib import Path

_SUBMIT = """\
import subprocess, sys, time
from pathlib import Path
folder = Path(__file__).parent
if "-dry-run" in sys.argv:
    sys.exit((folder / "refuse").exists() and "ERROR: no such universe")
if (folder / "refuse").exists():
    sys.exit("ERROR: Failed submission")
number = len(list(folder.glob("job-*"))) + 1
commands = dict(line.split(" = ", 1) for line in Path(sys.argv[-1]).read_text().splitlines() if " = " in line)
(folder / f"job-{number}").write_text(commands["log"])
with open(commands["log"], "a") as log:
    log.write(f"000 ({number:03d}.000.000) 2026-01-01 00:00:00 Job submitted from host: <127.0.0.1>\\n...\\n")
if not (folder / "busy").exists():
    run = [sys.executable, str(folder / "run"), str(number), sys.argv[-1]]
    subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     start_new_session=True)
print(f"{number}.0 - {number}.0")
"""
_RUN = """\
import os, signal, subprocess, sys
from pathlib import Path
number, description = int(sys.argv[1]), Path(sys.argv[2])
commands = dict(line.split(" = ", 1) for line in description.read_text().splitlines() if " = " in line)
def event(code, text, more=""):
    with open(commands["log"], "a") as log:
        log.write(f"{code:03d} ({number:03d}.000.000) 2026-01-01 00:00:00 {text}\\n{more}...\\n")
nodes = range(int(commands.get("machine_count", 1)))
running = [
    subprocess.Popen([commands["executable"], *([str(node)] if "machine_count" in commands else [])],
                     cwd="/", env={}, start_new_session=True) for node in nodes
]
def removed(*given):
    for one in running:
        os.killpg(one.pid, signal.SIGKILL)
    event(9, "Job was aborted.", "\\tvia condor_rm (by user root)\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, removed)
(Path(__file__).parent / f"pid-{number}").write_text(str(os.getpid()))
event(1, "Job executing on host: <127.0.0.1:9618>")
code = [one.wait() for one in running][0]
event(5, "Job terminated.", f"\\t(1) Normal termination (return value {code})\\n")
"""
_REMOVE = """\
import os, signal, sys
from pathlib import Path
folder = Path(__file__).parent
for number in sys.argv[1:]:
    try:
        os.kill(int((folder / f"pid-{number}").read_text()), signal.SIGTERM)
    except FileNotFoundError:
        with open((folder / f"job-{number}").read_text(), "a") as log:
            log.write(f"009 ({int(number):03d}.000.000) 2026-01-01 00:00:00 Job was aborted.\\n...\\n")
    except ProcessLookupError:
        sys.exit("Couldn't find/remove all jobs in cluster")
"""


def write_programs(folder: Path) -> Path:
    """Write the programs into a folder, which is to stand first in ``PATH``; give it.

    A file ``busy`` in it lets every job wait, a file ``refuse`` has all refused.
    """
    folder.mkdir()
    for name, text in (("condor_submit", _SUBMIT), ("condor_rm", _REMOVE), ("run", _RUN)):
        program = folder / name
        program.write_text(f"#!{sys.executable}\n{text}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder
