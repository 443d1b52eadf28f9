"""Real events: strain from files of GWOSC, whitened and cut as a model's training data are, or refused.

The data are whitened by a filter that runs over the file and cut afterwards. So the noise of a segment is
white and stationary up to both its ends, as in training; no window makes it fade, and nothing wraps around.
"""

# D detectors, F frequencies, T samples, K taps

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.detectors import (
    Observation,
    ObservationSettings,
    PowerSpectralDensity,
    estimate_psd,
    interferometers,
)
from lightning_itwin.optional import require
from lightning_itwin.strain.hdf5_channels import Channel, ChannelError, open_hdf5, read_channels

_STRAIN = "strain/Strain"
_NEEDED_FLAGS = ("DATA", "CBC_CAT1", "CBC_CAT2")
# Left out of the estimate of a PSD: a binary black hole above 20 Hz, from before to after its merger.
_EVENT_S = (2.0, 1.0)
_LONGEST_PSD_SEGMENT_S = 4.0


class RealEventError(ValueError):
    """A real event cannot be read as it is; the message names it and says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class GWEvent:
    """A real event and the files that hold its strain.

    Args:
        name: of the event, such as ``"GW150914"``.
        gps_time_s: GPS time of the merger at the centre of the Earth, as published.
        files: an HDF5 file of GWOSC for each detector, such as
            ``{"H1": "H-H1_LOSC_4_V2-1126259446-32.hdf5"}``; several are separated by a comma and must follow
            each other in time.

    Reference:
        https://gwosc.org: the files and their layout.
    """

    name: str
    gps_time_s: float
    files: dict[str, str]


def read_event(event: GWEvent, observation: Observation, psd_index: int) -> Tensor:
    """Read the whitened strain of an event.

    The segment lies around the event as the training's lies around the reference time: the merger comes
    ``after_merger_s`` before its end. A file sampled at another rate is brought to the observation's through
    the frequencies of the band, which both have.

    Args:
        event: the event.
        observation: what the model was trained for.
        psd_index: the PSD set that whitens.

    Returns:
        Series, (D, T) float32, as ``GWBatch.strain`` has them.

    Raises:
        RealEventError: a detector has no file; a file lacks time around the event, is sampled too slowly, or
            has a gap, NaN or flagged seconds there.
        ChannelError: a file is not understood.
        FileNotFoundError: a file is not there.
    """
    spectra = [
        _whitened_spectrum(event, name, observation, observation.standard_deviation[psd_index, number])
        for number, name in enumerate(observation.names)
    ]
    spectrum = torch.from_numpy(np.stack(spectra))[None]
    return observation.to_series(spectrum)[0].to(torch.float32)


def event_psds(event: GWEvent, settings: ObservationSettings) -> list[PowerSpectralDensity]:
    """Estimate the PSDs from the event's own files, off the event: Welch's method, median over segments.

    Args:
        event: the event.
        settings: names the detectors and the duration; a segment is that long, at most 4 s.

    Returns:
        One a detector, in the observation's order: a set for ``ObservationSettings.psds``.

    Raises:
        RealEventError: there are too few seconds without a gap.
    """
    found = []
    for detector in (one.name for one in interferometers(settings.detectors)):
        channel = _read(event, detector)
        before_s, after_s = _EVENT_S
        try:
            found.append(
                estimate_psd(
                    channel.values,
                    channel.sample_rate_hz,
                    segment_s=min(settings.duration_s, _LONGEST_PSD_SEGMENT_S),
                    start_s=channel.gps_start_s,
                    exclude_s=(event.gps_time_s - before_s, event.gps_time_s + after_s),
                    name=f"{event.name} {detector}",
                )
            )
        except ValueError as error:
            raise RealEventError(f"{event.name}: {error}") from error
    return found


def _whitened_spectrum(
    event: GWEvent, detector: str, observation: Observation, deviation_F: Tensor
) -> np.ndarray:
    signal = require("scipy.signal", extra="gw")
    settings = observation.settings
    channel = _read(event, detector)
    rate_hz = channel.sample_rate_hz
    highest_hz = float(observation.frequency_hz[-1])
    length = round(settings.duration_s * rate_hz)
    if rate_hz < 2 * highest_hz or abs(length - settings.duration_s * rate_hz) > 1e-6 or length % 2:
        raise RealEventError(
            f"{event.name}, {detector}: a file at {rate_hz:g} Hz cannot give a band up to {highest_hz:g} Hz "
            f"in {settings.duration_s:g} s. Take the file with the higher rate, or a model with a lower "
            f"maximum_frequency_hz."
        )
    start_s = event.gps_time_s + settings.after_merger_s - settings.duration_s
    # The grid of the file and the start of the segment differ by less than a sample; the phase mends that.
    begin = math.floor((start_s - channel.gps_start_s) * rate_hz + 1e-6)
    late_s = start_s - (channel.gps_start_s + begin / rate_hz)
    half = length // 2
    if begin < half or begin + length + half > len(channel.values):
        raise RealEventError(
            f"{event.name}, {detector}: the file holds GPS {channel.gps_start_s:.1f} to "
            f"{channel.gps_end_s:.1f}; needed is {start_s - settings.duration_s / 2:.1f} to "
            f"{start_s + 1.5 * settings.duration_s:.1f}: the segment of {settings.duration_s:g} s and half "
            f"of that on both sides for the filter. Take a longer file."
        )
    stretch = channel.values[begin - half : begin + length + half]
    _check_stretch(event, detector, channel, begin - half, stretch)
    taps = _whitening_taps(observation, deviation_F, length, channel)
    white = signal.oaconvolve(stretch - stretch.mean(), taps, mode="valid")[:length]
    first = observation.first
    spectrum = np.fft.rfft(white)[first : first + observation.num_frequencies]
    # Of unit variance in its real and imaginary part, as Observation.to_spectrum gives it.
    spectrum *= np.exp(2j * np.pi * observation.frequency_hz.numpy() * late_s) / math.sqrt(length / 2)
    return spectrum


def _whitening_taps(
    observation: Observation, deviation_F: Tensor, length: int, channel: Channel
) -> np.ndarray:
    """Impulse response of 1 / ASD in the band, (T + 1,): symmetric, so that it delays nothing."""
    settings = observation.settings
    rate_hz = channel.sample_rate_hz
    frequency_hz = np.fft.rfftfreq(length, 1 / rate_hz)
    band_hz = observation.frequency_hz.numpy()
    segment_s = min(settings.duration_s, _LONGEST_PSD_SEGMENT_S)
    around = estimate_psd(channel.values, rate_hz, segment_s=segment_s, name=channel.name)
    asd = np.sqrt(np.interp(frequency_hz, around.frequency_hz, around.psd_per_hz))
    inside = (frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[-1])
    asd[inside] = np.interp(frequency_hz[inside], band_hz, deviation_F.cpu().numpy()) * math.sqrt(
        4 / settings.duration_s
    )
    # Unit variance of a series whose whole spectrum is white: its one-sided PSD is 2 / rate.
    response = math.sqrt(2 / rate_hz) / asd
    # Beside the band the file's own ASD holds, so that a line there is no louder than the rest, and then
    # nothing: the ground below the band is louder by orders of magnitude.
    taper_hz = max(0.1 * band_hz[0], 4 / settings.duration_s)
    rise = np.clip((frequency_hz - band_hz[0] + taper_hz) / taper_hz, 0, 1)
    fall = np.clip((band_hz[-1] + taper_hz - frequency_hz) / taper_hz, 0, 1)
    response *= np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2
    impulse = np.fft.fftshift(np.fft.irfft(response, length))
    impulse = np.append(impulse, impulse[0])  # the same on both sides of the middle
    return impulse * np.hanning(length + 1)


def _read(event: GWEvent, detector: str) -> Channel:
    if detector not in event.files:
        raise RealEventError(
            f"{event.name} has files for {', '.join(event.files) or 'no detector'}, the observation needs "
            f"{detector}. Give its file, or take a model that was trained for the detectors there are."
        )
    paths = [Path(path.strip()) for path in event.files[detector].split(",")]
    for path in paths:
        try:
            opened = open_hdf5(path, extra="gw")
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{event.name}, {detector}: {error}. Strain of published events, in HDF5, comes from "
                "https://gwosc.org; name its files in real_events."
            ) from error
        with opened as file:
            if "meta/Detector" in file:
                told = file["meta/Detector"][()]
                told = told.decode() if isinstance(told, bytes) else str(told)
                if told != detector:
                    raise RealEventError(f"{event.name}: {path} is of {told}, not of {detector}.")
            if _STRAIN not in file:
                raise ChannelError(
                    f"{path} has no {_STRAIN}: it is no strain file of GWOSC (https://gwosc.org, HDF5)."
                )
    return read_channels(paths, [_STRAIN])[0]


def _check_stretch(event: GWEvent, detector: str, channel: Channel, begin: int, stretch: np.ndarray) -> None:
    rate_hz = channel.sample_rate_hz
    begin_s = channel.gps_start_s + begin / rate_hz
    end_s = begin_s + len(stretch) / rate_hz
    bad = np.flatnonzero(~np.isfinite(stretch))
    if len(bad):
        raise RealEventError(
            f"{event.name}, {detector}: a gap (NaN) of {len(bad) / rate_hz:g} s from GPS "
            f"{begin_s + bad[0] / rate_hz:.3f}, inside of the needed {begin_s:.1f} to {end_s:.1f}."
        )
    still = np.flatnonzero(np.diff(stretch) == 0)
    if len(still) > 0.01 * len(stretch):
        raise RealEventError(
            f"{event.name}, {detector}: the strain stands still in {len(still) / len(stretch):.0%} of GPS "
            f"{begin_s:.1f} to {end_s:.1f}: a gap that was filled."
        )
    for path in event.files[detector].split(","):
        with open_hdf5(Path(path.strip()), extra="gw") as file:
            if "quality/simple/DQmask" not in file:
                continue
            names = [name.decode() for name in file["quality/simple/DQShortnames"][()]]
            mask = file["quality/simple/DQmask"][()]
            first_s = float(file["meta/GPSstart"][()])
        seconds = first_s + np.arange(len(mask))
        inside = (seconds + 1 > begin_s) & (seconds < end_s)
        for flag in _NEEDED_FLAGS:
            if flag not in names:
                continue
            good = (mask >> np.uint32(names.index(flag))) & 1
            wrong = seconds[inside & (good == 0)]
            if len(wrong):
                raise RealEventError(
                    f"{event.name}, {detector}: the data quality flag {flag} is not set in {len(wrong)} s "
                    f"from GPS {wrong[0]:.0f}, inside of the needed {begin_s:.1f} to {end_s:.1f}. These data "
                    f"are not fit for an analysis."
                )
