"""One of two processes that train on blocks of a converted folder and write down the windows they saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from lightning_itwin.datamodules.hydro import GriddedHydroDataModule, SplitPeriods


class Witness(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": []}

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        self.seen["train"] += torch.stack([batch.series, batch.start], 1).tolist()
        return (self.weight * batch.dynamic.mean()).sum()

    def validation_step(self, batch: Any, number: int) -> None:
        self.seen["val"] += torch.stack([batch.series, batch.start], 1).tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main(folder: str, out: str) -> None:
    torch.set_num_threads(1)
    module = Witness()
    data = GriddedHydroDataModule(
        path=folder,
        periods=SplitPeriods(train=["2001", "2003"], calibration=0, val=["2004", "2004"], test=0),
        batch=16,
        seq_length=40,
        warmup=10,
        leads=[1, 5],
        samples_per_epoch=100,
        memory_gib=0.0,
        block_mib=0.5,
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    Path(out, f"rank_{trainer.global_rank}.json").write_text(json.dumps(module.seen), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
