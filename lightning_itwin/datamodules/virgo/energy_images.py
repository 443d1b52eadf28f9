"""EnergyImageDataModule: images of energy around events, in the published HDF5 format."""

# R rows, C channels, F frequencies, N times, B batch

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from lightning_itwin.datamodules.virgo.settings import SplitSettings
from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.energy_images import EnergyImageBatch
from lightning_itwin.strain.hdf5_channels import open_hdf5

_BLOCK_ROWS = 256
_SPLIT = SplitSettings(train=0.7, val=0.15, test=0.15, guard_s=0.0)


class EnergyImageDataModule(LightningDataModule):
    """Energy images (R, C, F, N) from an HDF5 file, such as ``virgo_dataset`` of the published workflow.

    Each channel is divided by the mean, over all training rows, of its images' maxima: one number a channel,
    whatever the chunks of the file are. Rows of one event, such as crops of it, stay in one part: parts
    follow the order of events. A row carries the GPS time of its own event, read row by row.

    Args:
        path: the file.
        dataset: name of the images in it.
        gps_dataset: name of the rows' GPS times in it, (R,); without, each row is an event.
        strain_channel: channel of the strain.
        highest_energy: energy at which pixels are cut off.
        batch_size: rows in a batch.
        split: shares of the events for training, validation and test.
        seed: of the shuffle.

    Raises:
        ValueError: a value is outside its range.
        ChannelError: in ``setup``: the file does not hold such images.

    Reference:
        interTwin-eu/itwinai, use-cases/virgo: the format; there each chunk of rows was divided by its own
        maximum.
    """

    def __init__(
        self,
        path: str,
        dataset: str = "virgo_dataset",
        gps_dataset: str = "gps_s",
        strain_channel: int = 0,
        highest_energy: float = 1e4,
        batch_size: int = 10,
        split: SplitSettings = _SPLIT,
        seed: int = 42,
    ) -> None:
        super().__init__()
        if batch_size < 1 or highest_energy <= 0 or strain_channel < 0:
            raise ValueError(
                "batch_size must be at least 1, highest_energy > 0 and strain_channel at least 0, not "
                f"{batch_size}, {highest_energy} and {strain_channel}."
            )
        self.path, self.dataset, self.gps_dataset = Path(path), dataset, gps_dataset
        self.strain_channel, self.highest_energy = strain_channel, highest_energy
        self.batch_size, self.split, self.seed = batch_size, split, seed
        self.scale = np.zeros(0)
        self._shape: tuple[int, ...] = ()
        self._event = np.zeros(0)
        self._rows: dict[str, np.ndarray] = {}

    @property
    def num_witnesses(self) -> int:
        """Channels beside the strain; known after ``setup``."""
        return self._shape[1] - 1

    def setup(self, stage: str | None = None) -> None:
        if self._rows:
            return
        with open_hdf5(self.path) as h5:
            if self.dataset not in h5 or h5[self.dataset].ndim != 4:
                raise ChannelError(
                    f"{self.path} holds no images (rows, channels, frequencies, times) under {self.dataset}; "
                    f"there are: {', '.join(h5)}."
                )
            images = h5[self.dataset]
            self._shape = images.shape
            rows, channels = images.shape[:2]
            if channels < 2 or self.strain_channel >= channels:
                raise ChannelError(
                    f"{self.dataset} has {channels} channels: the strain, number {self.strain_channel}, and "
                    "at least one more are needed."
                )
            self._event = (
                np.asarray(h5[self.gps_dataset], dtype=np.float64)
                if self.gps_dataset in h5
                else np.arange(rows, dtype=np.float64)
            )
            if self._event.shape != (rows,):
                raise ChannelError(
                    f"{self.gps_dataset} must have one time a row, ({rows},), not {self._event.shape}."
                )
            self._rows = self._deal()
            if not self.scale.size:
                self.scale = self._usual_maxima(images)

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader:
        return self._loader("all")

    def state_dict(self) -> dict[str, Any]:
        return {"scale": torch.from_numpy(self.scale.copy())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scale = torch.as_tensor(state_dict["scale"]).numpy()

    def _deal(self) -> dict[str, np.ndarray]:
        events, event_of = np.unique(self._event, return_inverse=True)
        parts = self.split.parts(np.array([[0, len(events)]]), 0)
        found = {}
        for name, ranges in parts.items():
            inside = np.zeros(len(events), dtype=bool)
            for begin, end in ranges.tolist():
                inside[begin:end] = True
            found[name] = np.flatnonzero(inside[event_of])
        if not len(found["train"]) and not self.scale.size:
            raise ChannelError(f"{self.path}: {len(events)} events leave none for training.")
        return found

    def _usual_maxima(self, images: Any) -> np.ndarray:
        rows = self._rows["train"]
        total = np.zeros(self._shape[1])
        for begin in range(0, len(rows), _BLOCK_ROWS):
            block = np.asarray(images[rows[begin : begin + _BLOCK_ROWS]], dtype=np.float64)
            total += np.clip(block, 0, self.highest_energy).max(axis=(2, 3)).sum(axis=0)
        scale = total / len(rows)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise ChannelError(
                f"{self.path}: channels {np.flatnonzero(~(scale > 0)).tolist()} of {self.dataset} hold no "
                "energy, or numbers that are not finite."
            )
        return scale

    def _loader(self, part: str, shuffle: bool = False) -> DataLoader:
        generator = torch.Generator().manual_seed(self.seed)
        images = _Images(self, self._rows[part], self._event)
        return DataLoader(
            images, batch_size=self.batch_size, shuffle=shuffle, generator=generator, collate_fn=_stacked
        )


class _Images(Dataset):
    """Rows of the file, read one at a time; opened where they are read, worker processes included."""

    def __init__(self, source: EnergyImageDataModule, rows: np.ndarray, event: np.ndarray) -> None:
        self._path, self._dataset = source.path, source.dataset
        self._strain, self._highest = source.strain_channel, source.highest_energy
        self._scale, self._rows, self._event = source.scale, rows, event
        self._images: Any = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> EnergyImageBatch:
        if self._images is None:
            self._images = open_hdf5(self._path)[self._dataset]
        row = int(self._rows[index])
        image = np.clip(self._images[row], 0, self._highest) / self._scale[:, None, None]
        image = torch.from_numpy(image.astype(np.float32))
        others = [channel for channel in range(len(image)) if channel != self._strain]
        return EnergyImageBatch(
            witnesses=image[others],
            strain=image[self._strain : self._strain + 1],
            event=torch.tensor(self._event[row]),
        )


def _stacked(rows: list[EnergyImageBatch]) -> EnergyImageBatch:
    return EnergyImageBatch(*(torch.stack(columns) for columns in zip(*rows)))
