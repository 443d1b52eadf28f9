"""Windows of a detector's strain and of the channels that witness its noise."""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.datamodules.virgo.datamodule import VirgoDataModule

__all__ = ["VirgoDataModule"]

__getattr__ = late_face(__name__, {"VirgoDataModule": "lightning_itwin.datamodules.virgo.datamodule"})
