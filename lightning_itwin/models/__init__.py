"""The zoo's LightningModules."""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.models.coherent_subtractor import CoherentSubtractor
    from lightning_itwin.models.drought_forecaster import DroughtForecaster
    from lightning_itwin.models.glitch_flow import GlitchFlow
    from lightning_itwin.models.glitch_images import GlitchImageUNet
    from lightning_itwin.models.gw_flow import GWFlow
    from lightning_itwin.models.virgo_denoiser import VirgoDenoiser

__all__ = [
    "CoherentSubtractor",
    "DroughtForecaster",
    "GWFlow",
    "GlitchFlow",
    "GlitchImageUNet",
    "VirgoDenoiser",
]

__getattr__ = late_face(
    __name__,
    {
        "CoherentSubtractor": "lightning_itwin.models.coherent_subtractor",
        "DroughtForecaster": "lightning_itwin.models.drought_forecaster",
        "GlitchFlow": "lightning_itwin.models.glitch_flow",
        "GlitchImageUNet": "lightning_itwin.models.glitch_images",
        "GWFlow": "lightning_itwin.models.gw_flow",
        "VirgoDenoiser": "lightning_itwin.models.virgo_denoiser",
    },
)
