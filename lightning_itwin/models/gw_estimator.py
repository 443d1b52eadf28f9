"""GWEstimator: a network of posteriors that knows for which data it was made, and refuses others."""

# B batch, D detectors, T samples, P parameters, N posterior samples, C context features

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_itwin.inference import GaussianLikelihood, Posterior, Prior, weigh
from lightning_itwin.models.gw_conditions import GWConditions
from lightning_itwin.models.gw_embedding import EmbeddingSettings
from lightning_itwin.models.gw_network import GWNetwork
from lightning_itwin.models.gw_settings import FlowSettings, PosteriorSettings, ReferenceFrame
from lightning_itwin.models.strain_check import check_strain

_CHECKPOINT_KEY = "gw_flow"
_NOT_MADE = "This model does not know its data yet: fit it, or make it by load_from_checkpoint."


class GWEstimator(LightningModule):
    """The network of posteriors, made for the data that its datamodule or its checkpoint states.

    Before a training the conditions (detectors, duration, rate, band, PSDs, prior, waveform) are read off the
    datamodule; they travel in the checkpoint, and data made under others are refused before anything runs.

    Args:
        embedding: kind and size of the embedding.
        flow: size of the flow.
        posteriors: what becomes of posteriors.
        without: free parameters of the prior that the flow does not learn.
        reference_frame: in which the flow learns sky position and time.
    """

    def __init__(
        self,
        embedding: EmbeddingSettings,
        flow: FlowSettings,
        posteriors: PosteriorSettings,
        without: tuple[str, ...] = (),
        reference_frame: ReferenceFrame = "sky",
    ) -> None:
        super().__init__()
        self.embedding_settings = embedding
        self.flow_settings = flow
        self.posterior_settings = posteriors
        self.conditions: GWConditions | None = None
        self.network: GWNetwork | None = None
        self._without = without
        self._reference_frame: ReferenceFrame = reference_frame
        self._given: GWConditions | None = None
        self._likelihood: GaussianLikelihood | None = None

    @property
    def names(self) -> list[str]:
        """The parameters that the flow learns, P of them."""
        return self._network.names

    @property
    def data_conditions(self) -> GWConditions:
        """Conditions of the data at hand: those of the training, but for PSDs that are near enough."""
        if self.conditions is None:
            raise RuntimeError(_NOT_MADE)
        return self._given or self.conditions

    def setup(self, stage: str) -> None:
        if self.trainer.precision in ("bf16-true", "16-true"):
            raise ValueError("GWFlow needs float32 weights and float64 parameters: use precision bf16-mixed.")
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        self._given = GWConditions.of(datamodule)
        if self.network is None:
            if self._given is None:
                raise ValueError(
                    "What the data are is learned from the datamodule: give the Trainer a GWDataModule, or "
                    "one with the attributes observation, prior, waveform_name and reference_frequency_hz."
                )
            self._build(self._given)
            if stage == "fit" and self.trainer.ckpt_path is None:
                self._network.start_from_signals(datamodule.signals, self._given)
        elif self._given is not None:
            self._compare(self._given)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert self.conditions is not None
        checkpoint[_CHECKPOINT_KEY] = self.conditions.to_checkpoint()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if _CHECKPOINT_KEY not in checkpoint:
            raise ValueError(
                "This checkpoint is none of GWFlow's: it does not say what data it was made for."
            )
        trained = GWConditions.from_checkpoint(checkpoint[_CHECKPOINT_KEY])
        if self.network is None:
            self._build(trained)
        self.conditions = trained
        if self._given is not None:
            self._compare(self._given)

    def forward(self, strain: Tensor, psd_index: Tensor | None = None) -> Tensor:
        """Embed whitened strain, (B, D, T), to the flow's context, (B, C)."""
        return self._network(strain, psd_index)

    def sample(
        self, strain: Tensor, num_samples: int = 10_000, psd_index: Tensor | int | None = None
    ) -> Posterior | list[Posterior]:
        """Draw the posterior of events; no datamodule and no Trainer is needed.

        Args:
            strain: whitened strain as ``GWBatch`` holds it, of one event (D, T) or of several (B, D, T).
            num_samples: samples an event, N.
            psd_index: set of PSDs that each event was whitened with; the first if None.

        Returns:
            A ``Posterior`` with ``samples`` (N, P) and ``log_prob`` (N,); of several events a list of them.

        Raises:
            ValueError: strain of the wrong length or number of detectors, with NaN or with a gap.
        """
        several = strain[None] if strain.ndim == 2 else strain
        self.check(several)
        if psd_index is not None:
            psd_index = torch.as_tensor(psd_index, device=self.device).expand(len(several))
        theta, log_prob = self._network.draw(several.to(self.device, torch.float32), num_samples, psd_index)
        posteriors = [self._posterior(*event) for event in zip(theta, log_prob)]
        return posteriors[0] if strain.ndim == 2 else posteriors

    def check(self, strain: Tensor) -> None:
        """Refuse strain that the model was not made for.

        Args:
            strain: (B, D, T).

        Raises:
            ValueError: the wrong length or number of detectors, NaN, or a gap.
        """
        observation = self.data_conditions.made_observation
        check_strain(strain, observation.names, observation.samples, observation.settings.sample_rate_hz)

    @property
    def _network(self) -> GWNetwork:
        if self.network is None:
            raise RuntimeError(_NOT_MADE)
        return self.network

    @property
    def _prior(self) -> Prior:
        return self.data_conditions.made_prior

    def _posterior(self, samples: Tensor, log_prob: Tensor) -> Posterior:
        prior, conditions = self._prior, self.data_conditions
        observation = {name: value for name, value in conditions.observation.items() if name != "psds"}
        return Posterior(
            samples=samples.cpu().numpy(),
            names=self.names,
            log_prob=log_prob.cpu().numpy(),
            prior=prior.without(*self._without) if self._without else prior,
            gps_time_s=observation["gps_time_s"],
            settings={
                "observation": observation,
                "waveform": conditions.waveform,
                "reference_frequency_hz": conditions.reference_frequency_hz,
            },
        )

    def _weigh(self, proposed: Posterior, strain: Tensor, psd_index: Tensor) -> Posterior:
        if self._likelihood is None:
            signal_model = self.data_conditions.made_signal_model.to(self.device)
            modes = self.posterior_settings.modes
            self._likelihood = GaussianLikelihood(signal_model, self._prior, modes)
        data = self.data_conditions.made_observation.to_spectrum(strain.float())
        return weigh(proposed, self._likelihood, data, int(psd_index))

    def _build(self, conditions: GWConditions) -> None:
        self.conditions = conditions
        self.network = GWNetwork(
            conditions, self.embedding_settings, self.flow_settings, self._without, self._reference_frame
        )

    def _compare(self, given: GWConditions) -> None:
        assert self.conditions is not None
        self.conditions.check(given)
        self._network.read_asds_of(given)
