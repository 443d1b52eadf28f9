"""Time series in GWF frames, by way of lalframe: read frame by frame, written as one frame.

Reference:
    Specification of a common data frame format for interferometric gravitational wave detectors (IGWD),
    LIGO-T970130.
"""

# T samples

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.channel_pieces import BLOCK_SAMPLES, Channel, ChannelError, ChannelPiece

# What lalframe calls a type of samples, by lal's type code.
_TYPES = ("INT2", "INT4", "INT8", "UINT2", "UINT4", "UINT8", "REAL4", "REAL8")
_LAL_CODES = {"INT2": "I2", "INT4": "I4", "INT8": "I8", "UINT2": "U2", "UINT4": "U4", "UINT8": "U8"} | {
    "REAL4": "S",
    "REAL8": "D",
}
_KINDS = ("Adc", "Proc", "Sim")


@dataclass(frozen=True, kw_only=True)
class GwfPiece(ChannelPiece):
    """The values of a channel in one frame of a GWF file.

    Args:
        frame: number of the frame in the file.
    """

    frame: int

    def blocks(self, size: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        lalframe = require("lalframe", extra="gwf")
        source = _open(lalframe, self.path)
        kind = _kind_of_samples(lalframe, source, self.name, self.frame, self.path)
        read = getattr(lalframe, f"FrFileRead{kind}TimeSeries")
        values = np.asarray(read(source, self.name, self.frame).data.data, dtype=np.float64)
        for begin in range(0, len(values), size):
            yield values[begin : begin + size]


def read_gwf_pieces(path: str | Path, names: Iterable[str]) -> list[GwfPiece]:
    """Find channels in a file of frames, without reading their samples.

    Args:
        path: GWF file.
        names: names of channels; those that are not in the file are passed over.

    Returns:
        One piece a channel and frame.

    Raises:
        FileNotFoundError: there is no such file.
        ChannelError: it is no GWF file, or a channel is not of real numbers.
        MissingExtraError: lalsuite is not installed.
    """
    lalframe = require("lalframe", extra="gwf")
    file = Path(path)
    held = set(list_gwf_channels(file))
    wanted = [name for name in dict.fromkeys(names) if name in held]
    source = _open(lalframe, file)
    found = []
    for frame in range(lalframe.FrFileQueryNFrame(source)):
        for name in wanted:
            kind = _kind_of_samples(lalframe, source, name, frame, file)
            about = getattr(lalframe, f"FrFileRead{kind}TimeSeriesMetadata")(source, name, frame)
            found.append(
                GwfPiece(
                    name=name,
                    path=file,
                    sample_rate_hz=round(1.0 / about.deltaT, 9),
                    gps_start_s=float(about.epoch),
                    samples=lalframe.FrFileQueryChanVectorLength(source, name, frame),
                    unit=str(about.sampleUnits),
                    frame=frame,
                )
            )
    return found


def list_gwf_channels(path: str | Path) -> list[str]:
    """List the channels of a file of frames, in alphabetical order.

    Args:
        path: GWF file.
    """
    lalframe = require("lalframe", extra="gwf")
    file = Path(path)
    with _quiet(file):
        source = lalframe.FrameUFrFileOpen(str(file), "r")  # kept: the contents do not keep it open
        contents = lalframe.FrameUFrTOCRead(source)
    names: list[str] = []
    for kind in _KINDS:
        count = getattr(lalframe, f"FrameUFrTOCQuery{kind}N")(contents)
        names += [getattr(lalframe, f"FrameUFrTOCQuery{kind}Name")(contents, at) for at in range(count)]
    return sorted(names)


def write_gwf(path: str | Path, channels: Iterable[Channel]) -> None:
    """Write channels to a GWF file of one frame; the file appears whole or not at all.

    Args:
        path: the file; its folder is made, an older file is replaced.
        channels: of one time span; samples are written as float64.

    Raises:
        ChannelError: the channels do not cover the same seconds, or a unit is none that lal knows.
        MissingExtraError: lalsuite is not installed.
    """
    lal, lalframe = require("lal", extra="gwf"), require("lalframe", extra="gwf")
    path, series = Path(path), list(channels)
    first = series[0]
    for channel in series:
        if (channel.gps_start_s, channel.gps_end_s) != (first.gps_start_s, first.gps_end_s):
            raise ChannelError(
                f"One frame holds one span: {first.name} covers GPS {first.gps_start_s:.6f} to "
                f"{first.gps_end_s:.6f}, {channel.name} {channel.gps_start_s:.6f} to {channel.gps_end_s:.6f}."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    start = lal.LIGOTimeGPS(first.gps_start_s)
    # "Frame" and no detector's flag: the channel's prefix says whose it is.
    frame = lalframe.FrameNew(start, first.gps_end_s - first.gps_start_s, "lightning_itwin", 0, 0, 0)
    for channel in series:
        try:
            unit = lal.Unit(channel.unit)
        except RuntimeError as error:
            raise ChannelError(f"{channel.name}: GWF knows no unit {channel.unit!r}.") from error
        made = lal.CreateREAL8TimeSeries(
            channel.name, start, 0.0, 1.0 / channel.sample_rate_hz, unit, len(channel.values)
        )
        made.data.data = np.asarray(channel.values, dtype=np.float64)
        lalframe.FrameAddREAL8TimeSeriesProcData(frame, made)
    # The ending stays .gwf, and the folder the same, so that the last step is a rename.
    partial = path.with_name(f".{secrets.token_hex(4)}.partial.gwf")
    try:
        lalframe.FrameWrite(frame, str(partial))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _open(lalframe: Any, file: Path) -> Any:
    with _quiet(file):
        return lalframe.FrFileOpenURL(str(file))


def _kind_of_samples(lalframe: Any, source: Any, name: str, frame: int, file: Path) -> str:
    lal = require("lal", extra="gwf")
    code = lalframe.FrFileQueryChanType(source, name, frame)
    for kind in _TYPES:
        if code == getattr(lal, f"{_LAL_CODES[kind]}_TYPE_CODE"):
            return kind
    raise ChannelError(f"{name} in {file} is not a series of real numbers.")


class _quiet:
    """Turns lal's error into ours."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise FileNotFoundError(f"No such file: {file}")
        self._file = file

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RuntimeError):
            raise ChannelError(f"{self._file} cannot be read as GWF: {error}") from error
