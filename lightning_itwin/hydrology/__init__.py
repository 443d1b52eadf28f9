"""Hydrology: a mountain region whose predictive limit is known, climatologies and reference forecasts."""

from lightning_itwin.hydrology.alps_simulator import AlpsRun, AlpsSimulator
from lightning_itwin.hydrology.climatology import Climatology
from lightning_itwin.hydrology.reference_forecasts import ReferenceForecasts

__all__ = ["AlpsRun", "AlpsSimulator", "Climatology", "ReferenceForecasts"]
