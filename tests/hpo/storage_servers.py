"""Real servers for a study's storage: PostgreSQL on loopback, and Optuna's gRPC proxy."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from lightning_itwin.launch.leash import end_with_parent
from tests.launch.slurm_daemons import free_port, wait_for

_PROXY = """
import sys
from optuna.storages import JournalStorage, run_grpc_proxy_server
from optuna.storages.journal import JournalFileBackend
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
run_grpc_proxy_server(storage, host="127.0.0.1", port=int(sys.argv[2]))
"""


def find_postgres() -> Path | None:
    """Give the folder of PostgreSQL's programs; Debian has it outside of the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "postgres").exists()), None)


class Postgres:
    """A server of its own, with a user ``tuner`` whose password is ``secret``; it ends with this process.

    ``reason`` says why it cannot run.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.port = free_port()
        self._programs = find_postgres()
        self._process: subprocess.Popen[bytes] | None = None
        if self._programs is None:
            self.reason = "no postgres: apt-get install postgresql"
            return
        # its server refuses to be root's, and other users cannot look into pytest's folders
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        password = self.folder / "password"
        password.write_text("secret")
        if os.geteuid() == 0:
            for path in (self.folder, password):
                shutil.chown(path, self._user)
        self._run(
            "initdb", "-D", str(self.data), "-U", "tuner", f"--pwfile={password}", "-A", "scram-sha-256", "-N"
        )

    @property
    def data(self) -> Path:
        """Its files."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """What a study is given."""
        return f"postgresql://tuner:secret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server, or start it again."""
        command = [
            str(self._program("postgres")),
            *("-D", str(self.data), "-p", str(self.port), "-k", str(self.folder), "-F"),
            *("-c", "listen_addresses=127.0.0.1"),
        ]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self._user if os.geteuid() == 0 else None,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
        wait_for(lambda: is_listening(self.port), 30.0)

    def halt(self) -> None:
        """End the server at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    def remove(self) -> None:
        """End the server and remove its files."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _program(self, name: str) -> Path:
        assert self._programs is not None
        return self._programs / name

    def _run(self, name: str, *arguments: str) -> None:
        told = subprocess.run(
            [str(self._program(name)), *arguments],
            user=self._user if os.geteuid() == 0 else None,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        if told.returncode:
            self.reason = f"{name}: {told.stderr.strip()[-300:]}"


class Proxy:
    """Optuna's gRPC proxy before a journal file.

    Args:
        journal: the file.
    """

    def __init__(self, journal: Path) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROXY, str(journal), str(self.port)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
        wait_for(lambda: is_listening(self.port), 60.0)

    @property
    def url(self) -> str:
        """What a study is given."""
        return f"grpc://127.0.0.1:{self.port}"

    def freeze(self) -> None:
        """Have it answer nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it, frozen or not."""
        self.process.kill()
        self.process.wait(10)


def is_listening(port: int) -> bool:
    """Say whether somebody takes connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
