"""Hydrology: a simulated mountain region whose predictive limit is known, climatologies and reference forecasts."""

from lightning_itwin.hydrology.alps_simulator import AlpsRun, AlpsSimulator

__all__ = ["AlpsRun", "AlpsSimulator"]
