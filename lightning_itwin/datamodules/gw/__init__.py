"""Events of compact binaries: simulated on the fly, stored in shards, read from HDF5, or real.

``python -m lightning_itwin.datamodules.gw simulate --help`` makes a data set.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_itwin.datamodules.gw.batch import GWBatch
    from lightning_itwin.datamodules.gw.datamodule import EventData, GWDataModule
    from lightning_itwin.datamodules.gw.real_events import GWEvent
    from lightning_itwin.detectors.observation_check import check_same_observation

__all__ = ["EventData", "GWBatch", "GWDataModule", "GWEvent", "check_same_observation"]

_FILES = {
    "EventData": "lightning_itwin.datamodules.gw.datamodule",
    "GWBatch": "lightning_itwin.datamodules.gw.batch",
    "GWDataModule": "lightning_itwin.datamodules.gw.datamodule",
    "GWEvent": "lightning_itwin.datamodules.gw.real_events",
    "check_same_observation": "lightning_itwin.detectors.observation_check",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that the command line starts without Lightning.
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FILES[name]), name)
