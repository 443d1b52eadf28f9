"""CalibrationTest: do GWFlow's posteriors hold the truth as often as they say? Collected event by event."""

# E events, B batch, N samples, P parameters

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lightning_itwin.inference import Prior
from lightning_itwin.inference.calibration import (
    Coverage,
    UniformityTest,
    coverage,
    periods_of,
    ranks,
    statistic_ranks,
    uniformity,
)
from lightning_itwin.inference.figures import coverage_figure, pp_figure, tarp_figure
from lightning_itwin.inference.tarp import TarpTest, tarp

_LEVELS = tuple(np.linspace(0.05, 0.95, 19).round(2))
_EXTRA = ("tarp", "density", "efficiency")


class CalibrationTest:
    """Ranks of true parameters in their posteriors, one row an event.

    A row holds each parameter's rank, TARP's credibility of the whole, the rank of the truth's density
    (all uniform on [0, 1] where the posteriors are calibrated), and the importance sampling efficiency
    where it was worked out. Rows do not know of each other: those of several processes are put together as
    they are.

    Args:
        prior: of the parameters, which says what is periodic.
        names: parameters of the samples, P of them.
    """

    def __init__(self, prior: Prior, names: Sequence[str]) -> None:
        self.names = list(names)
        minimum = [float(prior.minimum[prior.names.index(name)]) for name in names]
        self._periods = periods_of(self.names, minimum, prior.periodic)
        self._rows: list[np.ndarray] = []

    def update(
        self,
        samples: Tensor,
        log_prob: Tensor,
        truths: Tensor,
        log_prob_of_truths: Tensor,
        efficiencies: np.ndarray,
    ) -> None:
        """Take in a batch of events.

        Args:
            samples: (B, N, P).
            log_prob: their log densities, (B, N).
            truths: (B, P).
            log_prob_of_truths: (B,).
            efficiencies: of importance sampling, NaN where it was not done, (B,).
        """
        samples_BNP, truths_BP = samples.cpu().double().numpy(), truths.cpu().double().numpy()
        density = statistic_ranks(log_prob.cpu().numpy(), log_prob_of_truths.cpu().numpy())
        self._rows.append(
            np.concatenate(
                [
                    ranks(samples_BNP, truths_BP, periods=self._periods),
                    tarp(samples_BNP, truths_BP, periods=self._periods).credibilities[:, None],
                    density,
                    efficiencies[:, None],
                ],
                axis=1,
            )
        )

    def rows(self) -> np.ndarray:
        """Give the rows so far, (E, P + 3)."""
        return np.concatenate(self._rows) if self._rows else np.empty((0, len(self.names) + len(_EXTRA)))

    def result(self, rows: np.ndarray) -> CalibrationResult:
        """Judge rows, such as those of all processes."""
        return CalibrationResult(self.names, rows)


class CalibrationResult:
    """What the rows of a ``CalibrationTest`` say.

    Args:
        names: of the parameters, P of them.
        rows: (E, P + 3), at least one.
    """

    def __init__(self, names: Sequence[str], rows: np.ndarray) -> None:
        self.names = list(names)
        self.rows = rows

    @property
    def ranks(self) -> np.ndarray:
        """Ranks of the parameters, (E, P)."""
        return self.rows[:, : len(self.names)]

    @property
    def efficiencies(self) -> np.ndarray:
        """Importance sampling efficiencies of the events that have one, at most (E,)."""
        values = self.rows[:, -1]
        return values[np.isfinite(values)]

    def uniformity(self) -> UniformityTest:
        """Test the parameters' ranks."""
        return uniformity(self.ranks, self.names)

    def coverage(self, levels: Sequence[float] = _LEVELS) -> Coverage:
        """Count how often central intervals held the truth."""
        return coverage(self.ranks, levels)

    def metrics(self) -> dict[str, float]:
        """Give the numbers that are logged.

        Returns:
            ``test/pp_p_value`` (all parameters together), ``test/pp_lowest_p_value``, ``test/tarp_p_value``,
            ``test/density_p_value``, ``test/coverage_50``, ``test/coverage_90`` (mean over parameters) and,
            where known, ``test/efficiency_median``.
        """
        tested, held = self.uniformity(), self.coverage((0.5, 0.9)).held.mean(axis=1)
        extra = uniformity(self.rows[:, len(self.names) : len(self.names) + 2])
        metrics = {
            "test/pp_p_value": tested.combined,
            "test/pp_lowest_p_value": tested.lowest,
            "test/tarp_p_value": float(extra.p_values[0]),
            "test/density_p_value": float(extra.p_values[1]),
            "test/coverage_50": float(held[0]),
            "test/coverage_90": float(held[1]),
        }
        if len(self.efficiencies):
            metrics["test/efficiency_median"] = float(np.median(self.efficiencies))
        return metrics

    def figures(self) -> dict[str, Any]:
        """Draw the P-P plot, the coverage of central intervals, and TARP's expected coverage."""
        credibilities = self.rows[:, len(self.names)]
        p_value = float(uniformity(credibilities[:, None]).p_values[0])
        return {
            "pp": pp_figure(self.ranks, self.names),
            "coverage": coverage_figure(self.ranks, self.names),
            "tarp": tarp_figure(TarpTest(credibilities=credibilities, p_value=p_value)),
        }

    def write_tables(self, folder: Path) -> None:
        """Write ``ranks.csv``, a row an event, and ``coverage.csv``, a row a credible level."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "ranks.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*self.names, *_EXTRA])
            writer.writerows([f"{value:.6g}" for value in row] for row in self.rows)
        found = self.coverage()
        with (folder / "coverage.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["level", "calibrated_low", "calibrated_high", *self.names])
            for level, low, high, held in zip(found.levels, found.low, found.high, found.held):
                writer.writerow([f"{value:.6g}" for value in (level, low, high, *held)])
