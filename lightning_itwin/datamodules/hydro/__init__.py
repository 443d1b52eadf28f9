"""Windows of gridded daily series (weather, land surface, soil moisture) with their climatology.

``python -m lightning_itwin.datamodules.hydro --help`` simulates, converts and inspects files.
"""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.datamodules.hydro.batch import HydroBatch
    from lightning_itwin.datamodules.hydro.datamodule import GriddedHydroDataModule
    from lightning_itwin.datamodules.hydro.forecast_origins import ForecastOrigins
    from lightning_itwin.datamodules.hydro.grid import Grid
    from lightning_itwin.datamodules.hydro.splits import SplitPeriods
    from lightning_itwin.datamodules.hydro.variables import HydroVariables

__all__ = [
    "ForecastOrigins",
    "Grid",
    "GriddedHydroDataModule",
    "HydroBatch",
    "HydroVariables",
    "SplitPeriods",
]

__getattr__ = late_face(
    __name__,
    {
        "ForecastOrigins": "lightning_itwin.datamodules.hydro.forecast_origins",
        "Grid": "lightning_itwin.datamodules.hydro.grid",
        "GriddedHydroDataModule": "lightning_itwin.datamodules.hydro.datamodule",
        "HydroBatch": "lightning_itwin.datamodules.hydro.batch",
        "HydroVariables": "lightning_itwin.datamodules.hydro.variables",
        "SplitPeriods": "lightning_itwin.datamodules.hydro.splits",
    },
)
