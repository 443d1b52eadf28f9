"""One process of a DeepSpeed world of 2: a module that is not plain, and what becomes of its checkpoints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from lightning_itwin.strategies import DeepSpeedStrategy


class Odd(LightningModule):
    """Tied weights, a frozen layer, buffers, a scalar, odd numbers of elements, an empty parameter group."""

    def __init__(self, late: bool = False) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.losses: list[float] = []
        if not late:
            self.build()

    def configure_model(self) -> None:
        if self.hparams.late and not hasattr(self, "encoder"):
            self.build()

    def build(self) -> None:
        self.encoder = nn.Linear(7, 5)
        self.decoder = nn.Linear(5, 7)
        self.twin = nn.Linear(7, 5)
        self.twin.weight = self.encoder.weight
        self.frozen = nn.Linear(7, 7)
        self.frozen.requires_grad_(False)
        self.norm = nn.BatchNorm1d(5, momentum=None)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def loss(self, batch):
        x = self.frozen(batch[0])
        y = self.decoder(self.norm(self.encoder(x)) + self.twin(x)) * self.scale
        return nn.functional.mse_loss(y, batch[0])

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.losses.append(float(self.trainer.strategy.reduce(loss.detach().float().clone())))
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("loss", self.loss(batch), sync_dist=True)

    test_step = validation_step

    def predict_step(self, batch, batch_idx):
        return self.encoder(batch[0])

    def configure_optimizers(self):
        decayed = [p for name, p in self.named_parameters() if name.endswith("weight") and "norm" not in name]
        others = [p for p in self.parameters() if not any(p is weight for weight in decayed)]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": []}, {"params": others, "lr": 5e-3}]
        return torch.optim.AdamW(groups, lr=1e-2)


def loader(trainer: Trainer) -> DataLoader:
    data = TensorDataset(torch.randn(32, 7, generator=torch.Generator().manual_seed(3)))
    sampler = DistributedSampler(data, trainer.world_size, trainer.global_rank, shuffle=False)
    return DataLoader(data, batch_size=8 // trainer.world_size, sampler=sampler)


def run(folder: Path, stage: int, late: bool, precision: str, checkpoint: str) -> dict:
    def trainer(epochs: int) -> Trainer:
        return Trainer(
            strategy=DeepSpeedStrategy(stage=stage, checkpoint=checkpoint),
            devices=2, accelerator="cpu", max_epochs=epochs, precision=precision, logger=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip

    def module() -> Odd:
        seed_everything(2)
        return Odd(late)

    path = folder / f"{stage}-{late}-{precision}-{checkpoint}.ckpt"
    whole, half, rest = module(), module(), module()
    first = trainer(4)
    first.fit(whole, loader(first))
    second = trainer(2)
    second.fit(half, loader(second))
    second.save_checkpoint(path)
    third = trainer(4)
    third.fit(rest, loader(third), ckpt_path=str(path))
    evaluated = trainer(1)
    scores = [
        evaluated.validate(module(), loader(evaluated), ckpt_path=str(path), verbose=False)[0]["loss"],
        evaluated.test(module(), loader(evaluated), ckpt_path=str(path), verbose=False)[0]["loss"],
        second.validate(half, loader(second), verbose=False)[0]["loss"],
    ]
    predictions = evaluated.predict(module(), loader(evaluated), ckpt_path=str(path))
    return {
        "path": str(path), "whole": whole.losses, "resumed": half.losses + rest.losses, "scores": scores,
        "predictions": float(torch.cat([p.float() for p in predictions]).sum()),
    }  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[1])
    results = {}
    for key in sys.argv[2:]:
        stage, late, precision, checkpoint = key.split(",")
        results[key] = run(folder, int(stage), late == "late", precision, checkpoint)
    if torch.distributed.get_rank() == 0:
        (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
