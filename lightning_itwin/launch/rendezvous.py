"""How the ranks of one world find each other, and each other only.

Rank 0 binds a free port, keeps it, and writes address and port into a file beside the launch's token; the
others wait for that token. No two worlds can meet: no port is guessed, none is shared, and none is free for
another process between its choice and its use. Lightning's own choice inside a SLURM allocation is one port
for the whole job.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from lightning_itwin.records.manifest import write_json

# Variables that tell a world's processes where they are: this machine's number, how many there are, and the
# address by which others reach it.
NODE, NODES, ADDRESS = "LIGHTNING_ITWIN_NODE", "LIGHTNING_ITWIN_NODES", "LIGHTNING_ITWIN_ADDRESS"
_FOREIGN = ("SLURM_NTASKS", "SLURM_JOB_NAME")  # by which Lightning would take the world for another one
_TIMEOUT_S = 300.0
_ANY_PORT = 9


def meet(place: Path, token: str, timeout_s: float = _TIMEOUT_S) -> Any:
    """Settle address and port of this process's world in its environment.

    Args:
        place: file of the meeting, on a file system that all ranks see.
        token: of the launch.
        timeout_s: how long the others wait for rank 0.

    Returns:
        on rank 0 the ``TCPStore`` that the others connect to, to be kept; None elsewhere, and where a starter
        such as ``horovodrun`` settles these things itself.

    Raises:
        TimeoutError: rank 0 did not come.
    """
    if "RANK" not in os.environ:
        return None
    for name in _FOREIGN:
        os.environ.pop(name, None)
    store = None
    if os.environ["RANK"] == "0":
        address = os.environ.get(ADDRESS, "127.0.0.1")
        store = _listen(address, timeout_s)
        write_json(place, {"token": token, "address": address, "port": store.port})
    found = _wait(place, token, timeout_s)
    os.environ.update(
        MASTER_ADDR=str(found["address"]),
        MASTER_PORT=str(found["port"]),
        TORCHELASTIC_USE_AGENT_STORE=str(True),
        TORCHELASTIC_RUN_ID=token,
    )
    return store


def own_address(other: str = "") -> str:
    """Give the address by which this machine reaches another one; no packet is sent.

    Args:
        other: address of the other one; empty for any.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((other or "192.0.2.1", _ANY_PORT))
        return str(probe.getsockname()[0])


def _listen(address: str, timeout_s: float) -> Any:
    # What starts worlds needs no torch; what runs in one has it.
    distributed = importlib.import_module("torch.distributed")
    limit = datetime.timedelta(seconds=timeout_s)
    return distributed.TCPStore(address, 0, None, is_master=True, wait_for_workers=False, timeout=limit)


def _wait(place: Path, token: str, timeout_s: float) -> dict[str, object]:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            found: dict[str, object] = json.loads(place.read_text(encoding="utf-8"))
            if found["token"] == token:
                return found
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    raise TimeoutError(f"rank 0 of this world did not write {place} within {timeout_s:.0f} s")
