"""Channels on one clock: one array, and the stretches of it in which every channel has data."""

# C channels, T samples, S segments

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from lightning_itwin.strain.alignment import Clock, common_clock, fill_row
from lightning_itwin.strain.channel_audit import RowAudit, audit_heads, refuse
from lightning_itwin.strain.channel_pieces import Channel, ChannelSeries, MemoryPiece
from lightning_itwin.strain.segments import intersection

_ALL = np.zeros((0, 2), dtype=np.int64)  # stands for all samples


@dataclass(frozen=True, kw_only=True)
class AlignedChannels:
    """Channels on one clock, the strain first.

    Args:
        names: names of the channels, (C,).
        values: samples, (C, T); float64, or a float32 memory map. Not finite only outside the segments.
        sample_rate_hz: common sample rate.
        gps_start_s: GPS time of the first sample.
        bandwidth_hz: frequency up to which each channel carries anything, (C,): the lower of its own Nyquist
            frequency and the common one.
        units: units of the samples, (C,).
        own_rate_hz: rate of each channel in its files, (C,); the common one if not given.
        segments: ranges of samples that may be used, rising, int64 (S, 2); all samples if not given.
        notes: what was found in the channels and put right, a sentence each.
        warnings: those of the notes that are worth a warning.
    """

    names: tuple[str, ...]
    values: np.ndarray
    sample_rate_hz: float
    gps_start_s: float
    bandwidth_hz: tuple[float, ...]
    units: tuple[str, ...]
    own_rate_hz: tuple[float, ...] = ()
    segments: np.ndarray = field(default_factory=lambda: _ALL)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.segments is _ALL:
            object.__setattr__(self, "segments", np.array([[0, self.values.shape[1]]], dtype=np.int64))
        if not self.own_rate_hz:
            object.__setattr__(self, "own_rate_hz", (self.sample_rate_hz,) * len(self.names))

    @property
    def duration_s(self) -> float:
        """Length of the common span in seconds, gaps included."""
        return self.values.shape[1] / self.sample_rate_hz

    @property
    def clock(self) -> Clock:
        """Times of the samples."""
        return Clock(
            gps_start_s=self.gps_start_s,
            sample_rate_hz=self.sample_rate_hz,
            samples=self.values.shape[1],
        )


def align_channels(channels: Sequence[Channel], sample_rate_hz: float) -> AlignedChannels:
    """Check channels in memory, bring them to one sample rate and cut them to the time that all cover.

    Rates are changed by a polyphase filter of zero phase, so that a sample keeps its GPS time. What can be
    put right is, with one warning that says what; data that are not finite become gaps between segments.

    Args:
        channels: at least one channel, the strain first.
        sample_rate_hz: common sample rate, > 0.

    Raises:
        ChannelError: a channel is empty, constant, nowhere finite or given twice under any name, the strain
            has a unit, a rate has no ratio of whole numbers, or there is no common time. All faults that are
            found are named in one message.
    """
    series = [ChannelSeries(pieces=(MemoryPiece.of(channel),)) for channel in channels]
    findings = audit_heads(series, sample_rate_hz)
    refuse(findings)
    clock, lost = common_clock(series, sample_rate_hz)
    findings += lost
    values = np.empty((len(series), clock.samples))
    audit, runs = RowAudit(), []
    for number, (one, row) in enumerate(zip(series, values)):
        facts = fill_row(one, clock, row, is_strain=number == 0)
        findings += audit.look(one, facts, is_strain=number == 0)
        runs.append(facts.runs)
    refuse(findings)
    told = [finding.text for finding in findings if finding.loud]
    if told:
        warnings.warn("\n".join(told), stacklevel=2)
    return AlignedChannels(
        names=tuple(one.name for one in series),
        values=values,
        sample_rate_hz=sample_rate_hz,
        gps_start_s=clock.gps_start_s,
        bandwidth_hz=tuple(min(one.sample_rate_hz, sample_rate_hz) / 2 for one in series),
        units=tuple(one.unit for one in series),
        segments=reduce(intersection, runs),
        own_rate_hz=tuple(one.sample_rate_hz for one in series),
        notes=tuple(finding.text for finding in findings),
        warnings=tuple(told),
    )
