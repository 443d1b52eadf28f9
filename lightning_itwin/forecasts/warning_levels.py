"""Warning levels from drought probabilities: watch, warning, alert."""

# P drought percentiles, in the order P20, P10, P5

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL_NAMES = ("none", "watch", "warning", "alert")
DROUGHT_PERCENTILES = (20, 10, 5)


@dataclass(frozen=True, kw_only=True)
class WarningRule:
    """When a forecast is a watch, a warning or an alert: the highest level whose probability is reached.

    The names are those of the European Drought Observatory's combined drought indicator. P20, P10 and P5 are
    the bounds of moderate, severe and extreme drought of the US Drought Monitor (D1, D2, D3). At one half
    the level is what the forecast's median says: more likely than not. A user for whom a missed drought costs
    more than a precaution takes less: by the cost-loss rule, the precaution's cost over the
    loss that it prevents.

    Args:
        watch: least probability of values below P20.
        warning: of values below P10.
        alert: of values below P5.

    Raises:
        ValueError: a probability that is not above 0 and at most 1.

    Reference:
        Svoboda et al. 2002, BAMS 83, 1181 (percentiles); Cammalleri et al. 2021, NHESS 21, 481 (levels);
        Murphy 1977, MWR 105, 803 (cost-loss).

    >>> WarningRule().levels(np.array([[0.6, 0.2, 0.1], [0.9, 0.8, 0.5], [np.nan, 0.1, 0.1]]))
    array([ 1,  3, -1], dtype=int8)
    """

    watch: float = 0.5
    warning: float = 0.5
    alert: float = 0.5

    def __post_init__(self) -> None:
        for name in LEVEL_NAMES[1:]:
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"The probability for {name!r} is above 0 and at most 1, not {value!r}.")

    def levels(self, probability_below: np.ndarray) -> np.ndarray:
        """Give the level: 0 none, 1 watch, 2 warning, 3 alert, -1 where a probability is missing.

        Args:
            probability_below: of P20, P10 and P5, in this order, (..., 3).

        Returns:
            int8 (...).

        Raises:
            ValueError: there are not three probabilities.
        """
        found = np.asarray(probability_below)
        if found.shape[-1:] != (3,):
            raise ValueError(f"Probabilities below P20, P10 and P5 are wanted, (..., 3), not {found.shape}.")
        level = np.zeros(found.shape[:-1], dtype=np.int8)
        for number, least in enumerate((self.watch, self.warning, self.alert)):
            level[found[..., number] >= least] = number + 1
        level[np.isnan(found).any(-1)] = -1
        return level

    def text(self) -> str:
        """Say the rule in a sentence."""
        parts = (
            f"{name} if the probability of values below P{percentile} is at least {getattr(self, name):g}"
            for name, percentile in zip(LEVEL_NAMES[1:], DROUGHT_PERCENTILES)
        )
        return "the highest of: " + ", ".join(parts)
