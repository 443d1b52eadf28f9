"""Modules that nobody wrote for these callbacks, as a user may bring them.

``BoringModel`` and ``LightningTransformer`` are Lightning's own demos. ``GAN`` is Lightning's example
``examples/pytorch/domain_templates/generative_adversarial_net.py`` (Lightning AI, Apache-2.0), as its docs
have it: two optimizers, stepped by hand. Its images are noise of 8 x 8 pixels instead of MNIST.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.demos import LightningTransformer
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Generator(nn.Module):
    def __init__(self, latent_dim: int, img_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.img_shape = img_shape

        def block(in_feat: int, out_feat: int, normalize: bool = True) -> list[nn.Module]:
            layers: list[nn.Module] = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(
            *block(latent_dim, 16, normalize=False),
            *block(16, 32),
            nn.Linear(32, int(np.prod(img_shape))),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z).view(z.size(0), *self.img_shape)


class Discriminator(nn.Module):
    def __init__(self, img_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(int(np.prod(img_shape)), 32),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(32, 1),
        )

    def forward(self, img: Tensor) -> Tensor:
        return self.model(img.view(img.size(0), -1))


class GAN(LightningModule):
    def __init__(
        self, img_shape: tuple[int, int, int] = (1, 8, 8), latent_dim: int = 10, lr: float = 0.0002
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = Generator(latent_dim=latent_dim, img_shape=img_shape)
        self.discriminator = Discriminator(img_shape=img_shape)

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)

    @staticmethod
    def adversarial_loss(y_hat: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(y_hat, y)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        imgs, _ = batch
        opt_g, opt_d = self.optimizers()  # type: ignore[misc]
        z = torch.randn(imgs.shape[0], self.hparams["latent_dim"]).type_as(imgs)
        valid = torch.ones(imgs.size(0), 1).type_as(imgs)
        fake = torch.zeros(imgs.size(0), 1).type_as(imgs)

        # train generator
        self.toggle_optimizer(opt_g)
        g_loss = self.adversarial_loss(self.discriminator(self(z)), valid)
        self.log("g_loss", g_loss, prog_bar=True)
        self.manual_backward(g_loss)
        opt_g.step()
        opt_g.zero_grad()
        self.untoggle_optimizer(opt_g)

        # train discriminator
        self.toggle_optimizer(opt_d)
        real_loss = self.adversarial_loss(self.discriminator(imgs), valid)
        fake_loss = self.adversarial_loss(self.discriminator(self(z).detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        self.log("d_loss", d_loss, prog_bar=True)
        self.manual_backward(d_loss)
        opt_d.step()
        opt_d.zero_grad()
        self.untoggle_optimizer(opt_d)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val_score", self.discriminator(batch[0]).mean(), sync_dist=True)

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[Any]]:
        lr = self.hparams["lr"]
        opt_g = torch.optim.Adam(self.generator.parameters(), lr=lr, betas=(0.5, 0.999))
        opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=lr, betas=(0.5, 0.999))
        return [opt_g, opt_d], []


class Words(LightningTransformer):
    """The demo on words that are drawn rather than downloaded."""

    def __init__(self) -> None:
        super().__init__(vocab_size=50)

    def prepare_data(self) -> None:
        pass

    def train_dataloader(self) -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(0)
        inputs, target = torch.randint(50, (2, 24, 5), generator=generator)
        return DataLoader(TensorDataset(inputs, target), batch_size=2)


def images() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    return DataLoader(
        TensorDataset(torch.rand(48, 1, 8, 8, generator=generator), torch.arange(48)), batch_size=4
    )


Build = Callable[[], tuple[LightningModule, dict[str, Any]]]
MODULES: dict[str, Build] = {
    "boring": lambda: (BoringModel(), {}),
    "transformer": lambda: (Words(), {}),
    "gan": lambda: (GAN(), {"train_dataloaders": images(), "val_dataloaders": images()}),
}
