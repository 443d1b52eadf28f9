"""Lightning code as you have it, plus three callbacks.

Run it on this machine, on CPU if there is no GPU::

    python examples/three_lines.py
    python examples/three_lines.py --strategy ddp --devices 2
    python examples/three_lines.py --strategy deepspeed --devices 2
    horovodrun --gloo -np 2 python examples/three_lines.py --strategy horovod --devices 2
    tensorboard --logdir lightning_logs

The model is a small convolutional network that tells which quarter of a noisy image is the brightest.
"""

import argparse

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_itwin.callbacks import CarbonTracker, CommunicationProfiler, GPUMonitor


class BrightestQuarter(L.LightningModule):
    """A classifier like any other."""

    def __init__(self, learning_rate: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 4),
        )

    def training_step(self, batch, batch_idx):
        images, quarters = batch
        loss = nn.functional.cross_entropy(self.net(images), quarters)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        images, quarters = batch
        accuracy = (self.net(images).argmax(dim=1) == quarters).float().mean()
        self.log("val_accuracy", accuracy, prog_bar=True, sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate, momentum=0.9)


def images(number: int, seed: int) -> TensorDataset:
    """Draw noisy images of 28 x 28 pixels, one quarter of each a little brighter than the others."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(number, 1, 28, 28, generator=generator)
    quarters = torch.randint(4, (number,), generator=generator)
    bright = torch.eye(4)[quarters].reshape(number, 1, 2, 2)
    return TensorDataset(noise + bright.repeat_interleave(14, dim=2).repeat_interleave(14, dim=3), quarters)


def main() -> None:
    """Train for a few epochs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strategy", default="auto", help="ddp, deepspeed, horovod, ... (default: auto)")
    parser.add_argument("--devices", type=int, default=1, help="worker processes (default: 1)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs (default: 3)")
    parser.add_argument("--country", help="where the electricity comes from, such as DEU")
    options = parser.parse_args()

    trainer = L.Trainer(
        max_epochs=options.epochs,
        strategy=options.strategy,
        devices=options.devices,
        log_every_n_steps=10,
        callbacks=[
            GPUMonitor(),
            CommunicationProfiler(),
            CarbonTracker(country_iso_code=options.country),
        ],
    )
    trainer.fit(
        BrightestQuarter(),
        DataLoader(images(4096, seed=1), batch_size=64, shuffle=True),
        DataLoader(images(512, seed=2), batch_size=64),
    )
    folder = trainer.log_dir  # every rank asks for it
    if trainer.is_global_zero:
        print(f"Records and scalars: {folder}")


if __name__ == "__main__":
    main()
