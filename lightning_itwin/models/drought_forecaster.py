"""DroughtForecaster: probabilistic forecasts of soil moisture, days to months ahead, or its nowcast."""

# B batch, T days of a window, H longest lead, S steps, L leads, Q quantile levels

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lightning_itwin.models.drought_estimator import ForecastBatch
from lightning_itwin.models.drought_learner import LOSSES, DroughtLearner
from lightning_itwin.models.drought_network import ENCODERS
from lightning_itwin.models.drought_outputs import TestRun, open_forecast_file
from lightning_itwin.models.drought_scores import ForecastScores, References
from lightning_itwin.models.drought_settings import (
    FORECAST_NETWORK,
    FORECAST_TRAINING,
    NOWCAST_NETWORK,
    NOWCAST_TRAINING,
    ForecastSettings,
    NetworkSettings,
    TrainingSettings,
)
from lightning_itwin.models.logged_figures import log_figures
from lightning_itwin.models.weights_digest import digest, weights_digest

_FORECASTS = ForecastSettings()


class DroughtForecaster(DroughtLearner):
    """Forecasts the distribution of a cell's soil moisture anomaly, days to months ahead, from what was.

    At the end of each day t a recurrent layer and exponential averages hold what weather, domain means and
    the observed anomaly were up to t; a dense trunk and a head make a distribution per lead, as a deviation
    from damped persistence. The loss is the mean CRPS over leads, each divided by the spread of damped
    persistence, at random days after the warm-up of a window (Kratzert et al. 2019 train on the last day
    alone).

    ``mode="nowcast"`` gives the target on the day of the inputs, from inputs alone, with leads ``[0]``.

    What the data are (inputs, maps, target, leads) is read off the datamodule when a training begins, and
    kept in the checkpoint. Other data are refused afterwards. The quantiles are calibrated on the
    datamodule's period of calibration after each validation, so every checkpoint has the calibration of its
    weights.

    Logged metrics: ``train/loss``, ``val/loss``; means over leads and, as ``/lead_07``, values of
    ``val/crps`` and ``val/rmse`` in standard deviations, ``val/skill_climatology`` and
    ``val/skill_damped_persistence`` (1 is perfect, 0 no better), ``val/coverage_80``, all without
    calibration. ``test`` verifies calibrated forecasts and writes a page, ``predict`` a CF file; see
    ``lightning_itwin.forecasts``.

    Args:
        mode: ``"forecast"`` or ``"nowcast"``.
        head: ``"quantiles"``, ``"cmal"`` (mixture of asymmetric Laplace distributions), ``"gaussian"`` or
            ``"point"``. None takes quantiles, and in a nowcast the point.
        encoder: ``"lstm"``; ``"ea_lstm"``, whose input gate is a function of the maps; ``"none"``,
            exponential averages alone.
        hidden_size: of the recurrent layer.
        dropout: share of the trunk's features that is left out in training.
        learning_rate: highest of AdamW.
        network: sizes of the rest; None takes those of the mode.
        training: loss, steps and schedule; None takes those of the mode.
        forecasts: calibration, and what ``test`` and ``predict`` write; not kept in a checkpoint.

    Raises:
        ValueError: a value is outside its range, or a loss that the head has not.
        HydroDataDifferError: the data differ from those of the training.

    Reference:
        Kratzert et al. 2019, HESS 23, 5089: (EA-)LSTM with maps; Klotz et al. 2022, HESS 26, 1673: CMAL;
        Romano et al. 2019, arXiv:1905.03222: conformal calibration.

    >>> DroughtForecaster(hidden_size=32).levels[:3]
    [0.01, 0.03, 0.05]
    """

    def __init__(
        self,
        mode: Literal["forecast", "nowcast"] = "forecast",
        head: Literal["quantiles", "cmal", "gaussian", "point"] | None = None,
        encoder: Literal["lstm", "ea_lstm", "none"] = "lstm",
        hidden_size: int = 64,
        dropout: float = 0.0,
        learning_rate: float = 4e-3,
        network: NetworkSettings | None = None,
        training: TrainingSettings | None = None,
        forecasts: ForecastSettings = _FORECASTS,
    ) -> None:
        nowcast = mode == "nowcast"
        head = head or ("point" if nowcast else "quantiles")
        if mode not in ("forecast", "nowcast"):
            raise ValueError(f"mode must be 'forecast' or 'nowcast', not {mode!r}.")
        if head not in LOSSES:
            raise ValueError(f"head must be 'quantiles', 'cmal', 'gaussian' or 'point', not {head!r}.")
        if encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {list(ENCODERS)}, not {encoder!r}.")
        if hidden_size < 1 or not 0 <= dropout < 1 or learning_rate <= 0:
            raise ValueError(
                "hidden_size must be at least 1, dropout from 0 to below 1 and learning_rate above 0, not "
                f"{hidden_size}, {dropout} and {learning_rate}."
            )
        # A checkpoint holds plain values only, and gives them back here.
        network = _made(NetworkSettings, network) or (NOWCAST_NETWORK if nowcast else FORECAST_NETWORK)
        training = _made(TrainingSettings, training) or (NOWCAST_TRAINING if nowcast else FORECAST_TRAINING)
        loss = training.loss or ("rmse" if nowcast else "crps")
        if loss not in LOSSES[head]:
            raise ValueError(f"head={head!r} has the losses {list(LOSSES[head])}, not {loss!r}.")
        if encoder == "none" and not network.memory_days:
            raise ValueError("encoder='none' needs memory_days: without both there is no past.")
        super().__init__(network, head, encoder, hidden_size, dropout, nowcast)
        self.training_settings = training
        self.forecast_settings = _made(ForecastSettings, forecasts)
        self.learning_rate = learning_rate
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.loss = loss
        self._scores: ForecastScores | None = None
        self._references: References | None = None
        # What becomes of forecasts is left out: it is asked for anew each time.
        self.save_hyperparameters(
            {
                "_class_path": "lightning_itwin.models.DroughtForecaster",  # for LightningCLI
                "mode": mode,
                "head": head,
                "encoder": encoder,
                "hidden_size": hidden_size,
                "dropout": dropout,
                "learning_rate": learning_rate,
                "network": _plain(network),
                "training": _plain(training),
            }
        )

    def on_validation_epoch_start(self) -> None:
        if self._scores is None:
            self._scores = ForecastScores(self.levels, self.leads).to(self.device)
        self._scores.reset()
        self._references = self._fitted_references()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        assert self._scores is not None
        steps = self._even_steps(batch, self.training_settings.evaluated_steps)
        parameters = self._network(batch, steps)
        loss = self._mean_loss(parameters, self._came(batch, steps))
        self.log("val/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch.target))
        quantiles = self._network.head.quantiles(parameters, self.levels).flatten(0, 1)
        references = {} if self._references is None else self._references(batch, steps)
        self._scores.update(quantiles, self._came(batch, steps).flatten(0, 1), references)

    def on_validation_epoch_end(self) -> None:
        assert self._scores is not None
        metrics = self._scores.metrics()
        self.log_dict({f"val/{name}": value for name, value in metrics.items()}, sync_dist=True)
        if not self.trainer.sanity_checking and self.trainer.state.fn == "fit":
            self._calibrate_in_training()

    def on_test_epoch_start(self) -> None:
        self._calibrate_if_missing()
        self._references = self._fitted_references()
        world = self._world
        self._test = (
            None if world is None else TestRun(world, self.levels, self.forecast_settings, self.device)
        )
        self._test_scores = ForecastScores(self.levels, self.leads).to(self.device)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        steps = self._spaced_steps(batch, self.forecast_settings.verify_every)
        quantiles = self.calibrated(batch, steps)
        references = {} if self._references is None else self._references(batch, steps)
        self._test_scores.update(quantiles.flatten(0, 1), self._came(batch, steps).flatten(0, 1), references)
        if self._test is not None:
            self._test.add(batch, steps, quantiles, references)

    def on_test_epoch_end(self) -> None:
        metrics = self._test_scores.metrics()
        self.log_dict({f"test/{name}": value for name, value in metrics.items()}, sync_dist=True)
        if self._test is None:
            return
        scores = self._test.finish()
        told = {f"test/{name}": value for name, value in scores.metrics().items()}
        more = {name: value for name, value in told.items() if name[5:] not in metrics}
        self.log_dict(more, rank_zero_only=True)
        folder = self._folder / "verification"
        if self.trainer.is_global_zero:
            figures = self._test.write(folder, scores, self._in_words)
            tagged = {f"test/{name}": figure for name, figure in figures.items()}
            log_figures(self.trainer.loggers, tagged, self.global_step)
            print(f"\nVerification: {folder / 'verification.html'}", flush=True)

    def on_predict_start(self) -> None:
        self._calibrate_if_missing()
        world, settings = self._world, self.forecast_settings
        self._file = None
        if world is not None:
            assert self.calibration is not None
            key = digest(weights_digest(self._network), weights_digest(self.calibration))
            told = self._in_words
            self._file = open_forecast_file(
                world, settings, self.levels, self._folder, told, key, self.global_rank
            )

    def predict_step(self, batch: Any, batch_idx: int) -> ForecastBatch:
        """Forecast from the last day of windows, calibrated, and write to the forecast file."""
        if self._file is None:
            return self.forecast(batch)
        last = batch.dynamic.shape[1] - 1
        todo = self._file.missing(batch.series, batch.start + last)
        forecast = self.forecast(batch, list(self._file.layout.levels))
        if bool(todo.any()):
            below = forecast.probability_below[todo] if self._made.anomaly else None
            self._file.add(forecast.series[todo], forecast.origin[todo], forecast.quantiles[todo], below)
        return forecast

    def on_predict_end(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self.trainer.strategy.barrier()
        if self.trainer.is_global_zero:
            print(f"\nForecasts: {self._file.finish()}", flush=True)
        self.trainer.strategy.barrier()

    @property
    def _in_words(self) -> str:
        hparams = self.hparams
        kind = {"lstm": "LSTM", "ea_lstm": "EA-LSTM", "none": "exponential averages"}[hparams["encoder"]]
        size = "" if hparams["encoder"] == "none" else f" of {hparams['hidden_size']}"
        calibrated = self.calibration is not None and self.calibration.is_ready
        return (
            f"DroughtForecaster ({hparams['mode']}): {kind}{size}, head {hparams['head']}, "
            f"{'calibrated' if calibrated else 'not calibrated'}"
        )

    @property
    def _folder(self) -> Path:
        # All ranks ask for it: the Trainer lets rank 0 tell it to the others.
        return Path(self.trainer.log_dir or self.trainer.default_root_dir)


def _made(kind: type[Any], given: Any) -> Any:
    return kind(**given) if isinstance(given, Mapping) else given


def _plain(settings: Any) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()
    }
