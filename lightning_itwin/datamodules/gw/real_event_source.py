"""Real events as batches: each whitened with the nearest of the PSD sets that a model was trained for."""

# B batch, S sets of PSDs, D detectors

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.datamodules.gw.real_events import GWEvent, event_psds, read_event
from lightning_itwin.detectors import Observation
from lightning_itwin.detectors.observation_check import band_log_asd, check_same_observation


class RealEventSource:
    """Real events, read, checked and whitened when this is made.

    Args:
        events: the events.
        observation: what the model was trained for, on the CPU.
        parameters: number of free parameters, for the empty column of truths.

    Raises:
        RealEventError: an event cannot be read as it is.
        ObservationDiffersError: the noise at an event is unlike all that the model was trained for.
    """

    def __init__(self, events: Sequence[GWEvent], observation: Observation, parameters: int) -> None:
        indices, strain = [], []
        for event in events:
            indices.append(nearest_psd(event, observation))
            strain.append(read_event(event, observation, indices[-1]))
        self.strain = torch.stack(strain)
        self.psd_index = torch.tensor(indices, dtype=torch.int64)
        self._parameters = parameters

    def of_rank(self, rank: int, world_size: int) -> RealEventSource:
        """Give every ``world_size``-th event from number ``rank`` on."""
        mine = copy.copy(self)
        mine.strain = self.strain[rank::world_size]
        mine.psd_index = self.psd_index[rank::world_size]
        return mine

    def __len__(self) -> int:
        return len(self.strain)

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Do nothing: all are in memory."""

    def read(self, events: np.ndarray, epoch: int, number: int) -> EventInputs:
        """Give some events."""
        rows = torch.from_numpy(events)
        return EventInputs(
            theta=torch.full((len(rows), self._parameters), torch.nan, dtype=torch.float64),
            psd_index=self.psd_index[rows],
            record=self.strain[rows],
            bank_row=None,
            noise_seed=None,
        )


def nearest_psd(event: GWEvent, observation: Observation) -> int:
    """Find the PSD set that lies nearest to the event's noise, estimated from its own files.

    Args:
        event: the event.
        observation: its sets.

    Returns:
        number of the set.

    Raises:
        ObservationDiffersError: none lies near enough.
        RealEventError: the noise cannot be estimated.
    """
    frequency_hz = observation.frequency_hz.numpy()
    psds = np.stack([psd.at(frequency_hz) for psd in event_psds(event, observation.settings)])
    deviation = np.sqrt(psds * observation.settings.duration_s / 4)[None]
    own = band_log_asd(frequency_hz, deviation)
    trained = band_log_asd(frequency_hz, observation.standard_deviation.numpy())
    check_same_observation({"log_asd": trained}, {"log_asd": own})
    apart_S = np.square(np.asarray(trained) - np.asarray(own)).mean(axis=(1, 2))
    return int(np.argmin(apart_S))
