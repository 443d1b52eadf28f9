"""A simulated mountain region: elevation and maps of soil and snow, made of smooth random fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KM_PER_DEGREE = 111.195  # of latitude, on a sphere of 6371 km
SOUTH_WEST_DEGREE = (45.6, 10.2)  # latitude and longitude of the first cell: the southern edge of the Alps
_FEATURES = 96  # cosines a random field


@dataclass(frozen=True, kw_only=True)
class Terrain:
    """Maps of a region, all float32 of shape (rows, columns) but for the two axes.

    Attributes:
        latitude: of the rows, rising, in degrees, (rows,) float64.
        longitude: of the columns, rising, in degrees, (columns,) float64.
        spacing_km: distance of neighbouring cells.
        elevation: in m.
        slope: rise over run.
        annual_precipitation: expected precipitation in mm/year.
        wilting_point: volumetric soil moisture that plants cannot take up, in m3 m-3.
        field_capacity: volumetric soil moisture of a drained soil, in m3 m-3.
        root_depth: thickness of the root zone in mm.
        recharge_exponent: HBV's beta.
        evaporation_limit: HBV's LP: share of the available water above which evaporation is potential.
        degree_day_factor: melt in mm/(K day).
        percolation: most that leaves the upper store for the lower one, in mm/day.
        fast_recession: share of the upper store that drains in a day.
        slow_recession: share of the lower store that drains in a day.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    spacing_km: float
    elevation: np.ndarray
    slope: np.ndarray
    annual_precipitation: np.ndarray
    wilting_point: np.ndarray
    field_capacity: np.ndarray
    root_depth: np.ndarray
    recharge_exponent: np.ndarray
    evaporation_limit: np.ndarray
    degree_day_factor: np.ndarray
    percolation: np.ndarray
    fast_recession: np.ndarray
    slow_recession: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.elevation.shape
        return rows, columns

    @property
    def available_water(self) -> np.ndarray:
        """Water between wilting point and field capacity in mm, HBV's FC, (rows, columns)."""
        return (self.field_capacity - self.wilting_point) * self.root_depth


def random_field(
    north_km: np.ndarray, east_km: np.ndarray, length_km: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a smooth Gaussian random field of unit variance at points of the plane.

    It is a sum of cosines of random wave vectors, whose covariance tends to ``exp(-d^2 / (2 length^2))``. Its
    values depend on the place alone: a finer or a larger grid shows the same field.

    Args:
        north_km: coordinates of the rows, (rows,).
        east_km: coordinates of the columns, (columns,).
        length_km: correlation length.
        rng: source of the wave vectors and phases.

    Returns:
        The field, (rows, columns) float64.

    Reference:
        Rahimi and Recht 2007, random features for large-scale kernel machines.
    """
    wave = rng.standard_normal((2, _FEATURES)) / length_km
    phase = rng.uniform(0, 2 * np.pi, _FEATURES)
    rows = np.exp(1j * (np.outer(north_km, wave[0]) + phase))
    columns = np.exp(1j * np.outer(east_km, wave[1]))
    return np.sqrt(2 / _FEATURES) * (rows @ columns.T).real


def simulate_terrain(rows: int, columns: int, spacing_km: float, seed: int) -> Terrain:
    """Draw a region; the same seed gives the same mountains on any grid.

    Args:
        rows: cells from south to north.
        columns: cells from west to east.
        spacing_km: distance of neighbouring cells.
        seed: of everything in the terrain.
    """
    north_km, east_km = spacing_km * np.arange(rows), spacing_km * np.arange(columns)
    fields = {
        name: random_field(north_km, east_km, length_km, np.random.default_rng([seed, number]))
        for number, (name, length_km) in enumerate(
            {
                "massif": 60.0,
                "valley": 14.0,
                "rain": 70.0,
                "soil": 30.0,
                "depth": 25.0,
                "texture": 35.0,
                "snow": 40.0,
                "rock": 45.0,
            }.items()
        )
    }
    height = _logistic(1.1 * fields["massif"] + 0.75 * fields["valley"] - 0.6)
    elevation = 150 + 3100 * height
    gradient = np.stack([_gradient(elevation, axis) / (1000 * spacing_km) for axis in (0, 1)])
    latitude = SOUTH_WEST_DEGREE[0] + north_km / KM_PER_DEGREE
    longitude = SOUTH_WEST_DEGREE[1] + east_km / (KM_PER_DEGREE * np.cos(np.radians(latitude.mean())))
    high = (elevation - 1350) / 1000  # km above the middle of the mountains
    wilting_point = np.clip(0.12 + 0.025 * fields["texture"], 0.05, 0.2)
    maps = {
        "elevation": elevation,
        "slope": np.hypot(*gradient),
        "annual_precipitation": 930 * np.clip(1 + 0.22 * high + 0.1 * fields["rain"], 0.4, 2.0),
        "wilting_point": wilting_point,
        "field_capacity": wilting_point + np.clip(0.19 + 0.03 * fields["soil"], 0.08, 0.3),
        "root_depth": np.clip(660 - 120 * high + 135 * fields["depth"], 250, 1200),
        "recharge_exponent": np.clip(2.4 + 0.6 * fields["soil"] + 0.3 * fields["rock"], 1.0, 5.0),
        "evaporation_limit": np.clip(0.75 + 0.08 * fields["texture"], 0.4, 1.0),
        "degree_day_factor": np.clip(3.2 + 0.5 * fields["snow"], 1.5, 5.5),
        "percolation": np.clip(1.2 + 0.3 * fields["rock"], 0.3, 2.5),
        "fast_recession": np.clip(0.12 + 0.03 * fields["rock"], 0.03, 0.3),
        "slow_recession": np.clip(0.02 + 0.005 * fields["rock"], 0.005, 0.05),
    }
    return Terrain(
        latitude=latitude,
        longitude=longitude,
        spacing_km=spacing_km,
        **{name: values.astype(np.float32) for name, values in maps.items()},
    )


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _gradient(values: np.ndarray, axis: int) -> np.ndarray:
    return np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)
