"""Stochastic weather of a mountain region: correlated in space, orographic, with a hidden regime."""

# D days, M modes, C cells

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_itwin.hydrology.terrain import Terrain

DAYS = 366  # of a table over the year
BLOCK_DAYS = 64  # that are drawn together; part of what a seed means
_KEPT_VARIANCE = 0.995  # by the modes of an axis
_QUANTILES = 400  # of the normal distribution, in the mean of precipitation


@dataclass(frozen=True, kw_only=True)
class Component:
    """A part of a Gaussian field: spatial modes of one length, each an AR(1) in time.

    Args:
        variance: its share of the field's variance.
        memory: autocorrelation from one day to the next.
        length_km: correlation length; infinite for a part that is the same in the whole region.
    """

    variance: float
    memory: float
    length_km: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Climate:
    """The numbers of the weather generator.

    Precipitation is ``scale max(wet(season) + w, 0)^1.5`` of a Gaussian field ``w`` of unit variance;
    temperature is a sea-level cycle, a lapse rate, a Gaussian anomaly and a cooling on wet days. The regime
    ``g`` is an AR(1) of unit variance, one number a day, that nobody observes: it is a part of ``w``, and of
    the temperature's anomaly with the other sign. ``precipitation[0]`` and ``temperature[0]`` are the same in
    the whole region: the fast circulation behind which the regime hides.

    Args:
        regime_memory_days: time in which the regime's autocorrelation falls to 1/e.
        regime_in_precipitation: standard deviation of the regime's part of ``w``.
        regime_in_temperature: drop of the temperature in K for a regime of 1.
        precipitation: parts of ``w``; their variances are scaled so that ``w`` has unit variance.
        temperature: parts of the temperature's anomaly, variances in K^2.
        wetness: annual mean of ``wet``; 0 rains on half of the days.
        wetness_cycle: its amplitude, with the maximum on ``wettest_day``.
        intensity_cycle: relative amplitude of ``scale``, with the same maximum.
        wettest_day: day of the year.
        sea_level_c: annual mean of the temperature at sea level.
        annual_cycle_c: amplitude of the temperature, with the maximum on ``warmest_day``.
        warmest_day: day of the year.
        lapse_c_per_km: fall of the temperature with height.
        wet_cooling_c: cooling on days with 5 mm or more.
    """

    regime_memory_days: float = 33.0
    regime_in_precipitation: float = 0.42
    regime_in_temperature: float = 1.7
    precipitation: tuple[Component, ...] = (
        Component(variance=0.2, memory=0.1),
        Component(variance=0.62, memory=0.1, length_km=60.0),
        Component(variance=0.18, memory=0.05, length_km=20.0),
    )
    temperature: tuple[Component, ...] = (
        Component(variance=2.0, memory=0.4),
        Component(variance=1.5, memory=0.5, length_km=100.0),
    )
    wetness: float = 0.1
    wetness_cycle: float = 0.15
    intensity_cycle: float = 0.25
    wettest_day: float = 190.0
    sea_level_c: float = 13.2
    annual_cycle_c: float = 9.0
    warmest_day: float = 201.0
    lapse_c_per_km: float = 5.5
    wet_cooling_c: float = 1.5


class _Modes:
    """A Gaussian field of covariance ``exp(-d^2 / (2 length^2))``, as a product of modes of the two axes."""

    def __init__(self, rows: int, columns: int, spacing_km: float, length_km: float) -> None:
        self.of_rows = _axis_modes(rows, spacing_km, length_km)
        self.of_columns = np.ascontiguousarray(_axis_modes(columns, spacing_km, length_km).T)
        self.shape = (self.of_rows.shape[1], self.of_columns.shape[0])
        self.count = self.shape[0] * self.shape[1]

    def field(self, modes_DM: np.ndarray) -> np.ndarray:
        days = len(modes_DM)
        if self.count == 1:
            cells = self.of_rows.shape[0] * self.of_columns.shape[1]
            return np.broadcast_to(modes_DM, (days, cells))
        in_columns = modes_DM.reshape(-1, self.shape[1]) @ self.of_columns
        field = np.matmul(self.of_rows, in_columns.reshape(days, self.shape[0], -1))
        return field.reshape(days, -1)


class WeatherGenerator:
    """Draws the weather of a terrain.

    The state of the weather are its modes, M numbers: the regime first, then those of precipitation, then
    those of temperature. Each is an AR(1) of unit variance: to go on with other noise from any day on draws
    another future.

    Args:
        terrain: where.
        climate: the numbers.

    Attributes:
        memory: autocorrelation of every mode from day to day, (M,) float32.
        lengths_km: correlation length of every mode's part, infinite for what the region shares, (M,).
        count: M.

    Reference:
        Wilks 1998, J. Hydrol. 210, 178: daily precipitation at many places. Oudin et al. 2005, J. Hydrol.
        303, 290: potential evapotranspiration. Allen et al. 1998, FAO-56: extraterrestrial radiation.
    """

    def __init__(self, terrain: Terrain, climate: Climate | None = None) -> None:
        self.terrain, self.climate = terrain, climate or Climate()
        climate = self.climate
        rows, columns = terrain.shape
        self._wet = [
            _Modes(rows, columns, terrain.spacing_km, part.length_km) for part in climate.precipitation
        ]
        self._warm = [
            _Modes(rows, columns, terrain.spacing_km, part.length_km) for part in climate.temperature
        ]
        memory, lengths_km = [np.full(1, np.exp(-1 / climate.regime_memory_days))], [np.full(1, np.inf)]
        for part, modes in zip(climate.precipitation + climate.temperature, self._wet + self._warm):
            memory.append(np.full(modes.count, part.memory))
            lengths_km.append(np.full(modes.count, part.length_km))
        self.lengths_km = np.concatenate(lengths_km)
        self.memory = np.concatenate(memory).astype(np.float32)
        self.count = len(self.memory)
        self._innovation = np.sqrt(1 - self.memory.astype(np.float64) ** 2).astype(np.float32)
        left = 1 - climate.regime_in_precipitation**2
        total = sum(part.variance for part in climate.precipitation)
        self.wet_deviations = [np.sqrt(left * part.variance / total) for part in climate.precipitation]
        self.warm_deviations = [np.sqrt(part.variance) for part in climate.temperature]
        self.circulation = (1, 1 + sum(modes.count for modes in self._wet))
        self.regime_effects = (
            climate.regime_in_precipitation / self.wet_deviations[0],
            -climate.regime_in_temperature / self.warm_deviations[0],
        )
        self._tables()

    def _tables(self) -> None:
        climate, terrain = self.climate, self.terrain
        day = np.arange(1, DAYS + 1)
        wet_season = np.cos(2 * np.pi * (day - climate.wettest_day) / 365.25)
        warm_season = np.cos(2 * np.pi * (day - climate.warmest_day) / 365.25)
        threshold = climate.wetness + climate.wetness_cycle * wet_season
        intensity = 1 + climate.intensity_cycle * wet_season
        self._threshold = threshold.astype(np.float32)
        self._intensity = intensity.astype(np.float32)
        self._season = (climate.sea_level_c + climate.annual_cycle_c * warm_season).astype(np.float32)
        elevation_km = terrain.elevation.reshape(-1).astype(np.float64) / 1000
        self._lapse = (-climate.lapse_c_per_km * elevation_km).astype(np.float32)
        mean = (intensity * _mean_amount(threshold)).mean() * 365.25
        self._amount = (terrain.annual_precipitation.reshape(-1) / mean).astype(np.float32)
        radiation = extraterrestrial_radiation(day, terrain.latitude)
        # Oudin: Ra / (latent heat 2.45 MJ/kg) (T + 5) / 100, in mm/day.
        per_kelvin = np.repeat(radiation / 245.0, terrain.shape[1], axis=1)
        self._evaporation = per_kelvin.astype(np.float32)

    def stationary(self, rng: np.random.Generator, groups: int = 1) -> np.ndarray:
        """Draw modes of a day that nothing is known of, (groups, M) float32."""
        return rng.standard_normal((groups, self.count), dtype=np.float32)

    def advance(self, modes: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Go on from a day's modes.

        Args:
            modes: of the day before, (..., M) float32.
            noise: standard normal, (D, ..., M) float32; it is overwritten.

        Returns:
            Modes of the days, (D, ..., M), in the place of the noise.
        """
        noise *= self._innovation
        kept = np.empty_like(modes)
        for today in noise:
            np.multiply(modes, self.memory, out=kept)
            np.add(today, kept, out=today)
            modes = today
        return noise

    def exchange_regime(self, modes: np.ndarray, regime: np.ndarray) -> None:
        """Give other regimes to modes, in place, and leave the weather that they make as it is.

        The fast circulation takes up the difference. It goes to the parts of infinite length of precipitation
        and temperature.

        Args:
            modes: (G, M) float32.
            regime: (G,).
        """
        change = modes[:, 0] - regime
        modes[:, 0] = regime
        for at, effect in zip(self.circulation, self.regime_effects):
            modes[:, at] += np.float32(effect) * change

    def weather(self, modes: np.ndarray, day_of_year: np.ndarray) -> np.ndarray:
        """Turn modes into weather, each group by itself.

        Args:
            modes: (D, G, M) float32.
            day_of_year: of the days, from 1 to 366, (D,).

        Returns:
            Precipitation in mm/day, temperature in degC and potential evapotranspiration in mm/day,
            (3, D, G, C) float32.
        """
        days, groups, _ = modes.shape
        found = np.empty((3, days, groups, self.terrain.elevation.size), dtype=np.float32)
        season = np.asarray(day_of_year) - 1
        for group in range(groups):
            self._weather(modes[:, group], season, found[:, :, group])
        return found

    def _weather(self, modes: np.ndarray, season: np.ndarray, out: np.ndarray) -> None:
        climate, regime = self.climate, modes[:, :1]
        shared = self._threshold[season][:, None] + np.float32(climate.regime_in_precipitation) * regime
        rain, at = self._field(shared, modes, 1, self._wet, self.wet_deviations)
        np.maximum(rain, np.float32(0), out=rain)
        rain *= np.sqrt(rain)
        rain *= self._intensity[season][:, None]
        rain *= self._amount
        out[0] = rain
        shared = self._season[season][:, None] - np.float32(climate.regime_in_temperature) * regime
        temperature, _ = self._field(shared, modes, at, self._warm, self.warm_deviations)
        temperature += self._lapse
        np.minimum(rain, np.float32(5), out=rain)
        rain *= np.float32(climate.wet_cooling_c / 5)
        temperature -= rain
        out[1] = temperature
        temperature += np.float32(5)
        np.maximum(temperature, np.float32(0), out=temperature)
        np.multiply(temperature, self._evaporation[season], out=out[2])

    def _field(
        self, shared: np.ndarray, modes: np.ndarray, at: int, parts: list[_Modes], deviations: list[float]
    ) -> tuple[np.ndarray, int]:
        field: np.ndarray | None = None
        for part, deviation in zip(parts, deviations):
            scaled = modes[:, at : at + part.count] * np.float32(deviation)
            at += part.count
            if part.count == 1:
                shared = shared + scaled
            elif field is None:
                field = part.field(scaled)
            else:
                field += part.field(scaled)
        if field is None:
            return np.repeat(shared, self.terrain.elevation.size, axis=1), at
        field += shared
        return field, at


def extraterrestrial_radiation(day_of_year: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Give the daily radiation on top of the atmosphere in MJ m-2 day-1, (days, latitudes).

    Args:
        day_of_year: from 1, (days,).
        latitude: in degrees, within the polar circles, (latitudes,).

    Reference:
        Allen et al. 1998, FAO Irrigation and Drainage Paper 56, equations 21 to 25.

    >>> extraterrestrial_radiation(np.array([246]), np.array([-20.0])).round(1)  # example 8 of FAO-56
    array([[32.2]])
    """
    angle = 2 * np.pi * np.asarray(day_of_year)[:, None] / 365
    distance = 1 + 0.033 * np.cos(angle)
    declination = 0.409 * np.sin(angle - 1.39)
    phi = np.radians(latitude)[None]
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    height = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return 24 * 60 / np.pi * 0.0820 * distance * height


def _mean_amount(threshold: np.ndarray) -> np.ndarray:
    """Give the mean of ``max(threshold + w, 0)^1.5`` for a standard normal w, by quadrature."""
    node, weight = np.polynomial.legendre.leggauss(_QUANTILES)
    low, high = -threshold, np.full_like(threshold, 9.0)
    w = low[:, None] + (high - low)[:, None] * (node + 1) / 2
    density = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
    amount = np.maximum(threshold[:, None] + w, 0) ** 1.5
    return (amount * density * weight).sum(axis=1) * (high - low) / 2


def _axis_modes(cells: int, spacing_km: float, length_km: float) -> np.ndarray:
    """Give modes of an axis, (cells, modes) float32; the squares of a row sum to 1."""
    if not np.isfinite(length_km) or cells == 1:
        return np.ones((cells, 1), dtype=np.float32)
    at_km = spacing_km * np.arange(cells)
    covariance = np.exp(-((at_km[:, None] - at_km) ** 2) / (2 * length_km**2))
    variance, vectors = np.linalg.eigh(covariance)
    variance, vectors = variance[::-1].clip(0), vectors[:, ::-1]
    kept = int(np.searchsorted(np.cumsum(variance), _KEPT_VARIANCE * variance.sum())) + 1
    # The sign of an eigenvector is the library's choice; fixed, so that a seed means the same everywhere.
    sign = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(cells)])
    modes = (vectors * sign)[:, :kept] * np.sqrt(variance[:kept])
    return (modes / np.sqrt((modes**2).sum(axis=1, keepdims=True))).astype(np.float32)
