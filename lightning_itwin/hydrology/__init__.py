"""Hydrology: a mountain region whose predictive limit is known, climatologies and reference forecasts."""

from lightning_itwin.hydrology.alps_oracle import oracle
from lightning_itwin.hydrology.alps_simulator import AlpsRun, AlpsSimulator
from lightning_itwin.hydrology.climatology import Climatology
from lightning_itwin.hydrology.reference_forecasts import ReferenceForecasts
from lightning_itwin.hydrology.standardized_index import (
    StandardizedIndex,
    accumulate,
    day_of_year,
    standardized_precipitation_index,
    standardized_soil_moisture_index,
)

__all__ = [
    "AlpsRun",
    "AlpsSimulator",
    "Climatology",
    "ReferenceForecasts",
    "StandardizedIndex",
    "accumulate",
    "day_of_year",
    "oracle",
    "standardized_precipitation_index",
    "standardized_soil_moisture_index",
]
