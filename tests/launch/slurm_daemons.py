"""A real SLURM of two nodes on this machine, from Debian's packages, without accounting and cgroups.

Each node has four processors and four GPUs, which SLURM takes from
four devices that are none. The daemons are children of this process and end
with it, however it ends; ``stop`` ends the jobs that are left, too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lightning_itwin.launch.leash import end_with_parent

NEEDED = ("munged", "slurmctld", "slurmd", "srun", "salloc", "sbatch", "sinfo")
CALL_S = 30
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
SchedulerParameters=bf_interval=5,sched_interval=5
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
KillWait=5
MpiDefault=none
ReturnToService=2
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=DEFAULT CPUs=4 RealMemory=4000 Gres=gpu:4 State=UNKNOWN
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second}
PartitionName=debug Nodes=n[1-2] Default=YES DefaultTime=10 MaxTime=20 PriorityTier=1 State=UP
PartitionName=urgent Nodes=n[1-2] DefaultTime=10 MaxTime=20 PriorityTier=9 State=UP
PartitionName=closed Nodes=n[1-2] MaxTime=20 State=DOWN
"""
GPUS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")


class Slurm:
    """The daemons; ``reason`` says why they cannot run.

    Args:
        folder: for configuration, state and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reason = ""
        self._daemons: list[subprocess.Popen[bytes]] = []
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
        ports = [free_port() for _ in range(3)]
        host = socket.gethostname().partition(".")[0]
        names = dict(zip(("controller", "first", "second"), ports))
        (self.folder / "slurm.conf").write_text(CONF.format(folder=self.folder, host=host, **names))
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName=n[1-2] Name=gpu File={one}\n" for one in GPUS)
        )
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self._daemon(
            "munged",
            "--foreground",
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munge.seed",
            "--force",
        )
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged has no socket")
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D", "-N", "n1")
        self._daemon("slurmd", "-D", "-N", "n2")
        self._wait(self.is_idle, "the nodes did not come up")

    def stop(self) -> None:
        """End the jobs that are left, and the daemons."""
        if len(self._daemons) > 1 and not self.reason:
            self.call("scancel", f"--user={os.getuid()}")
            with contextlib.suppress(TimeoutError):
                wait_for(self.is_idle, 15.0)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for pid in self._left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def is_idle(self) -> bool:
        """Say whether both nodes have nothing to do."""
        return self.call("sinfo", "-h", "-p", "debug", "-t", "idle", "-o", "%D").stdout.strip() == "2"

    def jobs(self) -> dict[str, str]:
        """Give the state of each job that has not ended, by its name."""
        lines = self.call("squeue", "-h", "-o", "%j %T").stdout.splitlines()
        return dict(line.split() for line in lines)

    def call(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of SLURM's programs."""
        return subprocess.run(
            [str(_find(name)), *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_S,
            check=False,
        )

    def _daemon(self, name: str, *arguments: str) -> None:
        if self.reason:
            return
        with open(self.folder / f"{name}{len(self._daemons)}.out", "wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [str(_find(name)), *arguments],
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=end_with_parent(signal.SIGTERM),
                )
            )

    def _wait(self, until: Callable[[], bool], complaint: str) -> None:
        if self.reason:
            return
        try:
            wait_for(lambda: until() or any(one.poll() is not None for one in self._daemons), 30.0)
        except TimeoutError:
            self.reason = complaint
        ended = [Path(str(one.args[0])).name for one in self._daemons if one.poll() is not None]  # type: ignore[index]
        if ended:
            told = "".join(path.read_text()[-300:] for path in self.folder.glob("*.out"))
            self.reason = f"{', '.join(ended)} ended: {told.strip()}"

    def _left(self) -> list[int]:
        """Give what was started by these daemons and outlives them."""
        wanted = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found


def wait_for(until: Callable[[], bool], limit_s: float) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it is not so within the limit.
    """
    deadline_s = time.monotonic() + limit_s
    while not until():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {limit_s} s")
        time.sleep(0.2)


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
