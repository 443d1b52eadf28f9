"""Interferometers, noise and projection: from polarisations to the whitened data of a set of detectors.

``ObservationSettings`` are the plain values, ``Observation`` their tensors on a device, ``SignalModel`` turns
binaries into whitened signals with a waveform.
"""

from lightning_itwin.detectors.interferometer import Interferometer, interferometers
from lightning_itwin.detectors.observation import Observation, ObservationSettings
from lightning_itwin.detectors.power_spectral_density import PowerSpectralDensity, estimate_psd, read_psd
from lightning_itwin.detectors.sidereal_time import sidereal_time_rad
from lightning_itwin.detectors.signal_model import RecordedSignals, SignalModel
from lightning_itwin.detectors.sky_modes import sky_modes

__all__ = [
    "Interferometer",
    "Observation",
    "ObservationSettings",
    "PowerSpectralDensity",
    "RecordedSignals",
    "SignalModel",
    "estimate_psd",
    "interferometers",
    "read_psd",
    "sidereal_time_rad",
    "sky_modes",
]
