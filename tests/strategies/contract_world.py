"""One process of a world that keeps the contract of the strategies; rank 0 writes what happened as JSON.

Every case trains a small module on the same global batches, whatever the world: rank r of N takes the samples
r, r + N, ..., and its batches are N times smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
import torchmetrics
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import lightning_itwin.strategies  # noqa: F401 - registers the names

SAMPLES, GLOBAL_BATCH, FEATURES = 48, 8, 8


class Regression(LightningModule):
    def __init__(self, optimizer: str = "adamw") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(FEATURES, 15), nn.Tanh(), nn.Linear(15, 1))
        self.error = torchmetrics.MeanSquaredError()
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.validation: list[tuple[float, float]] = []

    def loss(self, batch):
        x, y = batch
        return nn.functional.mse_loss(self.net(x).float(), y)

    def record(self, loss):
        self.losses.append(float(self.trainer.strategy.reduce(loss.detach().float().clone())))
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.record(loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.error(self.net(x).float(), y)
        self.log("mse", self.error, on_epoch=True)
        self.log("loss", self.loss(batch), sync_dist=True)

    def on_validation_epoch_end(self):
        self.log("epoch", float(self.trainer.current_epoch), sync_dist=True)

    def on_train_epoch_end(self):
        metrics = self.trainer.callback_metrics
        if "mse" in metrics:
            self.validation.append((float(metrics["mse"]), float(metrics["loss"])))

    def configure_optimizers(self):
        if self.hparams.optimizer == "sgd":
            return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        weights = [p for p in self.parameters() if p.ndim > 1]
        biases = [p for p in self.parameters() if p.ndim == 1]
        groups = [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=2e-2)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.95**step)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Manual(Regression):
    def __init__(self) -> None:
        super().__init__("sgd")
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = self.loss(batch)
        self.manual_backward(loss)
        optimizer.step()
        self.record(loss)


class Gan(Regression):
    """Two optimizers; the generator's gradients also reach the critic unless it is toggled off."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.critic = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        generator, critic = self.optimizers()
        x, y = batch
        self.toggle_optimizer(generator)
        loss = -self.critic(self.net(x)).mean() + self.loss(batch)
        generator.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(generator, gradient_clip_val=0.5)
        generator.step()
        self.untoggle_optimizer(generator)
        self.record(loss)
        for _ in range(2):  # and a critic that steps more often, not toggled
            wasserstein = self.critic(self.net(x).detach()).mean() - self.critic(y).mean()
            critic.zero_grad()
            self.manual_backward(wasserstein)
            critic.step()
            self.record(wasserstein)

    def configure_optimizers(self):
        return [
            torch.optim.Adam(self.net.parameters(), lr=1e-2),
            torch.optim.SGD(self.critic.parameters(), lr=1e-2),
        ]


class Idle(Regression):
    """A head that no batch reaches."""

    def __init__(self) -> None:
        super().__init__("sgd")
        self.idle = nn.Linear(FEATURES, 1)


class RankDependent(Regression):
    """Each rank goes its own way through the module; a single process goes all of them.

    One head is reached by no rank: without a gradient, weight decay leaves it as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(FEATURES, 1) for _ in range(4))

    def training_step(self, batch, batch_idx):
        x, y = batch
        ranks = [self.global_rank] if self.trainer.world_size > 1 else [0, 1]
        parts = [(x, y)] if len(ranks) == 1 else [(x[r::2], y[r::2]) for r in ranks]
        loss = torch.stack(
            [
                self.loss(part) + self.heads[(batch_idx + r) % 3](part[0]).pow(2).mean()
                for r, part in zip(ranks, parts)
            ]
        ).mean()
        self.record(loss)
        return loss


class Failing(Regression):
    def __init__(self, rank: int, mark: Path) -> None:
        super().__init__()
        self.rank, self.mark = rank, mark

    def training_step(self, batch, batch_idx):
        if batch_idx == 2 and self.global_rank == self.rank:
            self.mark.write_text(str(time.time()))
            raise ArithmeticError("the detector is on fire")
        return super().training_step(batch, batch_idx)


class World:
    def __init__(self, strategy: str, devices: int, folder: Path) -> None:
        self.strategy, self.devices, self.folder = strategy, devices, folder
        self.deepspeed = strategy.startswith("deepspeed")

    def loader(self, trainer: Trainer) -> DataLoader:
        generator = torch.Generator().manual_seed(7)
        x = torch.randn(SAMPLES, FEATURES, generator=generator)
        data = TensorDataset(x, x[:, :1] ** 2 + x[:, 1:2])
        world, rank = trainer.world_size, trainer.global_rank
        sampler = DistributedSampler(data, world, rank, shuffle=False) if world > 1 else None
        return DataLoader(data, batch_size=GLOBAL_BATCH // world, sampler=sampler)

    def keep_each_epoch(self, name: str) -> ModelCheckpoint:
        return ModelCheckpoint(self.folder / name, filename="{epoch}", save_top_k=-1, every_n_epochs=1)

    def trainer(self, **kwargs) -> Trainer:
        callbacks = kwargs.setdefault("callbacks", [])
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        quiet["enable_checkpointing"] = bool(callbacks)
        settings = {"strategy": self.strategy, "devices": self.devices, "accelerator": "cpu", "max_epochs": 2}
        return Trainer(**{**settings, **quiet, "default_root_dir": self.folder, **kwargs})

    def fit(self, module: LightningModule, ckpt_path: str | None = None, **kwargs) -> dict:
        trainer = self.trainer(**kwargs)
        trainer.fit(module, self.loader(trainer), self.loader(trainer), ckpt_path=ckpt_path)
        weights = {
            name: value.float() for name, value in trainer.strategy.lightning_module_state_dict().items()
        }
        return {
            "losses": module.losses,
            "rates": module.rates,
            "validation": module.validation,
            "weights": {name: value.float().flatten().tolist() for name, value in weights.items()},
            "steps": trainer.global_step,
        }


def cases(world: World, resume_from: dict[str, Path]) -> dict:
    def error_of(function) -> str:
        try:
            function()
        except (ValueError, MisconfigurationException) as error:
            return f"{type(error).__name__}: {error}"
        return "no error"

    def make(kind, *args):
        seed_everything(5)
        return kind(*args)

    results = {}
    module = make(Regression)
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        with torch.no_grad():  # the strategy has to give every rank the weights of rank 0
            for parameter in module.parameters():
                parameter.add_(1.0)
    results["curve"] = world.fit(module, callbacks=[world.keep_each_epoch("curve")])
    first = world.folder / "curve" / "epoch=0.ckpt"
    results["checkpoint"] = str(first)
    resume_from = {"itself": first, **resume_from}
    results["resumed"] = {
        name: world.fit(make(Regression), ckpt_path=str(path)) for name, path in resume_from.items()
    }
    trainer = world.trainer()
    results["validate"] = trainer.validate(
        make(Regression), world.loader(trainer), ckpt_path=str(first), verbose=False
    )[0]
    results["bf16"] = world.fit(
        make(Regression), precision="bf16-mixed", callbacks=[world.keep_each_epoch("bf16")]
    )
    first = world.folder / "bf16" / "epoch=0.ckpt"
    results["bf16_resumed"] = world.fit(make(Regression), ckpt_path=str(first), precision="bf16-mixed")
    results["accumulate"] = world.fit(make(Regression, "sgd"), accumulate_grad_batches=4)
    results["clip_norm"] = world.fit(make(Regression, "sgd"), gradient_clip_val=0.1)
    results["manual"] = world.fit(make(Manual))
    results["idle"] = world.fit(make(Idle), **_find_unused(world))
    value = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}
    if world.deepspeed:
        results["clip_value"] = error_of(lambda: world.fit(make(Regression, "sgd"), **value))
        results["gan"] = error_of(lambda: world.fit(make(Gan)))
        results["fp16"] = error_of(lambda: world.fit(make(Regression), precision="16-mixed"))
    else:
        results["clip_value"] = world.fit(make(Regression, "sgd"), **value)
        results["gan"] = world.fit(make(Gan), **_find_unused(world))
        results["rank_dependent"] = world.fit(make(RankDependent), **_find_unused(world))
    return results


def _find_unused(world: World) -> dict:
    return {"strategy": "ddp_find_unused_parameters_true"} if world.strategy == "ddp" else {}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("strategies", nargs="+")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--folder", type=Path, required=True, help="each strategy gets a folder in it")
    parser.add_argument("--resume", nargs="*", default=[], metavar="NAME=PATH", help="checkpoints of others")
    parser.add_argument("--raise-on", type=int, metavar="RANK", help="raise there, at last")
    args = parser.parse_args()
    resume_from = {name: Path(path) for name, path in (item.split("=", 1) for item in args.resume)}
    for strategy in args.strategies:
        world = World(strategy, args.devices, args.folder / strategy)
        results = cases(world, resume_from)
        if world.trainer().global_rank == 0:
            (world.folder / "results.json").write_text(json.dumps(results))
    if args.raise_on is not None:
        world.fit(Failing(args.raise_on, args.folder / "raised_at"))


if __name__ == "__main__":
    main()
