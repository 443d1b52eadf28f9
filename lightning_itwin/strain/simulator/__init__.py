"""A simulated detector, every part of its truth apart: ``python -m lightning_itwin.strain.simulator``."""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.strain.simulator.scene import Recording, Scene
    from lightning_itwin.strain.simulator.simulated_data import SimulatedData
    from lightning_itwin.strain.simulator.virgo_simulator import VirgoSimulator

_FILES = {
    "scene": ("Recording", "Scene"),
    "simulated_data": ("SimulatedData",),
    "virgo_simulator": ("VirgoSimulator",),
}
__all__ = ["Recording", "Scene", "SimulatedData", "VirgoSimulator"]

__getattr__ = late_face(
    __name__, {name: f"{__name__}.{file}" for file, names in _FILES.items() for name in names}
)
