"""DroughtLearner: loss, steps, optimizer and calibration of DroughtForecaster."""

# B batch, T days of a window, S steps, L leads

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from lightning_itwin.models.drought_calibration import CalibrationReport, CalibrationSums
from lightning_itwin.models.drought_estimator import DroughtEstimator
from lightning_itwin.models.drought_outputs import ForecastWorld
from lightning_itwin.models.drought_scores import References
from lightning_itwin.models.drought_settings import ForecastSettings, TrainingSettings
from lightning_itwin.models.warmup_cosine import warmup_cosine

LOSSES = {
    "quantiles": ("crps", "rmse", "mse"),
    "cmal": ("crps", "nll", "rmse", "mse"),
    "gaussian": ("crps", "nll", "rmse", "mse"),
    "point": ("crps", "rmse", "mse"),
}


class DroughtLearner(DroughtEstimator):
    """Trains the network of forecasts, and calibrates it whenever its weights may be kept.

    A checkpoint is written after a validation, or at the end of an epoch. Before either the forecasts are
    calibrated on the datamodule's ``calibration_dataloader()``, so a checkpoint holds the calibration of its
    own weights. One that was written in between is recognised, and calibrated anew before test and predict.
    """

    training_settings: TrainingSettings
    forecast_settings: ForecastSettings
    learning_rate: float
    loss: str
    _refused: str | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        steps = self._random_steps(batch)
        loss = self._mean_loss(self._network(batch, steps), self._came(batch, steps))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_train_start(self) -> None:
        self._loaded_step = None

    def on_train_epoch_end(self) -> None:
        # Where a validation came before, it has calibrated these weights.
        self._calibrate_in_training()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        settings = self.training_settings
        optimizer = torch.optim.AdamW(
            self._network.parameters(),
            lr=self.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.99),
        )
        steps = self.trainer.estimated_stepping_batches
        rise = round(min(settings.warmup_steps, steps / 10))
        return warmup_cosine(optimizer, steps if settings.schedule == "cosine" else math.inf, rise)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        largest = self.training_settings.gradient_clip if gradient_clip_val is None else gradient_clip_val
        if largest:
            self.clip_gradients(optimizer, largest, gradient_clip_algorithm or "norm")

    @torch.no_grad()
    def calibrate(self, loader: Any) -> CalibrationReport:
        """Calibrate the forecasts on windows of a period that the training has not seen; a collective call.

        Args:
            loader: of batches, such as ``datamodule.calibration_dataloader()``.

        Raises:
            ValueError: the loader has no forecast whose truth is known.
        """
        assert self.calibration is not None
        settings = self.forecast_settings
        world = self._world
        histories, days, cells = (1, 1, 1) if world is None else (world.histories, world.days, world.cells)
        sums = CalibrationSums(self.levels, len(self.leads), histories, days, self.device)
        was_training = self.training
        self.eval()
        for batch in _spread(loader, max(1, settings.calibration_windows // self.trainer.world_size)):
            batch = self.transfer_batch_to_device(batch, self.device, 0)
            steps = self._spaced_steps(batch, settings.calibration_every)
            quantiles = self(batch, steps).flatten(0, 1)
            series = batch.series.repeat_interleave(len(steps))
            origin = (batch.start.unsqueeze(-1) + steps).flatten()
            came = self._came(batch, steps).flatten(0, 1)
            sums.add(quantiles, came, self._state(batch, steps).flatten(), series // cells, origin)
        self.train(was_training)
        sums.add_over_ranks(lambda part: self.trainer.strategy.reduce(part, reduce_op="sum"))
        return self.calibration.fit(sums, self.leads, self.global_step)

    def _calibrate_in_training(self) -> None:
        assert self.calibration is not None
        if int(self.calibration.step) != self.global_step:
            self.calibration.reset()
            self._try_to_calibrate()

    def _calibrate_if_missing(self) -> None:
        """Calibrate before test or predict where a checkpoint has no calibration of its weights; say so."""
        assert self.calibration is not None
        if not self.calibration.can_calibrate or not self.forecast_settings.calibrate:
            return
        stale = self._loaded_step is not None and int(self.calibration.step) != self._loaded_step
        if self.calibration.is_ready and not stale:
            return
        had = "a calibration of other weights" if self.calibration.is_ready else "no calibration"
        rank_zero_warn(
            f"The model has {had}: it is calibrated now, on the datamodule's period of calibration."
        )
        self.calibration.reset()
        self._try_to_calibrate()

    def _try_to_calibrate(self) -> None:
        assert self.calibration is not None
        loader = getattr(getattr(self.trainer, "datamodule", None), "calibration_dataloader", None)
        if not self.calibration.can_calibrate or not self.forecast_settings.calibrate or self._refused:
            return
        try:
            if loader is None:
                raise ValueError("the datamodule has no calibration_dataloader().")
            report = self.calibrate(loader())
        except ValueError as error:  # such as a period that is too short
            self._refused = str(error)
            rank_zero_warn(f"Forecasts are not calibrated: {error}")
            return
        if report.groups != self._told_groups:
            rank_zero_info(f"Forecasts are {report}.")
            self._told_groups = report.groups

    def _mean_loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Give the loss of parameters (B, S, L, ...) with what came, (B, S, L), NaN where it did not."""
        known = ~target.isnan()
        weight = known.float()
        score = self._network.head.loss(parameters, torch.where(known, target, 0.0), self.loss)
        per_lead = (score * weight).sum((0, 1)) / weight.sum((0, 1)).clamp_min(1.0)
        if self.loss == "crps":
            per_lead = per_lead / self._network.spread
        mean = per_lead.sum() / (weight.sum((0, 1)) > 0).sum().clamp_min(1)
        return mean.clamp_min(1e-12).sqrt() if self.loss == "rmse" else mean

    def _came(self, batch: Any, steps: Tensor) -> Tensor:
        """Give what came after steps (S,) at the leads, (B, S, L)."""
        leads = torch.tensor(self.leads, device=steps.device)
        return batch.target[:, steps.unsqueeze(-1) + leads]

    def _first_step(self, batch: Any) -> tuple[int, int]:
        """Give the first step that counts, and the number of days."""
        days = batch.dynamic.shape[1]
        return min(self.warmup, days - 1), days

    def _random_steps(self, batch: Any) -> Tensor:
        first, days = self._first_step(batch)
        wanted = self.training_settings.steps_per_window
        if wanted is None or wanted >= days - first:
            return torch.arange(first, days, device=batch.dynamic.device)
        # drawn on the host, from the generator that the Trainer seeds
        place = (torch.arange(wanted) + torch.rand(wanted)) * ((days - first) / wanted)
        return (first + place.long()).clamp_max(days - 1).to(batch.dynamic.device)

    def _even_steps(self, batch: Any, count: int) -> Tensor:
        first, days = self._first_step(batch)
        count = min(count, days - first)
        place = torch.linspace(first, days - 1, count) if count > 1 else torch.tensor([days - 1.0])
        return place.round().long().to(batch.dynamic.device)

    def _spaced_steps(self, batch: Any, every: int) -> Tensor:
        first, days = self._first_step(batch)
        return torch.arange(days - 1, first - 1, -every, device=batch.dynamic.device).flip(0)

    @property
    def _world(self) -> ForecastWorld | None:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(datamodule, "grid"):
            return None
        if hasattr(datamodule, "ensure_statistics"):
            datamodule.ensure_statistics()
        return ForecastWorld(datamodule, self._made)

    def _fitted_references(self) -> References | None:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        fitted = getattr(datamodule, "reference_forecasts", None)
        if fitted is None or not self._made.anomaly or self._nowcast:
            return None
        cells = len(fitted.coefficient)
        return References(fitted.to(self.device), cells, self.levels, self.leads)


def _spread(loader: Any, windows: int) -> Iterator[Any]:
    """Give some batches of a loader, evenly spread, with about as many windows in all."""
    batches = len(loader)
    wanted, given = batches, 0
    for number, batch in enumerate(loader):
        if number == 0:
            wanted = min(batches, -(-windows // max(1, len(batch.target))))
        if number * wanted // batches >= given:
            given += 1
            yield batch
