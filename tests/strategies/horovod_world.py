"""One process of a Horovod world, however it was started: what Lightning and a callback see of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.demos.boring_classes import BoringModel, ManualOptimBoringModel, RandomDataset
from torch.utils.data import DataLoader

from lightning_itwin.strategies import HorovodStrategy


class Norm(BoringModel):
    """Running statistics that differ between the ranks, and an optimizer state that rank 0 decides."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(32)
        self.seen: dict = {}

    def training_step(self, batch, batch_idx):
        return super().training_step(self.norm(batch + self.global_rank), batch_idx)

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            gathered = self.all_gather(self.norm.running_mean)
            self.seen["buffers"] = bool((gathered == gathered[0]).all()) if gathered.ndim > 1 else True

    def on_train_start(self):
        strategy = self.trainer.strategy
        rank = torch.tensor(float(self.global_rank))
        self.seen |= {
            "strategy": strategy.strategy_name,
            "world_size": self.trainer.world_size,
            "horovod_size": strategy.horovod.size(),
            "mean": float(strategy.reduce(rank.clone(), reduce_op="mean")),
            "sum": float(strategy.reduce(rank.clone(), reduce_op="sum")),
            "max": float(strategy.reduce(rank.clone(), reduce_op="max")),
            "gathered": strategy.all_gather(rank).flatten().tolist(),
            "broadcast": strategy.broadcast({"rank": self.global_rank, "any": object}),
            "all": strategy.reduce_boolean_decision(self.global_rank == 0),
            "any": strategy.reduce_boolean_decision(self.global_rank == 0, all=False),
            "samples": len(self.trainer.train_dataloader.sampler),
        }
        self.seen["broadcast"] = self.seen["broadcast"]["rank"]
        strategy.barrier("test")


def trainer(devices: int, **kwargs) -> Trainer:
    return Trainer(
        strategy="horovod", devices=devices, accelerator="cpu", max_epochs=2, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, **kwargs,
    )  # fmt: skip


def error_of(**kwargs) -> str:
    try:
        trainer(**kwargs).fit(BoringModel())
    except ValueError as error:
        return str(error)
    return "no error"


def main() -> None:
    folder, devices, conflict = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if conflict:
        (folder / "conflict").write_text(error_of(devices=conflict))
        return
    module = Norm()
    first = trainer(devices)
    assert isinstance(first.strategy, HorovodStrategy)
    assert first.strategy.reducer is None
    loader = DataLoader(RandomDataset(32, 64), batch_size=4, num_workers=1)
    first.fit(module, loader)
    results = dict(module.seen)
    results["validated"] = len(first.validate(module, verbose=False))
    manual = trainer(devices, callbacks=[StochasticWeightAveraging(1e-2, swa_epoch_start=1)])
    manual.fit(BoringModel())
    trainer(devices).fit(ManualOptimBoringModel())
    results["sync_batchnorm"] = error_of(devices=devices, sync_batchnorm=True)
    results["finished"] = True
    if first.global_rank == 0:
        (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
