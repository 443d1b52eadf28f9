"""The published format of energy images: scales, parts and times of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_itwin.datamodules.virgo.energy_images import EnergyImageDataModule
from lightning_itwin.datamodules.virgo.settings import SplitSettings
from lightning_itwin.strain.channel_pieces import ChannelError

h5py = pytest.importorskip("h5py")


def write(path: Path, rows: int = 20, chunk: int = 5, with_gps: bool = False) -> Path:
    images = np.random.default_rng(0).exponential(size=(rows, 3, 16, 16)).astype(np.float32)
    images[:, 1] *= 50.0
    with h5py.File(path, "w") as h5:
        h5.create_dataset("virgo_dataset", data=images, chunks=(chunk, 3, 16, 16))
        if with_gps:
            # two crops of each event, all first crops before all second ones
            h5["gps_s"] = np.tile(1e9 + 10.0 * np.arange(rows // 2), 2)
    return path


def test_the_scale_is_the_mean_maximum_whatever_the_chunks(tmp_path: Path) -> None:
    scales = []
    for chunk in (1, 5, 20):
        module = EnergyImageDataModule(str(write(tmp_path / f"{chunk}.h5", chunk=chunk)))
        module.setup()
        scales.append(module.scale)
    np.testing.assert_array_equal(scales[0], scales[1])
    np.testing.assert_array_equal(scales[0], scales[2])
    with h5py.File(tmp_path / "1.h5") as h5:
        expected = h5["virgo_dataset"][:14].max(axis=(2, 3)).mean(axis=0)
    np.testing.assert_allclose(scales[0], expected, rtol=1e-6)
    assert module.num_witnesses == 2


def test_crops_of_an_event_keep_its_time_and_its_part(tmp_path: Path) -> None:
    module = EnergyImageDataModule(str(write(tmp_path / "a.h5", with_gps=True)), batch_size=4)
    module.setup()
    parts = [
        np.concatenate([batch.event.numpy() for batch in loader])
        for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader())
    ]
    assert [len(part) for part in parts] == [14, 2, 2]
    assert not set(parts[0]) & set(parts[1])
    whole = np.concatenate([batch.event.numpy() for batch in module.predict_dataloader()])
    np.testing.assert_array_equal(whole, np.tile(1e9 + 10.0 * np.arange(10), 2))


def test_rows_are_scaled_and_the_strain_is_taken_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    module = EnergyImageDataModule(str(path), strain_channel=1, highest_energy=60.0, batch_size=3)
    module.setup()
    batch = next(iter(module.predict_dataloader()))
    assert batch.witnesses.shape == (3, 2, 16, 16)
    assert batch.strain.shape == (3, 1, 16, 16)
    with h5py.File(path) as h5:
        images = np.clip(h5["virgo_dataset"][:3], 0, 60.0)
    np.testing.assert_allclose(batch.strain[:, 0], images[:, 1] / module.scale[1], rtol=1e-5)
    np.testing.assert_allclose(batch.witnesses[:, 1], images[:, 2] / module.scale[2], rtol=1e-5)


def test_the_scale_travels_with_a_checkpoint(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.h5"))
    first = EnergyImageDataModule(path)
    first.setup()
    other = EnergyImageDataModule(path, split=SplitSettings(train=0.0, val=0.0, test=1.0))
    other.load_state_dict(first.state_dict())
    other.setup()
    np.testing.assert_array_equal(other.scale, first.scale)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dataset": "nothing"}, ChannelError, "holds no images"),
        ({"strain_channel": 3}, ChannelError, "has 3 channels"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"gps_dataset": "virgo_dataset"}, ChannelError, "one time a row"),
    ],
)
def test_refuses(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    path = str(write(tmp_path / "a.h5"))
    with pytest.raises(error, match=message):
        EnergyImageDataModule(path, **options).setup()


def test_a_channel_without_energy_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as h5:
        h5["virgo_dataset"][:, 2] = 0.0
    with pytest.raises(ChannelError, match=r"channels \[2\]"):
        EnergyImageDataModule(str(path)).setup()
