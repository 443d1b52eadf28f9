"""A small observation, cheap to simulate, as a datamodule that GWFlow learns from."""

import dataclasses
from typing import NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.inference import Prior
from lightning_itwin.waveforms import Binary, make_waveform

PRIOR = """
chirp_mass = Uniform(minimum=30, maximum=60)
luminosity_distance = PowerLaw(alpha=2, minimum=1000, maximum=4000)
phase = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
ra = Uniform(minimum=0, maximum=2 * np.pi, boundary='periodic')
mass_ratio = 0.8
theta_jn = 0.4
dec = 0.3
psi = 0.5
"""
SETTINGS = ObservationSettings(
    detectors=["H1", "L1"],
    duration_s=1.0,
    sample_rate_hz=256.0,
    minimum_frequency_hz=20.0,
    maximum_frequency_hz=100.0,
    after_merger_s=0.25,
    psds=["aLIGO_O4_high_asd.txt"],
)
WAVEFORM = "lalsimulation:IMRPhenomD"


class Events(NamedTuple):
    strain: Tensor
    theta: Tensor
    psd_index: Tensor


class _Table(Dataset):
    def __init__(self, events):
        self.events = events

    def __len__(self):
        return len(self.events.theta)

    def __getitem__(self, number):
        return Events(*(column[number] for column in self.events))


class ToyData(LightningDataModule):
    """Noisy signals, made once; ``predict`` gives the first two of them without their truth."""

    def __init__(self, events=256, batch_size=32, settings=SETTINGS, prior=PRIOR, waveform=WAVEFORM, psds=1):
        super().__init__()
        self.settings = dataclasses.replace(settings, psds=settings.psds * psds)
        self.waveform_name, self.reference_frequency_hz = waveform, 20.0
        self.num_events, self.batch_size, self.prior_text = events, batch_size, prior
        self.observation = None

    def setup(self, stage=None):
        if self.observation is not None:
            return
        self.observation = Observation(self.settings)
        self.prior = Prior(self.prior_text)
        self.signal_model = SignalModel(make_waveform(self.waveform_name), self.observation)
        theta = self.prior.sample(self.num_events, seed=1)
        psd_index = torch.arange(self.num_events) % self.observation.num_psds
        clean = self._signals(theta, psd_index)
        noise = self.observation.noise(self.num_events, [(7, event) for event in range(self.num_events)])
        self.events = Events(self.observation.to_series(clean + noise), theta, psd_index)

    def signals(self, num, first=0):
        return self._signals(self.prior.sample(min(num, 200), seed=2), None)

    def _signals(self, theta, psd_index):
        return self.signal_model(Binary.from_table(*self.prior.with_fixed(theta)), psd_index)

    def train_dataloader(self):
        return DataLoader(_Table(self.events), batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(_Table(self.events), batch_size=self.batch_size)

    test_dataloader = val_dataloader

    def predict_dataloader(self):
        unknown = torch.full_like(self.events.theta[:2], torch.nan)
        return DataLoader(
            _Table(Events(self.events.strain[:2], unknown, self.events.psd_index[:2])), batch_size=2
        )

    def predict_events(self, batch_idx):
        return [("GW000001", self.settings.gps_time_s + 3600.0), ("made up", None)]
