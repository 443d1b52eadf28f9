"""Simulated data in files: one HDF5 file, a frame, or a file a channel."""

# S segments

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.strain.gwf_channels import write_gwf
from lightning_itwin.strain.hdf5_channels import Channel, write_channels
from lightning_itwin.strain.segments import write_segments, write_text
from lightning_itwin.strain.simulator.simulated_data import SimulatedData
from lightning_itwin.strain.simulator.transients import Event, Glitch, Injection

_TABLES: Mapping[str, type[Event]] = {"events/glitches": Glitch, "events/injections": Injection}
_FLAGS = ("DATA", "CBC_CAT1")
# lal knows SI units alone
_LAL_UNITS = {"um/s": "10^-6 m s^-1", "um": "10^-6 m", "urad": "", "Pa": "m^-1 kg s^-2"}
_LAL_UNITS |= {"V": "m^2 kg s^-3 A^-1"}


def write_simulated(path: str | Path, data: SimulatedData, parameters: Mapping[str, Any]) -> None:
    """Write simulated data.

    An HDF5 file holds the strain and the witnesses, the truth under ``truth/``, a dataset a column of the
    tables ``events/glitches`` and ``events/injections``, and, where anything is missing or flagged, the flags
    ``DATA`` and ``CBC_CAT1`` as files of GWOSC have them. Its attribute ``channels`` lists the channels, the
    strain first; ``simulator`` holds the parameters.

    Beside a frame ``NAME.gwf`` lie ``NAME_channels.txt``, a channel list, ``NAME_segments.txt``, the time
    that may be used, and ``NAME_truth.h5`` with all that is no channel. A folder holds a file a channel,
    named after it, the flags with the strain, and ``channels.txt``, ``segments.txt`` and ``truth.h5``.

    Args:
        path: ends in ``.h5``, ``.hdf5`` or ``.hdf``, or in ``.gwf``, or is a folder.
        data: what is written.
        parameters: of the simulator, for the record.

    Raises:
        ValueError: another ending.
        MissingExtraError: a frame is wanted and lalsuite is not installed.
    """
    path = Path(path)
    channels = (data.strain, *data.witnesses)
    names = [channel.name for channel in channels]
    attributes = {"channels": json.dumps(names), "simulator": json.dumps(dict(parameters))}
    tables, flags = _tables(data.events), _flags(data)
    if path.suffix.lower() in (".h5", ".hdf5", ".hdf"):
        write_channels(path, (*channels, *data.truth, *flags[0]), attributes, {**tables, **flags[1]})
        return
    if path.suffix.lower() == ".gwf":
        write_gwf(path, [replace(one, unit=_LAL_UNITS.get(one.unit, one.unit)) for one in channels])
        beside = path.with_name(f"{path.stem}_truth.h5")
        start = f"{path.stem}_"
    elif not path.suffix:
        path.mkdir(parents=True, exist_ok=True)
        for channel in channels:
            own = flags if channel is data.strain else ((), {})
            file = path / f"{channel.name.replace(':', '-').replace('/', '-')}.h5"
            write_channels(file, (channel, *own[0]), attributes, own[1])
        beside, start = path / "truth.h5", ""
    else:
        raise ValueError(f"{path} must end in .h5, .hdf5, .hdf or .gwf, or be a folder, without an ending.")
    write_channels(beside, (*data.truth, *flags[0]), attributes, {**tables, **flags[1]})
    write_text(beside.with_name(f"{start}channels.txt"), "".join(f"{name}\n" for name in names))
    write_segments(beside.with_name(f"{start}segments.txt"), data.good_s, "time that may be used")


def _tables(events: tuple[Event, ...]) -> dict[str, np.ndarray]:
    found = {}
    for table, kind in _TABLES.items():
        rows = [event for event in events if isinstance(event, kind)]
        for column in fields(kind) if rows else ():
            values = np.array([getattr(row, column.name) for row in rows])
            found[f"{table}/{column.name}"] = values.astype("S") if values.dtype.kind == "U" else values
    return found


def _flags(data: SimulatedData) -> tuple[tuple[Channel, ...], dict[str, np.ndarray]]:
    start_s, end_s = data.strain.gps_start_s, data.strain.gps_end_s
    whole = np.array([[start_s, end_s]])
    if np.array_equal(data.good_s, whole):
        return (), {}
    seconds_s = start_s + np.arange(int(np.ceil(end_s - start_s)))
    mask = sum(_inside(seconds_s, good, end_s) << bit for bit, good in enumerate((data.data_s, data.good_s)))
    flags = Channel(
        name="quality/simple/DQmask",
        values=np.asarray(mask, dtype=np.int32),
        sample_rate_hz=1.0,
        gps_start_s=start_s,
    )
    return (flags,), {"quality/simple/DQShortnames": np.array(_FLAGS, dtype="S")}


def _inside(seconds_s: np.ndarray, segments: np.ndarray, end_s: float) -> np.ndarray:
    """Tell which seconds lie in a segment whole, 0 or 1."""
    ends_s = np.minimum(seconds_s + 1, end_s)
    within = (seconds_s[:, None] >= segments[:, 0]) & (ends_s[:, None] <= segments[:, 1])
    return within.any(axis=1).astype(np.int64)
