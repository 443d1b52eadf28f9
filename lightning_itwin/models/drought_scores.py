"""Scores of a validation: CRPS and coverage per lead, and skill against what is easy."""

# B forecasts, L leads, Q levels

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_itwin.metrics import (
    IntervalCoverage,
    MeanScore,
    RootMeanSquaredError,
    SkillScore,
    crps_quantile,
    quantile_weights,
)
from lightning_itwin.models.drought_heads import quantiles_at

REFERENCES = ("climatology", "damped_persistence")


class ForecastScores(nn.Module):
    """Accumulates scores of quantile forecasts over the batches and ranks of a validation.

    The CRPS is twice the pinball loss, each level weighted by the part of (0, 1) nearest to it; of the median
    alone it is the absolute error.

    Args:
        levels: of the quantiles, (Q,).
        leads: days ahead, (L,).
    """

    def __init__(self, levels: Sequence[float], leads: Sequence[int]) -> None:
        super().__init__()
        self.levels, self.leads = list(levels), list(leads)
        self._weights = quantile_weights(self.levels).tolist()
        self._middle = min(range(len(self.levels)), key=lambda at: abs(self.levels[at] - 0.5))
        outputs = len(self.leads)
        self.crps = MeanScore(num_outputs=outputs)
        self.rmse = RootMeanSquaredError(num_outputs=outputs)
        self.skills = nn.ModuleDict({name: SkillScore(num_outputs=outputs) for name in REFERENCES})
        has_interval = self.levels[0] <= 0.1 and self.levels[-1] >= 0.9
        self.coverage = IntervalCoverage([0.8], self.levels, outputs) if has_interval else None
        self._compared = False

    def reset(self) -> None:
        """Forget everything."""
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.reset()
        self._compared = False

    def update(self, quantiles: Tensor, target: Tensor, references: dict[str, Tensor]) -> None:
        """Add forecasts (B, L, Q), what came (B, L), NaN is missing, and reference forecasts (B, L, Q)."""
        crps = self._crps(quantiles, target)
        self.crps.update(crps)
        self.rmse.update(quantiles[..., self._middle], target)
        if self.coverage is not None:
            self.coverage.update(quantiles, target)
        for name, forecast in references.items():
            self.skills[name].update(crps, self._crps(forecast, target))  # type: ignore[operator]
            self._compared = True

    def metrics(self) -> dict[str, Tensor]:
        """Give scores by name, such as ``crps/lead_07``, and their means over leads; a collective call."""
        found = {"crps": self.crps.compute(), "rmse": self.rmse.compute()}
        if self.coverage is not None:
            found["coverage_80"] = self.coverage.compute()
        if self._compared:
            found |= {f"skill_{name}": metric.compute() for name, metric in self.skills.items()}  # type: ignore[operator]
        told = {}
        for name, values in found.items():
            values = values.reshape(-1).float()
            told[name] = values.nanmean()
            if len(self.leads) > 1:
                told |= {f"{name}/lead_{lead:02d}": value for lead, value in zip(self.leads, values)}
        return told

    def _crps(self, quantiles: Tensor, target: Tensor) -> Tensor:
        return crps_quantile(quantiles, target, self.levels, self._weights)


class References:
    """Climatology and damped persistence at the levels of a model, from what a datamodule has fitted.

    Args:
        reference_forecasts: of ``lightning_itwin.hydrology``, on the device of the batches.
        cells: number of cells; series s is cell s % cells.
        levels: of the model, (Q,).
        leads: days ahead, (L,).
    """

    def __init__(
        self, reference_forecasts: Any, cells: int, levels: Sequence[float], leads: Sequence[int]
    ) -> None:
        if list(reference_forecasts.leads) != list(leads):
            raise ValueError(
                f"Reference forecasts have leads {list(reference_forecasts.leads)}, the model {list(leads)}."
            )
        self._forecasts, self._cells = reference_forecasts, cells
        self._levels, self._leads = list(levels), torch.tensor(list(leads))

    def __call__(self, batch: Any, steps: Tensor) -> dict[str, Tensor]:
        """Forecast from steps of windows, quantiles (B * S, L, Q) by name."""
        leads = self._leads.to(steps.device)
        issued, valid = batch.year_fraction[:, steps], batch.year_fraction[:, steps.unsqueeze(-1) + leads]
        cells = (batch.series % self._cells).unsqueeze(-1).expand(-1, len(steps))
        climatology = self._forecasts.climatology(valid.flatten(0, 1))
        persistence = self._forecasts.damped_persistence(
            batch.target[:, steps].flatten(), cells.flatten(), issued.flatten()
        )
        known = self._forecasts.levels
        return {
            "climatology": quantiles_at(climatology.to(issued.device), known, self._levels),
            "damped_persistence": quantiles_at(persistence.to(issued.device), known, self._levels),
        }
