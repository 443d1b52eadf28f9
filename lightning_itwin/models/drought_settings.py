"""Settings of DroughtForecaster beside its knobs: network, training, and what becomes of forecasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lightning_itwin.forecasts import WarningRule

# The score is computed from the quantile function between the levels, so the tails have some more.
QUANTILE_LEVELS = (0.01, 0.03, *(round(0.05 * step, 2) for step in range(1, 20)), 0.97, 0.99)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Size and kind of the network around the recurrent layer.

    Args:
        static_features: width of the embedding of the maps.
        memory_days: time constants of exponential averages of all inputs beside the recurrent layer; none
            leaves them out.
        memory_inputs: functions of the inputs that are learned day by day and averaged, too.
        trunk_size: width of the layers between memory and head.
        trunk_layers: their number; 0: the head is linear.
        observe_target: whether the target's anomaly up to the day of issue is an input.
        levels: of the quantiles that the head forecasts, rising, with 0.5 among them.
        components: of the mixture of ``head="cmal"``.

    Raises:
        ValueError: a value is outside its range.
    """

    static_features: int = 16
    memory_days: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
    memory_inputs: int = 16
    trunk_size: int = 128
    trunk_layers: int = 2
    observe_target: bool = True
    levels: tuple[float, ...] = QUANTILE_LEVELS
    components: int = 3

    def __post_init__(self) -> None:
        if min(self.static_features, self.trunk_size, self.components) < 1:
            raise ValueError(
                "static_features, trunk_size and components must be at least 1, not "
                f"{self.static_features}, {self.trunk_size} and {self.components}."
            )
        if min(self.memory_inputs, self.trunk_layers) < 0:
            raise ValueError(
                f"memory_inputs and trunk_layers must be at least 0, not {self.memory_inputs} and "
                f"{self.trunk_layers}."
            )
        if any(days <= 0 for days in self.memory_days):
            raise ValueError(f"memory_days must be above 0, not {list(self.memory_days)}.")
        levels = list(self.levels)
        if not levels or levels != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
            raise ValueError(f"levels must rise between 0 and 1, not {levels}.")
        if not any(abs(level - 0.5) < 1e-9 for level in levels):
            raise ValueError(f"levels must hold 0.5, the median, not {levels}.")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How the network is trained.

    Args:
        loss: ``"crps"``; ``"nll"``, negative log-likelihood, of the heads that have a density; ``"rmse"`` or
            ``"mse"`` of the median. None takes ``"crps"``, and ``"rmse"`` in a nowcast.
        steps_per_window: steps after the warm-up at which a window's forecasts are scored, one at random in
            each of as many equal stretches; None takes all.
        schedule: ``"cosine"``: the learning rate rises over ``warmup_steps`` and falls to 0 at the last step;
            ``"constant"``: it stays after the rise.
        warmup_steps: steps of the rise; at most a tenth of all.
        weight_decay: of AdamW.
        gradient_clip: largest norm of the gradient; 0 leaves it as it is.
        evaluated_steps: steps of a window that validation scores, evenly spread after the warm-up.

    Raises:
        ValueError: a value is outside its range.
    """

    loss: Literal["crps", "nll", "rmse", "mse"] | None = None
    steps_per_window: int | None = 16
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 200
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    evaluated_steps: int = 8

    def __post_init__(self) -> None:
        if self.loss not in (None, "crps", "nll", "rmse", "mse"):
            raise ValueError(f"loss must be 'crps', 'nll', 'rmse' or 'mse', not {self.loss!r}.")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule must be 'cosine' or 'constant', not {self.schedule!r}.")
        if (self.steps_per_window is not None and self.steps_per_window < 1) or self.evaluated_steps < 1:
            raise ValueError(
                "steps_per_window and evaluated_steps must be at least 1, not "
                f"{self.steps_per_window} and {self.evaluated_steps}."
            )
        if min(self.warmup_steps, self.weight_decay, self.gradient_clip) < 0:
            raise ValueError(
                "warmup_steps, weight_decay and gradient_clip must be at least 0, not "
                f"{self.warmup_steps}, {self.weight_decay} and {self.gradient_clip}."
            )


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """Calibration, and what ``test`` and ``predict`` write; not kept in a checkpoint.

    Args:
        calibrate: whether forecasts are calibrated on the datamodule's period of calibration.
        calibration_windows: windows, over all processes, that a calibration looks at, evenly spread.
        calibration_every: days from one forecast of a window to the next that a calibration looks at.
        path: file of ``predict``, ending in ``.nc`` or ``.zarr``; None: ``forecasts`` in the run's log
            folder, in the format below.
        format: of the file where ``path`` is None.
        levels: of the quantiles in the file.
        warning: when a forecast is a watch, a warning or an alert.
        verify_every: days from one forecast to the next that ``test`` verifies.
        examples: fan charts on the page of ``test``.

    Raises:
        ValueError: a value is outside its range.
    """

    calibrate: bool = True
    calibration_windows: int = 8192
    calibration_every: int = 10
    path: str | None = None
    format: Literal["netcdf", "zarr"] = "netcdf"
    levels: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    warning: WarningRule = field(default_factory=WarningRule)
    verify_every: int = 7
    examples: int = 4

    def __post_init__(self) -> None:
        if self.format not in ("netcdf", "zarr"):
            raise ValueError(f"format must be 'netcdf' or 'zarr', not {self.format!r}.")
        if min(self.calibration_windows, self.calibration_every, self.verify_every) < 1 or self.examples < 0:
            raise ValueError(
                "calibration_windows, calibration_every and verify_every must be at least 1 and examples at "
                f"least 0, not {self.calibration_windows}, {self.calibration_every}, {self.verify_every} and "
                f"{self.examples}."
            )
        levels = list(self.levels)
        if not levels or levels != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
            raise ValueError(f"levels must rise between 0 and 1, not {levels}.")


FORECAST_NETWORK = NetworkSettings()
FORECAST_TRAINING = TrainingSettings()
# The predecessor's surrogate is a recurrent layer and a linear one.
NOWCAST_NETWORK = NetworkSettings(memory_days=(), trunk_layers=0, static_features=8)
NOWCAST_TRAINING = TrainingSettings(steps_per_window=None)
