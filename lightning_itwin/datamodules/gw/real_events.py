"""Real events: strain from files of GWOSC, cut, whitened as in training, refused where it does not fit."""

# D detectors, F frequencies, T samples

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GWEvent:
    """A real event and the files that hold its strain.

    Args:
        name: of the event, such as ``"GW150914"``.
        gps_time_s: GPS time of the merger at the centre of the Earth, as published.
        files: an HDF5 file of GWOSC for each detector, such as ``{"H1": "H-H1_LOSC_4_V2-1126259446-32.hdf5"}``.
    """

    name: str
    gps_time_s: float
    files: dict[str, str]
