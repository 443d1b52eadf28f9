"""RankedDataModule: a datamodule that deals its batches to the processes itself."""

from __future__ import annotations

from lightning.pytorch import LightningDataModule


class RankedDataModule(LightningDataModule):
    """Knows its place among the processes, and the epoch; one process and epoch 0 without a Trainer."""

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer is not None else 0

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else 0
