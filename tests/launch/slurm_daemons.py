"""A real SLURM of two nodes on this machine, from Debian's packages, without accounting and cgroups."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "srun", "salloc", "sinfo")
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
KillWait=5
MpiDefault=none
ReturnToService=2
AccountingStorageType=accounting_storage/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=4 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=debug Nodes=n[1-2] Default=YES State=UP
"""


class Slurm:
    """The daemons; ``reason`` says why they cannot run.

    Args:
        folder: for configuration, state and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reason = ""
        missing = [name for name in NEEDED if _find(name) is None]
        if missing:
            self.reason = f"no {', '.join(missing)}: apt-get install slurm-wlm munge"
        elif os.geteuid() != 0:
            self.reason = "SLURM's daemons need root"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs beside the variables of this process."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start the daemons; ``reason`` is set where the nodes do not come up."""
        ports = [_free_port() for _ in range(3)]
        host = socket.gethostname().partition(".")[0]
        names = dict(zip(("controller", "first", "second"), ports))
        (self.folder / "slurm.conf").write_text(CONF.format(folder=self.folder, host=host, **names))
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self._run(
            "munged",
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munge.seed",
            "--force",
        )
        self._run("slurmctld")
        self._run("slurmd", "-N", "n1")
        self._run("slurmd", "-N", "n2")
        deadline_s = time.monotonic() + 20
        while not self.reason and self._idle() != "2":
            time.sleep(0.5)
            if time.monotonic() > deadline_s:
                self.reason = f"the nodes did not come up: {self._idle()!r}"

    def stop(self) -> None:
        """End the daemons that were started here."""
        for path in self.folder.glob("*.pid"):
            try:
                os.kill(int(path.read_text()), 15)
            except (ValueError, ProcessLookupError):
                continue

    def _run(self, name: str, *arguments: str) -> None:
        if self.reason:
            return
        told = subprocess.run(
            [str(_find(name)), *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )
        if told.returncode:
            self.reason = f"{name}: {told.stdout.strip()[-300:]}"

    def _idle(self) -> str:
        command = [str(_find("sinfo")), "-h", "-t", "idle", "-o", "%D"]
        told = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return told.stdout.strip()


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
