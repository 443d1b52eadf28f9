"""Time series in HDF5: one dataset a channel, with its sample rate and GPS start beside it."""

# T samples

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.optional import require
from lightning_itwin.strain.channel_pieces import (
    BLOCK_SAMPLES,
    GPS_TOLERANCE_S,
    Channel,
    ChannelError,
    ChannelPiece,
)

__all__ = [
    "Channel",
    "ChannelError",
    "Hdf5Piece",
    "list_channels",
    "new_hdf5",
    "open_hdf5",
    "read_attribute",
    "read_channels",
    "read_pieces",
    "write_channels",
]

# What a dataset's attributes may be called: plain words, gwpy's and DeepClean's dx and x0, GWOSC's Xspacing
# and Xstart.
_RATE_HZ = ("sample_rate_hz", "sample_rate")
_SPACING_S = ("dx", "Xspacing")
_GPS_START_S = ("gps_start_s", "x0", "Xstart", "t0", "epoch")
_UNIT = ("unit", "units", "Yunits")


@dataclass(frozen=True, kw_only=True)
class Hdf5Piece(ChannelPiece):
    """A dataset of an HDF5 file.

    Args:
        dataset: its path in the file.
    """

    dataset: str

    def blocks(self, size: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        with open_hdf5(self.path) as h5:
            values = h5[self.dataset]
            chunk = values.chunks[0] if values.chunks else 1
            step = max(1, size // chunk) * chunk  # no chunk is read and unpacked twice
            for begin in range(0, self.samples, step):
                yield values[begin : begin + step].astype(np.float64)


def read_channels(paths: str | Path | Iterable[str | Path], names: Sequence[str]) -> list[Channel]:
    """Read channels by name from one file, or from several that each hold some channels or some seconds.

    A channel found in several files is joined in time.

    Args:
        paths: HDF5 file or files.
        names: names of the datasets, such as ``"strain/Strain"`` in a file of GWOSC.

    Returns:
        The channels in the order of ``names``, samples as float64.

    Raises:
        FileNotFoundError: a file is not there.
        ChannelError: a channel is in no file, has no sample rate or GPS start, is not one-dimensional, or
            its files leave a gap or overlap.
    """
    files = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
    pieces: dict[str, list[Channel]] = {name: [] for name in names}
    for file in files:
        for piece in read_pieces(file, names):
            pieces[piece.name].append(_in_memory(piece))
    missing = [name for name, found in pieces.items() if not found]
    if missing:
        held = sorted({name for file in files for name in list_channels(file)})
        raise ChannelError(
            f"Not in {', '.join(map(str, files))}: {', '.join(missing)}. "
            f"Channels there: {', '.join(held) or 'none with a sample rate'}."
        )
    return [_join(found) for found in pieces.values()]


def read_pieces(path: str | Path, names: Iterable[str]) -> list[Hdf5Piece]:
    """Find channels in a file, without reading their samples.

    Args:
        path: HDF5 file.
        names: names of datasets; those that are not in the file are passed over.

    Raises:
        FileNotFoundError: there is no such file.
        ChannelError: a dataset is not one-dimensional, not of numbers, or tells no sample rate or GPS start.
    """
    file = Path(path)
    with open_hdf5(file) as h5:
        return [_piece(h5, name, file) for name in dict.fromkeys(names) if name in h5]


def list_channels(path: str | Path) -> list[str]:
    """List the one-dimensional datasets of a file that tell a sample rate, in alphabetical order.

    Args:
        path: HDF5 file.
    """
    h5py = require("h5py", extra="virgo")
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 1 and _rate_hz(item.attrs):
            names.append(name)

    with open_hdf5(Path(path)) as h5:
        h5.visititems(visit)
    return names


def read_attribute(path: str | Path, name: str) -> str | None:
    """Read a text attribute of the file itself; None where there is no such attribute.

    Args:
        path: HDF5 file.
        name: name of the attribute.
    """
    with open_hdf5(Path(path)) as h5:
        return None if name not in h5.attrs else _text(h5.attrs[name])


def write_channels(
    path: str | Path,
    channels: Iterable[Channel],
    attributes: Mapping[str, str] | None = None,
    tables: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write channels to an HDF5 file that this package and gwpy read; the file appears whole or not at all.

    Args:
        path: the file; its folder is made, an older file is replaced.
        channels: channels to write, one dataset each.
        attributes: text attributes of the file itself.
        tables: other datasets, which are no series, by their path in the file.
    """
    with new_hdf5(path, attributes) as h5:
        for channel in channels:
            dataset = h5.create_dataset(channel.name, data=channel.values)
            # gwpy's names and no others: it hands every attribute to its TimeSeries.
            dataset.attrs.update(
                name=channel.name,
                unit=channel.unit,
                x0=channel.gps_start_s,
                dx=1.0 / channel.sample_rate_hz,
                xunit="s",
            )
        for table, values in (tables or {}).items():
            h5.create_dataset(table, data=values)


@contextlib.contextmanager
def new_hdf5(path: str | Path, attributes: Mapping[str, str] | None = None) -> Iterator[Any]:
    """Open a new HDF5 file to write; it appears whole or not at all.

    Args:
        path: the file; its folder is made, an older file is replaced.
        attributes: text attributes of the file itself.
    """
    h5py = require("h5py", extra="virgo")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that the last step is a rename; a name of its own, so that two do not collide.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with h5py.File(partial, "w") as h5:
            h5.attrs.update(attributes or {})
            yield h5
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def open_hdf5(path: Path, extra: str = "virgo") -> Any:
    """Open an HDF5 file to read.

    Args:
        path: the file.
        extra: that brings h5py.

    Raises:
        FileNotFoundError: there is no such file.
        ChannelError: it is no HDF5 file.
    """
    h5py = require("h5py", extra=extra)
    if not path.is_file():
        raise FileNotFoundError(f"No such file: {path}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ChannelError(f"{path} cannot be read as HDF5: {error}") from error


def _piece(h5: Any, name: str, file: Path) -> Hdf5Piece:
    dataset = h5[name]
    if getattr(dataset, "ndim", None) != 1 or dataset.dtype.kind not in "iuf":
        raise ChannelError(f"{name} in {file} is not a one-dimensional dataset of numbers.")
    rate_hz = _rate_hz(dataset.attrs)
    if rate_hz is None:
        raise ChannelError(
            f"{name} in {file} tells no sample rate. Give the dataset one of the attributes "
            f"{', '.join(_RATE_HZ)} (in Hz) or {', '.join(_SPACING_S)} (in s)."
        )
    start_s = _number(dataset.attrs, _GPS_START_S)
    if start_s is None and "meta/GPSstart" in h5:
        start_s = float(h5["meta/GPSstart"][()])
    if start_s is None:
        raise ChannelError(
            f"{name} in {file} tells no GPS start. Give the dataset one of the attributes "
            f"{', '.join(_GPS_START_S)}, in GPS seconds."
        )
    return Hdf5Piece(
        name=name,
        path=file,
        sample_rate_hz=rate_hz,
        gps_start_s=start_s,
        samples=len(dataset),
        unit=_text(_first(dataset.attrs, _UNIT) or ""),
        dataset=name,
    )


def _in_memory(piece: ChannelPiece) -> Channel:
    return Channel(
        name=piece.name,
        values=np.concatenate([np.zeros(0), *piece.blocks()]),
        sample_rate_hz=piece.sample_rate_hz,
        gps_start_s=piece.gps_start_s,
        unit=piece.unit,
    )


def _rate_hz(attributes: Mapping[str, Any]) -> float | None:
    rate_hz = _number(attributes, _RATE_HZ)
    spacing_s = _number(attributes, _SPACING_S)
    if rate_hz is None and spacing_s:
        rate_hz = round(1.0 / spacing_s, 9)  # 1 / 0.003 s is no whole number before rounding
    return rate_hz if rate_hz is not None and rate_hz > 0 else None


def _number(attributes: Mapping[str, Any], names: Iterable[str]) -> float | None:
    value = _first(attributes, names)
    try:
        # astropy writes a quantity as "4096.0 Hz"
        number = float(_text(np.ravel(value)[0]).split()[0])
    except (IndexError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _first(attributes: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((attributes[name] for name in names if name in attributes), None)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _join(pieces: list[Channel]) -> Channel:
    pieces = sorted(pieces, key=lambda piece: piece.gps_start_s)
    for before, after in itertools.pairwise(pieces):
        if before.sample_rate_hz != after.sample_rate_hz:
            raise ChannelError(
                f"{before.name} changes its sample rate between files, from {before.sample_rate_hz:g} to "
                f"{after.sample_rate_hz:g} Hz at GPS {after.gps_start_s:.6f}."
            )
        gap_s = after.gps_start_s - before.gps_end_s
        if abs(gap_s) > GPS_TOLERANCE_S:
            raise ChannelError(
                f"{before.name} has {'a gap' if gap_s > 0 else 'an overlap'} of {abs(gap_s):g} s between "
                f"files at GPS {before.gps_end_s:.6f}. Give files that follow each other."
            )
    return replace(pieces[0], values=np.concatenate([piece.values for piece in pieces]))
