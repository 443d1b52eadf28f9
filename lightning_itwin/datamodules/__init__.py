"""The zoo's LightningDataModules."""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.datamodules.gw.datamodule import GWDataModule
    from lightning_itwin.datamodules.hydro.datamodule import GriddedHydroDataModule
    from lightning_itwin.datamodules.virgo.datamodule import VirgoDataModule
    from lightning_itwin.datamodules.virgo.energy_images import EnergyImageDataModule
    from lightning_itwin.datamodules.virgo.glitches import GlitchDataModule
    from lightning_itwin.strain.simulator.virgo_simulator import VirgoSimulator

__all__ = [
    "EnergyImageDataModule",
    "GWDataModule",
    "GlitchDataModule",
    "GriddedHydroDataModule",
    "VirgoDataModule",
    "VirgoSimulator",
]

__getattr__ = late_face(
    __name__,
    {
        "EnergyImageDataModule": "lightning_itwin.datamodules.virgo.energy_images",
        "GWDataModule": "lightning_itwin.datamodules.gw.datamodule",
        "GlitchDataModule": "lightning_itwin.datamodules.virgo.glitches",
        "GriddedHydroDataModule": "lightning_itwin.datamodules.hydro.datamodule",
        "VirgoDataModule": "lightning_itwin.datamodules.virgo.datamodule",
        "VirgoSimulator": "lightning_itwin.strain.simulator.virgo_simulator",
    },
)
