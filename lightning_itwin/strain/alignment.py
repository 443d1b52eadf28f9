"""Channels of any rate and start brought onto the strain's clock, block by block."""

# C channels, T samples, R runs

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.strain.channel_audit import Finding, RowFacts
from lightning_itwin.strain.channel_pieces import ChannelError, ChannelSeries
from lightning_itwin.strain.resampling import Resampler
from lightning_itwin.strain.segments import runs_of

# A detector's strain does not stand still; filled-in data do.
_LONGEST_STILL_S = 0.25
_SILENT_LOSS_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Evenly spaced times.

    Args:
        gps_start_s: GPS time of the first sample.
        sample_rate_hz: samples a second.
        samples: number of samples.
    """

    gps_start_s: float
    sample_rate_hz: float
    samples: int

    @property
    def gps_end_s(self) -> float:
        """GPS time after the last sample."""
        return self.gps_start_s + self.samples / self.sample_rate_hz

    def gps_s(self, sample: int | np.ndarray) -> float | np.ndarray:
        """Give the GPS time of a sample."""
        return self.gps_start_s + sample / self.sample_rate_hz

    def within(self, segments_s: np.ndarray) -> np.ndarray:
        """Give the samples that lie wholly in segments of GPS seconds.

        Args:
            segments_s: float64 (S, 2).

        Returns:
            Ranges of samples, int64 (S, 2).
        """
        place = (np.asarray(segments_s, dtype=np.float64) - self.gps_start_s) * self.sample_rate_hz
        edges = np.stack([np.ceil(place[:, 0] - 1e-3), np.floor(place[:, 1] + 1e-3)], axis=1)
        edges = np.clip(edges, 0, self.samples).astype(np.int64)
        return edges[edges[:, 1] > edges[:, 0]]


def common_clock(series: Sequence[ChannelSeries], sample_rate_hz: float) -> tuple[Clock, list[Finding]]:
    """Give the clock over the time that all channels cover; its samples are among the strain's own times.

    Args:
        series: the strain first.
        sample_rate_hz: wanted rate.

    Returns:
        The clock, and what is lost, if that is more than a second.

    Raises:
        ChannelError: the channels have no time in common.
    """
    start_s = max(one.gps_start_s for one in series)
    end_s = min(one.gps_end_s for one in series)
    if end_s <= start_s:
        spans = (f"{one.name}: GPS {one.gps_start_s:.3f} to {one.gps_end_s:.3f}" for one in series)
        raise ChannelError("\n".join(["The channels have no time in common:", *spans]))
    strain_s = series[0].gps_start_s
    first = math.ceil((start_s - strain_s) * sample_rate_hz - 1e-3)
    clock_s = strain_s + first / sample_rate_hz
    samples = max(0, math.ceil((end_s - clock_s) * sample_rate_hz - 1e-3))
    clock = Clock(gps_start_s=clock_s, sample_rate_hz=sample_rate_hz, samples=samples)
    found = []
    longest_s = max(one.gps_end_s - one.gps_start_s for one in series)
    if longest_s - (end_s - start_s) > _SILENT_LOSS_S:
        latest = max(series, key=lambda one: one.gps_start_s)
        first_out = min(series, key=lambda one: one.gps_end_s)
        text = (
            f"Of {longest_s:g} s, the channels have {end_s - start_s:g} s in common: {latest.name} begins at "
            f"GPS {start_s:.3f}, {first_out.name} ends at {end_s:.3f}. The rest is left out."
        )
        found.append(Finding(channel="", text=text))
    return clock, found


def fill_row(series: ChannelSeries, clock: Clock, row: np.ndarray, is_strain: bool = False) -> RowFacts:
    """Read a channel once, and write it onto a clock; where there is nothing, NaN is written.

    Each run of finite samples is resampled by itself.

    Args:
        series: the channel.
        clock: the clock.
        row: (T,), float32 or float64; filled.
        is_strain: whether samples that stand still are gaps, too.

    Raises:
        ChannelError: the rates have no ratio of whole numbers, or a file ends before it should.
    """
    writer = _RunWriter(series, clock, row)
    sums = _Sums(series, round(_LONGEST_STILL_S * series.sample_rate_hz) if is_strain else 0)
    for pieces in series.runs():
        start_s, at = pieces[0].gps_start_s, 0
        for piece in pieces:
            there = 0
            for block in piece.blocks():
                good = sums.add(block, start_s + at / series.sample_rate_hz)
                last = 0
                for first, last in runs_of(good).tolist() if not good.all() else [(0, len(block))]:
                    if first > 0:
                        writer.end()
                    writer.push(block[first:last], start_s + (at + first) / series.sample_rate_hz)
                if last < len(block):
                    writer.end()
                at += len(block)
                there += len(block)
            if there != piece.samples:
                raise ChannelError(
                    f"{piece.name} in {piece.path} ends after {there} of {piece.samples} samples."
                )
        writer.end()
    return sums.facts(writer.runs)


class _RunWriter:
    """Resamples one run after the other into a row."""

    def __init__(self, series: ChannelSeries, clock: Clock, row: np.ndarray) -> None:
        self._series, self._clock, self._row = series, clock, row
        row[:] = np.nan
        self._found: list[tuple[int, int]] = []
        self._resampler: Resampler | None = None
        self._at = 0
        self._begin = 0
        self._pushed = 0

    @property
    def runs(self) -> np.ndarray:
        return np.array(self._found, dtype=np.int64).reshape(-1, 2)

    def push(self, block: np.ndarray, gps_s: float) -> None:
        """Go on with a run, or begin one at a GPS time."""
        if self._resampler is None:
            self._resampler = Resampler(
                self._series.name,
                self._series.sample_rate_hz,
                self._clock.sample_rate_hz,
                gps_s - self._clock.gps_start_s,
            )
            self._begin = self._at = self._resampler.first
            self._pushed = 0
        self._pushed += len(block)
        self._write(self._resampler.push(block))

    def end(self) -> None:
        if self._resampler is None:
            return
        resampler, self._resampler = self._resampler, None
        if self._pushed < resampler.shortest:
            return
        self._write(resampler.flush())
        first, last = max(self._begin, 0), min(self._at, self._clock.samples)
        if last > first:
            self._found.append((first, last))

    def _write(self, values: np.ndarray) -> None:
        first, last = max(self._at, 0), min(self._at + len(values), self._clock.samples)
        if last > first:
            self._row[first:last] = values[first - self._at : last - self._at]
        self._at += len(values)


class _Sums:
    """Gathers the facts of a channel, and says which samples are good."""

    def __init__(self, series: ChannelSeries, still: int) -> None:
        self._series, self._still = series, still
        self._hash = hashlib.blake2b(digest_size=16)
        self._samples = self._bad = self._stretches = 0
        self._first_bad_s: float | None = None
        self._last_bad = False
        self._lowest, self._highest = math.inf, -math.inf
        # sums of what is left after the first good sample is taken off, so that a large mean costs no digits
        self._origin: float | None = None
        self._sum = self._square = 0.0

    def add(self, block: np.ndarray, gps_s: float) -> np.ndarray:
        self._hash.update(np.ascontiguousarray(block).data)
        good = np.isfinite(block)
        if self._still and len(block) > self._still:
            # runs of equal neighbours, by the samples that they join
            for first, last in runs_of(np.diff(block) == 0):
                if last - first >= self._still:
                    good[first : last + 1] = False
        bad = ~good
        self._samples += len(block)
        if bad.any():
            if self._first_bad_s is None:
                self._first_bad_s = gps_s + int(bad.argmax()) / self._series.sample_rate_hz
            self._bad += int(bad.sum())
            self._stretches += len(runs_of(bad)) - int(self._last_bad and bad[0])
        self._last_bad = bool(bad[-1])
        values = block if good.all() else block[good]
        if len(values):
            self._origin = float(values[0]) if self._origin is None else self._origin
            self._lowest = min(self._lowest, float(values.min()))
            self._highest = max(self._highest, float(values.max()))
            centred = values - self._origin
            self._sum += float(centred.sum())
            self._square += float(np.dot(centred, centred))
        return good

    def facts(self, runs: np.ndarray) -> RowFacts:
        count = self._samples - self._bad
        mean = self._sum / count if count else math.nan
        variance = max(0.0, self._square / count - mean**2) if count else math.nan
        return RowFacts(
            samples=self._samples,
            bad=self._bad,
            bad_stretches=self._stretches,
            first_bad_gps_s=self._first_bad_s,
            lowest=self._lowest if count else math.nan,
            highest=self._highest if count else math.nan,
            mean=mean + (self._origin or 0.0),
            deviation=math.sqrt(variance) if count else math.nan,
            digest=self._hash.hexdigest(),
            runs=runs,
        )
