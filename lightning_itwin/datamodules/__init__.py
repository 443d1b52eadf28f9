"""The zoo's LightningDataModules."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_itwin.datamodules.virgo import VirgoDataModule
    from lightning_itwin.datamodules.virgo_simulator import VirgoSimulator

__all__ = ["VirgoDataModule", "VirgoSimulator"]

_FILES = {"VirgoDataModule": "virgo", "VirgoSimulator": "virgo_simulator"}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `python -m lightning_itwin.datamodules.virgo_simulator` would otherwise load
    # its module twice, and Lightning for nothing.
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
