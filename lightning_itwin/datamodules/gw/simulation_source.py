"""Events that exist as numbers alone: their parameters are drawn when asked for, their signals made later."""

# B batch

from __future__ import annotations

import numpy as np
import torch

from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.datamodules.gw.event_numbers import derived_seed, noise_seeds, psd_indices
from lightning_itwin.datamodules.gw.signal_bank import SignalBank
from lightning_itwin.inference import Prior


class SimulationSource:
    """Numbered events of one split, to be simulated on the device that trains.

    Args:
        prior: of the parameters.
        psds: number of PSD sets.
        seed: of the split.
        events: events an epoch.
        fresh: draw other events in each epoch and seed the noise by batch, as for training; else the same
            events with the same noise, whatever the batch size and the number of ranks.
        rank: this process's rank.
        bank: bank of signals from which the intrinsic parameters are taken.
    """

    def __init__(
        self,
        prior: Prior,
        psds: int,
        seed: int,
        events: int,
        fresh: bool,
        rank: int = 0,
        bank: SignalBank | None = None,
    ) -> None:
        self.prior = prior
        self.psds = psds
        self.seed = seed
        self.events = events
        self.fresh = fresh
        self.rank = rank
        self.bank = bank

    def __len__(self) -> int:
        return self.events

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Do nothing: a batch is a table of parameters."""

    def read(self, events: np.ndarray, epoch: int, number: int) -> EventInputs:
        """Draw the parameters of a batch."""
        numbers = events + epoch * self.events if self.fresh else events
        theta = self.prior.sample_events(numbers, self.seed)
        row = None
        if self.bank is not None:
            row = self.bank.rows(numbers, self.seed)
            theta = self.bank.with_intrinsic(theta, row)
        return EventInputs(
            theta=theta,
            psd_index=torch.from_numpy(psd_indices(numbers, self.seed, self.psds)),
            record=None,
            bank_row=row,
            noise_seed=derived_seed(self.seed, "noise", epoch, self.rank, number)
            if self.fresh
            else noise_seeds(numbers, self.seed),
        )
