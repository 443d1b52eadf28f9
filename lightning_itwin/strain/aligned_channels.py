"""Channels from files become one array on one clock, or every fault is named before the training."""

# C channels, T samples

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.hdf5_channels import Channel, ChannelError

# Factors of the polyphase filter: 16384 Hz to 1000 Hz needs 125/2048.
_MAX_FACTOR = 4096
# How far a sample may lie from the common clock: rounding of GPS times in double precision, and no more.
_MAX_OFFSET_SAMPLES = 0.01
_SILENT_LOSS_S = 1.0


@dataclass(frozen=True, kw_only=True)
class AlignedChannels:
    """Channels on one clock.

    Args:
        names: names of the channels, (C,).
        values: samples, float64, (C, T).
        sample_rate_hz: common sample rate.
        gps_start_s: GPS time of the first sample.
        bandwidth_hz: frequency up to which each channel carries anything, (C,): the lower of its own Nyquist
            frequency and the common one.
        units: units of the samples, (C,).
    """

    names: tuple[str, ...]
    values: np.ndarray
    sample_rate_hz: float
    gps_start_s: float
    bandwidth_hz: tuple[float, ...]
    units: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Length of the common span in seconds."""
        return self.values.shape[1] / self.sample_rate_hz


def align_channels(channels: Sequence[Channel], sample_rate_hz: float) -> AlignedChannels:
    """Check channels, bring them to one sample rate and cut them to the time that all of them cover.

    Rates are changed by a polyphase filter (``scipy.signal.resample_poly``), whose anti-alias filter has
    zero phase, so that the first sample keeps its GPS time.

    Args:
        channels: at least one channel.
        sample_rate_hz: common sample rate, > 0.

    Raises:
        ChannelError: NaN or infinite samples, a constant channel, a channel given twice under any name, a
            rate or GPS offset that does not fit the common clock, or no common time. All faults that are
            found are named in one message.
    """
    faults = find_faults(channels)
    resampled = []
    for channel in channels:
        try:
            resampled.append(_resample(channel, sample_rate_hz))
        except ChannelError as error:
            faults.append(str(error))
    if faults:
        raise ChannelError("\n".join(["These channels cannot be used as they are:", *faults]))

    start_s = max(channel.gps_start_s for channel in resampled)
    end_s = min(channel.gps_end_s for channel in resampled)
    if end_s <= start_s:
        spans = (f"{c.name}: GPS {c.gps_start_s:.3f} to {c.gps_end_s:.3f}" for c in resampled)
        raise ChannelError("\n".join(["The channels have no time in common:", *spans]))
    longest_s = max(channel.gps_end_s - channel.gps_start_s for channel in resampled)
    if longest_s - (end_s - start_s) > _SILENT_LOSS_S:
        latest = max(resampled, key=lambda channel: channel.gps_start_s)
        first_out = min(resampled, key=lambda channel: channel.gps_end_s)
        warnings.warn(
            f"Of {longest_s:g} s, the channels have {end_s - start_s:g} s in common: {latest.name} begins at "
            f"GPS {start_s:.3f}, {first_out.name} ends at {end_s:.3f}. The rest is left out.",
            stacklevel=2,
        )
    rows = []
    for channel in resampled:
        offset = (start_s - channel.gps_start_s) * sample_rate_hz
        first = round(offset)
        if abs(offset - first) > _MAX_OFFSET_SAMPLES:
            faults.append(
                f"{channel.name}: starts {abs(offset - first):.3g} of a sample off the common clock (GPS "
                f"{channel.gps_start_s:.9f} against {start_s:.9f} at {sample_rate_hz:g} Hz). Cut the "
                "channels so that they start on the same sample."
            )
        rows.append(channel.values[first:])
    if faults:
        raise ChannelError("\n".join(["These channels cannot be used as they are:", *faults]))
    samples = min(len(row) for row in rows)
    return AlignedChannels(
        names=tuple(channel.name for channel in channels),
        values=np.stack([row[:samples] for row in rows]),
        sample_rate_hz=sample_rate_hz,
        gps_start_s=start_s,
        bandwidth_hz=tuple(min(c.sample_rate_hz, sample_rate_hz) / 2 for c in channels),
        units=tuple(channel.unit for channel in channels),
    )


def find_faults(channels: Sequence[Channel]) -> list[str]:
    """Name every channel that is empty, constant, not finite somewhere, or a copy of another.

    Args:
        channels: channels as read.

    >>> dead = Channel(name="V1:DEAD", values=np.ones(8), sample_rate_hz=4.0, gps_start_s=0.0)
    >>> find_faults([dead])
    ['V1:DEAD: constant (1) over all its 8 samples. Leave it out.']
    """
    faults = []
    seen: dict[bytes, str] = {}
    for channel in channels:
        values = channel.values
        bad = np.flatnonzero(~np.isfinite(values))
        if len(values) == 0:
            faults.append(f"{channel.name}: has no samples.")
        elif len(bad):
            at_s = channel.gps_start_s + bad[0] / channel.sample_rate_hz
            faults.append(
                f"{channel.name}: {len(bad)} of {len(values)} samples are NaN or infinite, the first at GPS "
                f"{at_s:.6f}. Choose a time without them."
            )
        elif np.ptp(values) == 0:
            faults.append(
                f"{channel.name}: constant ({values[0]:g}) over all its {len(values)} samples. Leave it out."
            )
        else:
            twin = seen.setdefault(hashlib.sha256(values.tobytes()).digest(), channel.name)
            if twin != channel.name:
                faults.append(f"{channel.name}: the same samples as {twin}. Leave one of them out.")
    return faults


def _resample(channel: Channel, sample_rate_hz: float) -> Channel:
    if channel.sample_rate_hz == sample_rate_hz or not np.isfinite(channel.values).all():
        return channel
    ratio = Fraction(sample_rate_hz / channel.sample_rate_hz).limit_denominator(_MAX_FACTOR)
    exact = ratio.numerator > 0 and abs(ratio * channel.sample_rate_hz / sample_rate_hz - 1) < 1e-9
    if not exact or ratio.numerator > _MAX_FACTOR:
        raise ChannelError(
            f"{channel.name}: {channel.sample_rate_hz:g} Hz and {sample_rate_hz:g} Hz have no ratio of whole "
            f"numbers up to {_MAX_FACTOR}. Choose a sample rate that fits, or resample the channel before."
        )
    signal = require("scipy.signal", extra="virgo")
    # Taking off the line between the ends keeps the filter from seeing a step at either end.
    values = signal.resample_poly(channel.values, ratio.numerator, ratio.denominator, padtype="line")
    return Channel(
        name=channel.name,
        values=values,
        sample_rate_hz=sample_rate_hz,
        gps_start_s=channel.gps_start_s,
        unit=channel.unit,
    )
