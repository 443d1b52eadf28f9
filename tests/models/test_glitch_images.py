"""The published generator of energy images, with what was wrong in it put right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from lightning_itwin.datamodules.virgo.energy_images import EnergyImageDataModule
from lightning_itwin.models.glitch_image_unet import AttentionUNet, structural_similarity
from lightning_itwin.models.glitch_images import GlitchImageUNet
from lightning_itwin.strain.energy_images import cluster_sizes

h5py = pytest.importorskip("h5py")


def test_clusters_of_neighbouring_events_stay_apart() -> None:
    images = np.zeros((2, 4, 4))
    images[:, 1, 1] = 20.0
    assert [cluster_sizes(image, 16.0).tolist() for image in images] == [[1], [1]]
    with pytest.raises(ValueError, match="takes one image"):
        cluster_sizes(images, 16.0)


def test_the_network_keeps_the_size_and_is_positive() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(3, base_channels=4)
    image = network(torch.rand(2, 3, 64, 64))
    assert image.shape == (2, 1, 64, 64)
    assert (image > 0).all()


def test_the_weights_are_initialised_after_the_layers_exist() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(3, base_channels=16)
    layer = network.down[2].layers[0]
    assert float(layer.weight.std()) == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)
    assert not network.outer.bias.any()


def test_equal_images_are_similar() -> None:
    image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert structural_similarity(image, image, 1.0) == pytest.approx(1.0)
    assert structural_similarity(image, 1 - image, 1.0) < 0.1


def write(path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.exponential(size=(24, 3, 16, 16))
    for row in range(0, 24, 2):
        at = rng.integers(2, 12, size=2)
        images[row, :, at[0] : at[0] + 3, at[1] : at[1] + 3] += 80.0
    with h5py.File(path, "w") as h5:
        h5["virgo_dataset"] = images.astype(np.float32)
    return path


def test_it_trains_and_predicts_on_the_published_format(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    data = EnergyImageDataModule(str(write(tmp_path / "images.h5")), batch_size=4)
    model = GlitchImageUNet(num_witnesses=2, base_channels=4, learning_rate=1e-2)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=20,
        default_root_dir=tmp_path,
        logger=False,
        num_sanity_val_steps=0,
        gradient_clip_val=5.0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    (figures,) = trainer.test(model, data, verbose=False)
    assert figures["test/loss"] < 0.3
    assert 0 <= figures["test/veto_accuracy"] <= 1
    assert 0 <= figures["test/denoising_accuracy"] <= 1
    event, image = trainer.predict(model, data)[0]
    assert event.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert image.shape == (4, 1, 16, 16)
    assert float(model.strain_scale) == pytest.approx(data.scale[0])
    with pytest.raises(ValueError, match="num_witnesses=2"):
        trainer.fit(GlitchImageUNet(num_witnesses=5, base_channels=4), data)
