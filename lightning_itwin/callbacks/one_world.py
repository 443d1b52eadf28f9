"""OneWorld: no training among processes of another launch."""

from __future__ import annotations

import hashlib

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_itwin.callbacks.collectives import gather


class MixedWorldError(RuntimeError):
    """Processes of different launches have met in one world."""


class OneWorld(Callback):
    """Refuses to train in a world of another size, or with a rank of another launch in it.

    Args:
        token: of this launch.
        workers: processes that it has.

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(callbacks=[OneWorld("a launch", 1)], logger=False, enable_model_summary=False)
    """

    def __init__(self, token: str, workers: int) -> None:
        self._token = token
        self._workers = workers

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Hold the world against what was launched; every rank calls it, connected.

        Raises:
            MixedWorldError: it is another one.
        """
        if stage != "fit":
            return
        if trainer.world_size != self._workers:
            raise MixedWorldError(
                f"{self._workers} workers were launched, but their world has {trainer.world_size}; the "
                "config's own plugins or variables such as WORLD_SIZE stand in the way"
            )
        mine = int.from_bytes(hashlib.blake2b(self._token.encode(), digest_size=6).digest(), "big")
        tokens = [int(one) for [one] in gather(trainer, [mine], dtype=torch.int64)]
        if set(tokens) != {mine}:
            strangers = [rank for rank, one in enumerate(tokens) if one != mine]
            raise MixedWorldError(
                f"ranks {strangers} of this world belong to another launch than rank {trainer.global_rank} "
                f"({self._token}): two have met at one address and port. Nothing was trained."
            )
