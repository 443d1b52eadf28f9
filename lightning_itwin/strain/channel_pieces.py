"""A channel as it lies in files: pieces that are read block by block, in time order, perhaps with gaps."""

# T samples

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK_SAMPLES = 2**20
# A GPS time of 1.4e9 s is stored to 2.4e-7 s in double precision.
GPS_TOLERANCE_S = 1e-6


class ChannelError(ValueError):
    """A channel cannot be used as it is; the message names it, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One evenly sampled time series in memory.

    Args:
        name: name of the channel, such as ``"V1:Hrec_hoft_16384Hz"``.
        values: samples, (T,).
        sample_rate_hz: samples a second, > 0.
        gps_start_s: GPS time of the first sample.
        unit: unit of the samples.

    >>> Channel(name="V1:X", values=np.zeros(512), sample_rate_hz=256.0, gps_start_s=10.0).gps_end_s
    12.0
    """

    name: str
    values: np.ndarray
    sample_rate_hz: float
    gps_start_s: float
    unit: str = ""

    @property
    def gps_end_s(self) -> float:
        """GPS time of the first sample that is not in the series."""
        return self.gps_start_s + len(self.values) / self.sample_rate_hz


@dataclass(frozen=True, kw_only=True)
class ChannelPiece:
    """Evenly sampled values of one channel in one file; a subclass reads them.

    Args:
        name: of the channel.
        path: the file.
        sample_rate_hz: samples a second, > 0.
        gps_start_s: GPS time of the first sample.
        samples: number of samples.
        unit: unit of the samples.
    """

    name: str
    path: Path
    sample_rate_hz: float
    gps_start_s: float
    samples: int
    unit: str = ""

    @property
    def gps_end_s(self) -> float:
        """GPS time of the first sample that is not in the piece."""
        return self.gps_start_s + self.samples / self.sample_rate_hz

    def blocks(self, size: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        """Read the piece from its first sample to its last.

        Args:
            size: samples of a block, about.

        Returns:
            Blocks in time order, float64.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MemoryPiece(ChannelPiece):
    """A piece that is in memory already.

    Args:
        values: samples, (T,).
    """

    values: np.ndarray

    @classmethod
    def of(cls, channel: Channel) -> MemoryPiece:
        """Make a piece of a channel."""
        return cls(
            name=channel.name,
            path=Path("memory"),
            sample_rate_hz=channel.sample_rate_hz,
            gps_start_s=channel.gps_start_s,
            samples=len(channel.values),
            unit=channel.unit,
            values=channel.values,
        )

    def blocks(self, size: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        for begin in range(0, self.samples, size):
            yield np.asarray(self.values[begin : begin + size], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class ChannelSeries:
    """All pieces of one channel, in time order; pieces may leave gaps.

    Args:
        pieces: at least one; all have one name, sample rate and unit.
    """

    pieces: tuple[ChannelPiece, ...]

    @classmethod
    def of(cls, pieces: Iterable[ChannelPiece]) -> ChannelSeries:
        """Put pieces in order and check that they belong together.

        Args:
            pieces: of one channel, at least one, in any order.

        Raises:
            ChannelError: pieces change their rate or unit, or overlap.
        """
        ordered = tuple(sorted(pieces, key=lambda piece: piece.gps_start_s))
        for before, after in itertools.pairwise(ordered):
            if before.sample_rate_hz != after.sample_rate_hz:
                raise ChannelError(
                    f"{before.name} changes its sample rate between files, from {before.sample_rate_hz:g} to "
                    f"{after.sample_rate_hz:g} Hz at GPS {after.gps_start_s:.6f}."
                )
            if before.unit != after.unit:
                raise ChannelError(
                    f"{before.name} changes its unit between files, from {before.unit!r} to {after.unit!r} "
                    f"at GPS {after.gps_start_s:.6f}."
                )
            gap_s = after.gps_start_s - before.gps_end_s
            if gap_s < -GPS_TOLERANCE_S:
                raise ChannelError(
                    f"{before.name} has an overlap of {-gap_s:g} s between files at GPS "
                    f"{before.gps_end_s:.6f}, {before.path} and {after.path}. Give each second once."
                )
        return cls(pieces=ordered)

    @property
    def name(self) -> str:
        """Name of the channel."""
        return self.pieces[0].name

    @property
    def unit(self) -> str:
        """Unit of the samples."""
        return self.pieces[0].unit

    @property
    def sample_rate_hz(self) -> float:
        """Samples a second."""
        return self.pieces[0].sample_rate_hz

    @property
    def gps_start_s(self) -> float:
        """GPS time of the first sample."""
        return self.pieces[0].gps_start_s

    @property
    def gps_end_s(self) -> float:
        """GPS time after the last sample."""
        return self.pieces[-1].gps_end_s

    def runs(self) -> list[list[ChannelPiece]]:
        """Give the pieces by runs within which each begins where the one before it ends."""
        found: list[list[ChannelPiece]] = []
        for piece in self.pieces:
            if found and piece.gps_start_s - found[-1][-1].gps_end_s <= GPS_TOLERANCE_S:
                found[-1].append(piece)
            else:
                found.append([piece])
        return found
