"""A simulated detector, every part of its truth apart: ``python -m lightning_itwin.strain.simulator``."""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.strain.simulator.virgo_simulator import SimulatedData, VirgoSimulator

__all__ = ["SimulatedData", "VirgoSimulator"]

__getattr__ = late_face(
    __name__,
    {
        "SimulatedData": "lightning_itwin.strain.simulator.virgo_simulator",
        "VirgoSimulator": "lightning_itwin.strain.simulator.virgo_simulator",
    },
)
