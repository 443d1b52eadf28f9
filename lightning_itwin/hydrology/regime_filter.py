"""What weather tells about the hidden regime: bounds on the limit for who cannot see it."""

# T days, F features

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.hydrology.alps_blocks import day_of_year_of
from lightning_itwin.hydrology.alps_simulator import AlpsRun

_EXACT = 1e-9  # variance of the error of an observation that has none, relative to the weather's
_MEMORY_DAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # of the averages that the regression sees


def regime_from_circulation(run: AlpsRun, realization: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Filter the regime from the region's whole circulation, known without error: more than weather tells.

    What is known are two numbers a day: what the whole region shares of precipitation's Gaussian field and of
    the temperature's anomaly, each the sum of the regime's part and a fast AR(1). Since they are known on dry
    days, too, and free of what smaller scales add, no filter of observed series knows more. A Kalman filter
    over the three AR(1)s gives the exact posterior.

    Args:
        run: what was simulated.
        realization: index into ``run.realizations``.

    Returns:
        Mean and variance of the regime at the end of every day, given the days up to it, (T,) each.

    Reference:
        Kalman 1960, J. Basic Eng. 82, 35.
    """
    generator = run.simulator.weather_generator
    hidden = [0, *generator.circulation]
    memory = generator.memory[hidden].astype(np.float64)
    transition, noise = np.diag(memory), np.diag(1 - memory**2)
    effects = np.array(generator.regime_effects)
    seen = np.column_stack([effects, np.eye(2)])
    observed = run.modes[realization][:, hidden].astype(np.float64) @ seen.T
    mean, covariance = np.zeros(3), np.eye(3)
    means, variances = np.empty(len(observed)), np.empty(len(observed))
    for day, today in enumerate(observed):
        mean, covariance = transition @ mean, transition @ covariance @ transition + noise
        gain = covariance @ seen.T @ np.linalg.inv(seen @ covariance @ seen.T + _EXACT * np.eye(2))
        mean = mean + gain @ (today - seen @ mean)
        covariance = covariance - gain @ seen @ covariance
        means[day], variances[day] = mean[0], max(covariance[0, 0], 0.0)
    return means, variances


@dataclass(frozen=True, kw_only=True)
class RegimeRegression:
    """Estimates the regime from series that anybody has: regional means of precipitation and temperature.

    The features are averages of their anomalies over the past, with exponential weights of 1 to 64 days, also
    times the season's cosine and sine; the estimate is linear in them. It is less than could be known.

    Attributes:
        season: harmonics of the year of both series, (5, 2).
        weights: (F,).
        variance: of the regime about the estimate.
    """

    season: np.ndarray
    weights: np.ndarray
    variance: float

    @classmethod
    def fit(cls, run: AlpsRun) -> RegimeRegression:
        """Fit to the regime of a run, whose realizations ought to be others than those that are estimated.

        Args:
            run: what was simulated; some hundred years in all its realizations.
        """
        series = np.stack([_regional(run, number) for number in range(len(run.realizations))])
        harmonics = _harmonics(run)
        season = np.linalg.lstsq(np.tile(harmonics, (len(series), 1)), series.reshape(-1, 2), rcond=None)[0]
        begun = round(3 * max(_MEMORY_DAYS))  # averages have forgotten where they began
        features = np.concatenate(
            [_features(values - harmonics @ season, harmonics)[begun:] for values in series]
        )
        regime = run.regime[:, begun:].reshape(-1).astype(np.float64)
        weights = np.linalg.lstsq(features, regime, rcond=None)[0]
        return cls(
            season=season, weights=weights, variance=float(np.mean((regime - features @ weights) ** 2))
        )

    def estimate(self, run: AlpsRun, realization: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the regime at the end of every day from the days up to it.

        Args:
            run: what was simulated.
            realization: index into ``run.realizations``.

        Returns:
            Mean and variance, (T,) each.
        """
        harmonics = _harmonics(run)
        mean = _features(_regional(run, realization) - harmonics @ self.season, harmonics) @ self.weights
        return mean, np.full(len(mean), self.variance)


def _regional(run: AlpsRun, realization: int) -> np.ndarray:
    """Give regional means of precipitation to the power 2/3, less skewed, and of temperature, (T, 2)."""
    rain = np.cbrt(run.precipitation[realization]) ** 2
    return np.stack(
        [
            values.reshape(len(run.time), -1).mean(axis=1, dtype=np.float64)
            for values in (rain, run.temperature[realization])
        ],
        axis=1,
    )


def _harmonics(run: AlpsRun) -> np.ndarray:
    angle = 2 * np.pi * day_of_year_of(run.time) / 365.25
    parts = [np.ones_like(angle), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    return np.stack(parts, axis=1)


def _features(anomaly: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    keep = np.exp(-1 / np.array(_MEMORY_DAYS))[:, None]
    average = np.zeros((len(keep), anomaly.shape[1]))
    averages = np.empty((len(anomaly), average.size))
    for day, today in enumerate(anomaly):
        average = keep * average + (1 - keep) * today
        averages[day] = average.reshape(-1)
    return np.concatenate([averages * harmonics[:, number, None] for number in range(3)], axis=1)
