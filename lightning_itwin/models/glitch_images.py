"""GlitchImageUNet: the published generator of a strain's energy image from its witnesses' images."""

# B batch, W witnesses, F frequencies, N times

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional

from lightning_itwin.models.glitch_image_unet import AttentionUNet, structural_similarity
from lightning_itwin.strain.energy_images import EnergyImageBatch, cluster_sizes

_DATA_RANGE = 21.0  # as published: the loudest image is that many usual maxima


class GlitchImageUNet(LightningModule):
    """Attention U-Net on energy images, for parity with the published workflow; no h(t) comes out of it.

    The loss is ``0.8 L1 + 0.2 (1 - SSIM)``. Logged metrics: ``train/loss``, ``val/loss``, ``test/loss``; and,
    of images with a glitch alone (a cluster of more than one pixel above the threshold),
    ``denoising_accuracy``: share of which the difference of images has no such cluster; of all images,
    ``veto_accuracy``: share for which the generated image has such a cluster if and only if the real one has.
    Clusters are counted in each image by itself.

    Args:
        num_witnesses: witness images W.
        base_channels: see ``AttentionUNet``.
        threshold: squared SNR above which a pixel is loud, in units of the file.
        strain_scale: units of the file in one unit of the images; taken from the datamodule if it tells.
        learning_rate: of AdamW, divided by 10 where the validation loss stalls.
        weight_decay: of AdamW.

    Raises:
        ValueError: the datamodule has another number of witnesses.

    Reference:
        interTwin's glitchflow plug-in for itwinai: architecture, loss and optimiser.
    """

    strain_scale: Tensor

    def __init__(
        self,
        num_witnesses: int = 8,
        base_channels: int = 64,
        threshold: float = 16.0,
        strain_scale: float = 1.0,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.threshold = threshold
        self.network = AttentionUNet(num_witnesses, base_channels)
        self.register_buffer("strain_scale", torch.tensor(float(strain_scale)))

    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        given = getattr(datamodule, "num_witnesses", self.hparams["num_witnesses"])
        if given != self.hparams["num_witnesses"]:
            raise ValueError(
                f"GlitchImageUNet has num_witnesses={self.hparams['num_witnesses']}, but the data have "
                f"{given}. Give the model what the data have: num_witnesses={given}."
            )
        scale = getattr(datamodule, "scale", None)
        if stage == "fit" and scale is not None:
            self.strain_scale.fill_(float(scale[getattr(datamodule, "strain_channel", 0)]))

    def forward(self, witnesses: Tensor) -> Tensor:
        """Generate the strain's image, (B, 1, F, N), from (B, W, F, N)."""
        return self.network(witnesses)

    def training_step(self, batch: EnergyImageBatch, batch_idx: int) -> Tensor:
        loss = self._loss(self(batch.witnesses), batch.strain)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: EnergyImageBatch, batch_idx: int) -> None:
        self._measure("val", batch)

    def test_step(self, batch: EnergyImageBatch, batch_idx: int) -> None:
        self._measure("test", batch)

    def predict_step(self, batch: EnergyImageBatch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Give each event and its generated image, in units of the file: (B,) and (B, 1, F, N)."""
        return batch.event, self(batch.witnesses) * self.strain_scale

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss", "strict": False},
        }

    def _loss(self, generated: Tensor, real: Tensor) -> Tensor:
        similarity = structural_similarity(generated, real, data_range=_DATA_RANGE)
        return 0.8 * functional.l1_loss(generated, real) + 0.2 * (1 - similarity)

    def _measure(self, stage: str, batch: EnergyImageBatch) -> None:
        generated = self(batch.witnesses)
        size = len(batch.strain)
        loss = self._loss(generated, batch.strain)
        self.log(f"{stage}/loss", loss, sync_dist=True, prog_bar=True, batch_size=size)
        real, made, left = (
            self._clusters(image) for image in (batch.strain, generated, (generated - batch.strain).abs())
        )
        agree = (real == made).double().mean()
        self.log(f"{stage}/veto_accuracy", agree, sync_dist=True, batch_size=size)
        glitches = int(real.sum())
        if glitches:
            clean = 1 - left[real].double().mean()
            self.log(f"{stage}/denoising_accuracy", clean, batch_size=glitches)

    def _clusters(self, images: Tensor) -> Tensor:
        """Tell which images have a cluster of more than one loud pixel, (B,) bool."""
        energy = (images[:, 0].detach().float() * self.strain_scale).cpu().numpy()
        found = [bool((cluster_sizes(image, self.threshold) > 1).any()) for image in energy]
        return torch.tensor(found)
