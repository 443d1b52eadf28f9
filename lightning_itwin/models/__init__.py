"""The zoo's LightningModules."""

from lightning_itwin.models.virgo_denoiser import VirgoDenoiser

__all__ = ["VirgoDenoiser"]
