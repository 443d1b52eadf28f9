"""Events of compact binaries: simulated on the fly, stored in shards, read from HDF5, or real.

``python -m lightning_itwin.datamodules.gw simulate --help`` makes a data set.
"""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.datamodules.gw.batch import GWBatch
    from lightning_itwin.datamodules.gw.datamodule import GWDataModule
    from lightning_itwin.datamodules.gw.event_data import EventData
    from lightning_itwin.datamodules.gw.real_events import GWEvent
    from lightning_itwin.detectors.observation_check import check_same_observation

__all__ = ["EventData", "GWBatch", "GWDataModule", "GWEvent", "check_same_observation"]

__getattr__ = late_face(
    __name__,
    {
        "EventData": "lightning_itwin.datamodules.gw.event_data",
        "GWBatch": "lightning_itwin.datamodules.gw.batch",
        "GWDataModule": "lightning_itwin.datamodules.gw.datamodule",
        "GWEvent": "lightning_itwin.datamodules.gw.real_events",
        "check_same_observation": "lightning_itwin.detectors.observation_check",
    },
)
