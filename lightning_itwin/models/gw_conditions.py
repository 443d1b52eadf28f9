"""What a model of posteriors was made for: observation, prior and waveform, as plain values."""

# S sets of PSDs, D detectors, N bands

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.detectors.observation_check import band_log_asd, check_same_observation
from lightning_itwin.inference import Prior
from lightning_itwin.waveforms import make_waveform


@dataclass(frozen=True, kw_only=True)
class GWConditions:
    """Observation, prior and waveform of some data, in values that a checkpoint can hold.

    Args:
        observation: fields of ``ObservationSettings``; PSDs stand there as numbers, so that neither a file
            nor a table of bilby's is needed again.
        log_asd: logarithm of the ASDs, averaged over bands, (S, D, N).
        prior: text of the prior file.
        waveform: name of the waveform.
        reference_frequency_hz: where its spins and phase are defined.
    """

    observation: Mapping[str, Any]
    log_asd: list[list[list[float]]]
    prior: str
    waveform: str
    reference_frequency_hz: float

    @classmethod
    def of(cls, datamodule: Any) -> GWConditions | None:
        """Read the conditions off a datamodule, None where it does not state them.

        Args:
            datamodule: with ``observation``, ``prior``, ``waveform_name`` and ``reference_frequency_hz``.
        """
        names = ("observation", "prior", "waveform_name", "reference_frequency_hz")
        if not all(hasattr(datamodule, name) for name in names):
            return None
        observation = datamodule.observation
        log_asd = band_log_asd(observation.frequency_hz.cpu(), observation.standard_deviation.cpu())
        return cls(
            observation=asdict(observation.settings.self_contained()),
            log_asd=log_asd,
            prior=datamodule.prior.settings(),
            waveform=datamodule.waveform_name,
            reference_frequency_hz=datamodule.reference_frequency_hz,
        )

    @classmethod
    def from_checkpoint(cls, values: Mapping[str, Any]) -> GWConditions:
        """Make the conditions again that ``to_checkpoint`` gave."""
        return cls(**values)

    def to_checkpoint(self) -> dict[str, Any]:
        """Give the conditions as plain values."""
        return asdict(self)

    def check(self, given: GWConditions) -> None:
        """Refuse data made under other conditions than these.

        Raises:
            ObservationDiffersError: they differ; the message says in what.
        """
        trained, data = (
            {
                **{name: value for name, value in conditions.observation.items() if name != "psds"},
                "prior": conditions.prior,
                "waveform": conditions.waveform,
                "reference_frequency_hz": conditions.reference_frequency_hz,
                "log_asd": conditions.log_asd,
            }
            for conditions in (self, given)
        )
        check_same_observation(trained, data)

    @cached_property
    def made_observation(self) -> Observation:
        """The observation, on the CPU."""
        return Observation(ObservationSettings.from_dict(self.observation))

    @cached_property
    def made_prior(self) -> Prior:
        """The prior."""
        return Prior.from_text(self.prior)

    @cached_property
    def made_signal_model(self) -> SignalModel:
        """The model of the signal, on the CPU."""
        waveform = make_waveform(self.waveform, reference_frequency_hz=self.reference_frequency_hz)
        highest_hz = self.made_prior.highest_frequency_hz(waveform)
        return SignalModel(waveform, self.made_observation, highest_hz)

    def banded_asds(self) -> Tensor:
        """Give the banded log ASDs as one row a set, (S, D * N) float32."""
        return torch.tensor(self.log_asd).flatten(1)
