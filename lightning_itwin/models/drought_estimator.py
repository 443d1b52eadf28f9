"""DroughtEstimator: a network of forecasts that knows for which data it was made, and refuses others."""

# B batch, T days of a window, H longest lead, S steps, L leads, Q quantile levels, P drought percentiles

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_itwin.models.drought_calibration import ConformalCalibration
from lightning_itwin.models.drought_conditions import HydroConditions
from lightning_itwin.models.drought_heads import probability_below, quantiles_at
from lightning_itwin.models.drought_network import Batch, DroughtNetwork
from lightning_itwin.models.drought_settings import NetworkSettings

_CHECKPOINT_KEY = "drought_forecaster"
_NOT_MADE = "This model does not know its data yet: fit it, or make it by load_from_checkpoint."
_MEMORY_DAYS = 30.0  # of soil moisture, where nothing is known of its persistence


class ForecastBatch(NamedTuple):
    """Forecasts that were issued at the last step of windows.

    Args:
        series: which series, (B,) int64.
        origin: day of issue on the time axis, (B,) int64.
        quantiles: of the standardised anomaly, calibrated, (B, L, Q).
        probability_below: of the drought thresholds P20, P10 and P5, (B, L, P); P is 0 without an anomaly.
    """

    series: Tensor
    origin: Tensor
    quantiles: Tensor
    probability_below: Tensor


class DroughtEstimator(LightningModule):
    """The network of forecasts and its calibration, made for the data that datamodule or checkpoint state.

    Args:
        network: its sizes.
        head: name of the head.
        encoder: name of the encoder.
        hidden_size: of the recurrent layer.
        dropout: in the trunk.
        nowcast: whether the target is a function of inputs up to the same day.
    """

    def __init__(
        self,
        network: NetworkSettings,
        head: str,
        encoder: str,
        hidden_size: int,
        dropout: float,
        nowcast: bool,
    ) -> None:
        super().__init__()
        self.network_settings = network
        self.conditions: HydroConditions | None = None
        self.network: DroughtNetwork | None = None
        self.calibration: ConformalCalibration | None = None
        self._architecture = (head, encoder, hidden_size, dropout)
        self._nowcast = nowcast
        self._given: HydroConditions | None = None
        self._loaded_step: int | None = None
        self._told_groups: int | None = None

    @property
    def levels(self) -> list[float]:
        """Levels of the quantiles that are forecast, (Q,)."""
        return [0.5] if self._architecture[0] == "point" else list(self.network_settings.levels)

    @property
    def leads(self) -> list[int]:
        """Days ahead, (L,)."""
        return self._made.leads

    @property
    def warmup(self) -> int:
        """First days of a window whose forecasts do not count, as the data at hand have it."""
        return (self._given or self._made).warmup

    def setup(self, stage: str) -> None:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        self._given = HydroConditions.of(datamodule)
        if self.network is not None:
            if self._given is not None:
                self._made.check(self._given)
            return
        if self._given is None:
            raise ValueError(
                "What the data are is learned from the datamodule: give the Trainer a "
                "GriddedHydroDataModule, or one with dynamic_names, static_names, context_names, "
                "target_name, leads, seq_length, warmup and anomaly."
            )
        self._build(self._given)
        if stage == "fit" and self.trainer.ckpt_path is None:
            self._expect_persistence(datamodule)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[_CHECKPOINT_KEY] = self._made.to_checkpoint()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if _CHECKPOINT_KEY not in checkpoint:
            raise ValueError(
                "This checkpoint is none of DroughtForecaster's: it does not say what data it was made for."
            )
        trained = HydroConditions.from_checkpoint(checkpoint[_CHECKPOINT_KEY])
        if self._given is not None:
            trained.check(self._given)
        if self.network is None:
            self._build(trained)
        self.conditions = trained
        self._loaded_step = checkpoint.get("global_step")

    def forward(self, batch: Batch, steps: Tensor | None = None) -> Tensor:
        """Forecast quantiles as the network gives them, without the calibration.

        Args:
            batch: windows, as ``HydroBatch``; a forecast uses the days up to its step alone.
            steps: days of the window, (S,) int64; None takes all after the warm-up.

        Returns:
            Quantiles at ``levels`` of the standardised target, (B, S, L, Q).
        """
        if steps is None:
            days = batch.dynamic.shape[1]
            steps = torch.arange(min(self.warmup, days - 1), days, device=batch.dynamic.device)
        return self._network.head.quantiles(self._network(batch, steps), self.levels)

    def calibrated(self, batch: Any, steps: Tensor) -> Tensor:
        """Forecast calibrated quantiles at steps of windows, (B, S, L, Q)."""
        assert self.calibration is not None
        quantiles = self(batch, steps)
        state = self._state(batch, steps)
        return self.calibration(quantiles.flatten(0, 1), state.flatten()).view(quantiles.shape)

    @torch.no_grad()
    def forecast(self, batch: Any, levels: list[float] | None = None) -> ForecastBatch:
        """Forecast from the last day of windows; no datamodule and no Trainer is needed.

        Args:
            batch: windows, as ``HydroBatch``.
            levels: of the quantiles; those of the model if None.
        """
        last = batch.dynamic.shape[1] - 1
        steps = torch.tensor([last], device=batch.dynamic.device)
        quantiles = self.calibrated(batch, steps)[:, 0]
        ahead = last + torch.tensor(self.leads, device=steps.device)
        below = probability_below(quantiles, self.levels, batch.thresholds[:, ahead])
        if levels is not None:
            quantiles = quantiles_at(quantiles, self.levels, levels)
        return ForecastBatch(batch.series, batch.start + last, quantiles, below)

    def _state(self, batch: Any, steps: Tensor) -> Tensor:
        """Give the anomaly observed at the steps, (B, S), NaN where it is not known at issue."""
        if self._nowcast:
            return torch.full((len(batch.target), len(steps)), torch.nan, device=batch.target.device)
        return batch.target[:, steps]

    @property
    def _network(self) -> DroughtNetwork:
        if self.network is None:
            raise RuntimeError(_NOT_MADE)
        return self.network

    @property
    def _made(self) -> HydroConditions:
        if self.conditions is None:
            raise RuntimeError(_NOT_MADE)
        return self.conditions

    def _build(self, conditions: HydroConditions) -> None:
        if self._nowcast != (conditions.leads == [0]):
            raise ValueError(
                f"mode='nowcast' and leads=[0] belong together, and mode='forecast' takes leads from 1 day: "
                f"the model has mode={'nowcast' if self._nowcast else 'forecast'!r}, the datamodule "
                f"leads={conditions.leads}."
            )
        self.conditions = conditions
        self.network = DroughtNetwork(conditions, self.network_settings, *self._architecture)
        self.calibration = ConformalCalibration(self.levels, len(conditions.leads))

    def _expect_persistence(self, datamodule: Any) -> None:
        if not self._network.observes:
            return
        if hasattr(datamodule, "ensure_statistics"):
            datamodule.ensure_statistics()
        reference = getattr(datamodule, "reference_forecasts", None)
        if reference is not None:
            damping = reference.coefficient.nanmean(dim=(0, 1))
            spread = reference.spread.nanmean(dim=(0, 1))
        else:
            damping = torch.exp(-torch.tensor(self.leads) / _MEMORY_DAYS)
            spread = (1 - damping.square()).sqrt()
        self._network.expect(damping, spread)
