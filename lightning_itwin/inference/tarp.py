"""TARP: calibration of whole posteriors, by how near samples and truth are to a reference point."""

# E events, N samples, P parameters

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_itwin.inference.calibration import Periods, ranks, uniformity


@dataclass(frozen=True, kw_only=True)
class TarpTest:
    """Result of TARP.

    Attributes:
        credibilities: of every event, the posterior mass nearer to the reference point than the truth, (E,);
            uniform if calibrated. Their distribution function is the expected coverage.
        p_value: of the Kolmogorov-Smirnov test that they are uniform.
    """

    credibilities: np.ndarray
    p_value: float

    def expected_coverage(self, levels: Sequence[float]) -> np.ndarray:
        """Give the share of events whose region of a credibility level held the truth, (L,)."""
        levels_L = np.asarray(levels, dtype=np.float64)
        return (self.credibilities[None] <= levels_L[:, None]).mean(axis=1)


def tarp(
    samples: np.ndarray,
    truths: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    references: np.ndarray | Literal["mean", "shuffled"] = "mean",
    periods: Periods | None = None,
) -> TarpTest:
    """Test coverage with reference points.

    The test is valid for reference points and distances that know the data but not the truth. Distances
    are Euclidean, each parameter in units of its standard deviation among the event's samples, and along
    the shorter way round for a periodic one.

    Args:
        samples: (E, N, P).
        truths: (E, P).
        weights: (E, N).
        references: points, (E, P), such as draws of the prior; or ``"mean"``, the middle of each posterior,
            which sees a wrong width best; or ``"shuffled"``, a sample of the event before, which stands
            for a draw of the prior. A shift common to all events shows most with points on one side.
        periods: (start, period) or None for each parameter, as :func:`calibration.ranks` takes it.

    Reference:
        Lemos et al. 2023, arXiv:2302.03026, algorithm 2.
    """
    samples_ENP, truths_EP = np.asarray(samples, dtype=np.float64), np.asarray(truths, dtype=np.float64)
    weights_EN = np.full(samples_ENP.shape[:2], 1.0) if weights is None else np.asarray(weights)
    with np.errstate(invalid="ignore"):
        weights_EN = weights_EN / weights_EN.sum(axis=1, keepdims=True)
    squares_EN, square_E = np.zeros(samples_ENP.shape[:2]), np.zeros(len(truths_EP))
    for parameter in range(truths_EP.shape[1]):
        values_EN, truth_E = samples_ENP[:, :, parameter], truths_EP[:, parameter]
        period = periods[parameter] if periods is not None else None
        middle_E, width_E = _middle_and_width(values_EN, weights_EN, period)
        if isinstance(references, str):
            reference_E = middle_E if references == "mean" else np.roll(values_EN[:, 0], 1)
        else:
            reference_E = np.asarray(references)[:, parameter]
        squares_EN += np.square(_distance(values_EN - reference_E[:, None], period) / width_E[:, None])
        square_E += np.square(_distance(truth_E - reference_E, period) / width_E)
    credibilities_E1 = ranks(squares_EN[:, :, None], square_E[:, None], weights)
    return TarpTest(
        credibilities=credibilities_E1[:, 0], p_value=float(uniformity(credibilities_E1).p_values[0])
    )


def _middle_and_width(
    values_EN: np.ndarray, weights_EN: np.ndarray, period: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    if period is None:
        middle_E = np.einsum("en,en->e", values_EN, weights_EN)
    else:
        turn = 2 * np.pi / period[1]
        phasor_E = np.einsum("en,en->e", np.exp(1j * turn * values_EN), weights_EN)
        middle_E = np.angle(phasor_E) / turn
    square_EN = np.square(_distance(values_EN - middle_E[:, None], period))
    width_E = np.sqrt(np.einsum("en,en->e", square_EN, weights_EN))
    return middle_E, np.where(width_E > 0, width_E, 1.0)


def _distance(difference: np.ndarray, period: tuple[float, float] | None) -> np.ndarray:
    if period is None:
        return difference
    return (difference + period[1] / 2) % period[1] - period[1] / 2
