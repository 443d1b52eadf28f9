"""A module and its data that train in no time; tests tune them in worlds of real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch.utils.data import DataLoader, TensorDataset


class TinyModel(LightningModule):
    """A linear regression.

    Args:
        learning_rate: of SGD.
        width: must be at least 1.
        epoch_s: a pause in each validation.
        trouble: ``"nan"``, ``"memory"``, ``"error"`` or ``"kill"`` (the last rank, once).
        trouble_epoch: when, counted from 0.
        trouble_mark: file that says that the trouble has been.
        draws: whether random numbers are added to the inputs.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        width: int = 1,
        epoch_s: float = 0.0,
        trouble: str = "",
        trouble_epoch: int = 1,
        trouble_mark: str = "",
        draws: bool = False,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width is {width}; it has to be at least 1")
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        x, y = batch
        if self.hparams["draws"]:
            x = x + 0.1 * torch.randn_like(x)
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        if self.current_epoch == self.hparams["trouble_epoch"] and self.hparams["trouble"]:
            loss = self._trouble(loss)
        if batch_idx == 0:
            time.sleep(self.hparams["epoch_s"])
        self.log("val_loss", loss, sync_dist=False)

    def _trouble(self, loss: torch.Tensor) -> torch.Tensor:
        kind = self.hparams["trouble"]
        if kind == "nan":
            return loss * float("nan")
        if kind == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB")
        if kind == "error":
            raise ValueError("the detector is off")
        mark = Path(self.hparams["trouble_mark"])
        if self.trainer.global_rank == self.trainer.world_size - 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams["learning_rate"], momentum=0.5)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.8)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class TinyData(LightningDataModule):
    """Rows of a linear function.

    Args:
        batch_size: of a worker.
        rows: of each of the two sets.
    """

    def __init__(self, batch_size: int = 16, rows: int = 64) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.rows = rows

    def setup(self, stage: str) -> None:
        numbers = torch.Generator().manual_seed(0)
        x = torch.randn(2 * self.rows, 4, generator=numbers)
        y = x.sum(dim=1, keepdim=True) + 0.01 * torch.randn(2 * self.rows, 1, generator=numbers)
        self.parts = (
            TensorDataset(x[: self.rows], y[: self.rows]),
            TensorDataset(x[self.rows :], y[self.rows :]),
        )

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.parts[0], self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.parts[1], self.batch_size)
