"""A made-up soil that dries and is rained on, as a datamodule that DroughtForecaster learns from."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_itwin.hydrology.climatology import Climatology
from lightning_itwin.hydrology.reference_forecasts import ReferenceForecasts

CELLS, HISTORIES, YEARS = 3, 2, 6
DAYS = 365 * YEARS
SPLITS = {"train": (0, 3), "calibration": (3, 4), "val": (4, 5), "test": (5, 6)}  # years
LEVELS = [0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95]


class Batch(NamedTuple):
    dynamic: Tensor
    static: Tensor
    context: Tensor
    year_fraction: Tensor
    target: Tensor
    thresholds: Tensor
    series: Tensor
    start: Tensor
    weather: Tensor | None


class ToyHydro(LightningDataModule):
    """Series s is cell s % 3 in history s // 3; cells differ in how fast they dry."""

    def __init__(
        self,
        batch=16,
        leads=(1, 5, 20),
        seq_length=60,
        warmup=30,
        anomaly=True,
        weather=False,
        context=True,
        calibration=True,
    ):
        super().__init__()
        self.batch, self.leads, self.seq_length, self.warmup = batch, list(leads), seq_length, warmup
        self.anomaly, self.has_calibration = anomaly, calibration
        self.dynamic_names, self.static_names, self.target_name = (
            ["rain", "warmth"],
            ["drying"],
            "soil_moisture",
        )
        self.context_names = ["domain mean of rain"] if context else []
        self.weather_names = ["rain_mean"] if weather else []
        self.climatology = self.reference_forecasts = None
        self.target_units = "m3 m-3"
        generator = np.random.default_rng(1)
        rain = generator.gamma(0.4, 1.0, (HISTORIES, 1, DAYS)) * np.ones((1, CELLS, 1))
        rain = (rain + generator.gamma(0.2, 1.0, (HISTORIES, CELLS, DAYS))).reshape(-1, DAYS)
        drying = np.tile([0.02, 0.05, 0.1], HISTORIES)
        soil = np.zeros_like(rain)
        for day in range(1, DAYS):
            soil[:, day] = soil[:, day - 1] * (1 - drying) + 0.1 * rain[:, day]
        fraction = np.arange(DAYS) % 365 / 365
        self.value = torch.from_numpy(0.2 + 0.02 * soil).float()
        self.target_scale = (float(self.value.mean()), float(self.value.std()))
        self.inputs = torch.from_numpy(
            np.stack([(rain - 0.6) / 0.8, np.tile(np.cos(6.28 * fraction), (6, 1))], -1)
        )
        self.drying = torch.from_numpy((np.tile([0.02, 0.05, 0.1], 1) - 0.056) / 0.03).float().unsqueeze(-1)
        self.fraction = torch.from_numpy(fraction)
        axis = SimpleNamespace(
            year_fraction=lambda beyond=0: (np.arange(DAYS + beyond) % 365 / 365).astype("f4")
        )
        self.grid = SimpleNamespace(
            lat=np.array([46.0]),
            lon=np.array([10.0, 10.5, 11.0]),
            row=np.zeros(3, dtype=np.int64),
            column=np.arange(3),
            realizations=HISTORIES,
            times=np.datetime64("2001-01-01") + np.arange(DAYS),
            dims=("lat", "lon"),
            axis=axis,
        )

    def ensure_statistics(self):
        if self.climatology is not None or not self.anomaly:
            return
        trained = slice(0, 365 * SPLITS["train"][1])
        pooled = self.value.view(HISTORIES, CELLS, -1)[..., trained].permute(1, 0, 2).reshape(CELLS, -1)
        fraction = self.fraction[trained].repeat(HISTORIES)
        self.climatology = Climatology.fit(pooled, fraction)
        anomaly = self.climatology.anomaly(pooled, torch.arange(CELLS), fraction)
        self.reference_forecasts = ReferenceForecasts.fit([anomaly], fraction, self.leads, LEVELS)

    def windows(self, split, every=7):
        self.ensure_statistics()
        first, end = (365 * year for year in SPLITS[split])
        starts = torch.arange(first, end - self.seq_length - self.leads[-1] + 1, every)
        return [(series, int(start)) for start in starts for series in range(HISTORIES * CELLS)]

    def cut(self, series, start):
        length, horizon = self.seq_length, self.leads[-1]
        series, start = torch.tensor(series), torch.tensor(start)
        day = start[:, None] + torch.arange(length + horizon)
        cell, there = series % CELLS, day < DAYS
        day = day.clamp_max(DAYS - 1)
        fraction = self.fraction[day].float()
        value = self.value[series[:, None], day]
        if self.anomaly:
            target = self.climatology.anomaly(value, cell, fraction).float()
            thresholds = self.climatology.thresholds(cell, fraction).float()
        else:
            target = (value - self.target_scale[0]) / self.target_scale[1]
            thresholds = torch.empty(*day.shape, 0)
        past = day[:, :length]
        dynamic = self.inputs[series[:, None], past].float()
        context = (
            self.inputs[..., :1]
            .view(HISTORIES, CELLS, DAYS, 1)
            .mean(1)
            .float()[(series // CELLS)[:, None], past]
        )
        weather = None
        if self.weather_names:
            coming = (past[..., None] + torch.tensor(self.leads)).clamp_max(DAYS - 1)
            weather = self.inputs[series[:, None, None], coming, 0].float().unsqueeze(-1)
        return Batch(
            dynamic=dynamic,
            static=self.drying[cell],
            context=context if self.context_names else context[..., :0],
            year_fraction=fraction,
            target=torch.where(there, target, torch.nan),
            thresholds=thresholds,
            series=series,
            start=start,
            weather=weather,
        )

    def loader(self, windows, shuffle=False):
        # Under DDP the Trainer puts its sampler in.
        return DataLoader(
            _Windows(windows),
            batch_size=self.batch,
            shuffle=shuffle,
            collate_fn=lambda some: self.cut(*map(list, zip(*some))),
        )

    def train_dataloader(self):
        return self.loader(self.windows("train", 1), shuffle=True)

    def val_dataloader(self):
        return self.loader(self.windows("val"))

    def test_dataloader(self):
        return self.loader(self.windows("test"))

    def calibration_dataloader(self):
        if not self.has_calibration:
            raise ValueError("The period of calibration has no day.")
        windows = self.windows("calibration", 2)
        if self.trainer is not None:
            windows = windows[self.trainer.global_rank :: self.trainer.world_size]
        return self.loader(windows)

    def forecast_origins(self):
        return np.array([DAYS - 1 - 30, DAYS - 1])

    def predict_dataloader(self):
        self.ensure_statistics()
        starts = self.forecast_origins() - self.seq_length + 1
        return self.loader([(series, int(start)) for start in starts for series in range(HISTORIES * CELLS)])


class _Windows(Dataset):
    def __init__(self, windows):
        self.windows = windows

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, number):
        return self.windows[number]
