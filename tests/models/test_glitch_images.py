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

PUBLISHED = 16_836_660


def test_clusters_of_neighbouring_events_stay_apart() -> None:
    images = np.zeros((2, 4, 4))
    images[:, 1, 1] = 20.0
    assert [cluster_sizes(image, 16.0).tolist() for image in images] == [[1], [1]]
    with pytest.raises(ValueError, match="takes one image"):
        cluster_sizes(images, 16.0)


def test_the_network_keeps_the_size_and_is_positive() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(3, base_channels=8)
    image = network(torch.rand(2, 3, 64, 64))
    assert image.shape == (2, 1, 64, 64)
    assert (image > 0).all()


def test_the_layout_is_the_published_one() -> None:
    # What the published code counts at 8 witnesses and 64 channels
    with torch.device("meta"):
        network = AttentionUNet(8)
    assert sum(weights.numel() for weights in network.parameters()) == PUBLISHED
    with pytest.raises(ValueError, match="multiple of 8, not 20"):
        AttentionUNet(8, base_channels=20)


def test_attention_is_that_of_every_pixel_to_every_other() -> None:
    torch.manual_seed(0)
    layer = AttentionUNet(3, base_channels=16).attention[2]
    skip, below = torch.randn(2, 2, 16, 4, 4)
    assert torch.equal(layer(skip, below), skip)  # before training
    torch.nn.init.constant_(layer.gamma, 0.7)
    query, key, value = layer.query(skip), layer.key(below), layer.value(below)
    score = torch.einsum("bcij,bckl->bijkl", query, key).flatten(3).softmax(dim=-1).view(2, 4, 4, 4, 4)
    wanted = skip + 0.7 * torch.einsum("bijkl,bckl->bcij", score, value)
    torch.testing.assert_close(layer(skip, below), wanted)


def test_the_weights_are_initialised_after_the_layers_exist() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(3, base_channels=16)
    layer = network.down[2][0].layers[0]
    # The gain of a leaky ReLU of slope 0.01, as PyTorch defines it
    assert float(layer.weight.std()) == pytest.approx((2 / (1 + 0.01**2) / (9 * 32)) ** 0.5, rel=0.05)
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
    model = GlitchImageUNet(num_witnesses=2, base_channels=8, learning_rate=1e-2)
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
        trainer.fit(GlitchImageUNet(num_witnesses=5, base_channels=8), data)
