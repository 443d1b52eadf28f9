"""How the ranks of one trial find each other, and each other only.

Rank 0 binds a free port, keeps it, and writes address and port into the trial's folder beside the launch's
token; the others wait for that token. No two worlds can meet: no port is guessed, none is shared, and none is
free for another process between its choice and its use. Lightning's own choice inside a SLURM allocation is
one port for the whole job.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import time
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from torch.distributed import TCPStore

from lightning_itwin.callbacks.collectives import gather
from lightning_itwin.launch.slurm_rank import ADDRESS
from lightning_itwin.records.manifest import write_json

_FOREIGN = ("SLURM_NTASKS", "SLURM_JOB_NAME")  # by which Lightning would take the world for another one
_TIMEOUT_S = 300.0


class MixedWorldError(RuntimeError):
    """Processes of different trials have met in one world."""


def meet(folder: Path, token: str, timeout_s: float = _TIMEOUT_S) -> TCPStore | None:
    """Settle address and port of this process's world in its environment.

    Args:
        folder: of the trial, on a file system that all ranks see.
        token: of the launch.
        timeout_s: how long the others wait for rank 0.

    Returns:
        on rank 0 the store that the others connect to, to be kept; None elsewhere, and where a starter such
        as ``horovodrun`` settles these things itself.

    Raises:
        TimeoutError: rank 0 did not come.
    """
    if "RANK" not in os.environ:
        return None
    for name in _FOREIGN:
        os.environ.pop(name, None)
    place = folder / "meeting.json"
    store = None
    if os.environ["RANK"] == "0":
        address = os.environ.get(ADDRESS, "127.0.0.1")
        limit = datetime.timedelta(seconds=timeout_s)
        store = TCPStore(address, 0, None, is_master=True, wait_for_workers=False, timeout=limit)
        write_json(place, {"token": token, "address": address, "port": store.port})
    found = _wait(place, token, timeout_s)
    os.environ.update(
        MASTER_ADDR=str(found["address"]),
        MASTER_PORT=str(found["port"]),
        TORCHELASTIC_USE_AGENT_STORE=str(True),
        TORCHELASTIC_RUN_ID=token,
    )
    return store


def prove_one_world(trainer: Trainer, token: str, workers: int) -> None:
    """Refuse to train among processes of another launch; every rank calls it, connected.

    Args:
        trainer: its processes are connected.
        token: of this launch.
        workers: processes that it has.

    Raises:
        MixedWorldError: the world has another size, or a rank of another launch in it.
    """
    if trainer.world_size != workers:
        raise MixedWorldError(
            f"this trial has {workers} workers, but its world has {trainer.world_size}; the config's own "
            "plugins or variables such as WORLD_SIZE stand in the way"
        )
    mine = int.from_bytes(hashlib.blake2b(token.encode(), digest_size=6).digest(), "big")
    tokens = [int(one) for [one] in gather(trainer, [mine], dtype=torch.int64)]
    if set(tokens) != {mine}:
        strangers = [rank for rank, one in enumerate(tokens) if one != mine]
        raise MixedWorldError(
            f"ranks {strangers} of this world belong to another launch than rank {trainer.global_rank} "
            f"({token}): two trials have met at one address and port. Nothing was trained."
        )


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
