"""A folder of shards as one HDF5 file, for other people's programs."""

# N events

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lightning_itwin.datamodules.gw.shard_format import as_bytes
from lightning_itwin.datamodules.gw.shard_reader import ShardReader
from lightning_itwin.optional import require

_EVENTS_AT_ONCE = 64


def export_hdf5(
    folder: str | Path, path: str | Path, progress: Callable[[int, int], None] = lambda done, events: None
) -> None:
    """Write a folder of shards into one HDF5 file.

    Datasets: ``strain`` (N, D, T) float32 or ``signal`` (N, D, F) complex64, contiguous;
    ``parameters/<name>`` (N,) a parameter; ``psd_index`` and ``optimal_snr`` (N,). The attribute ``settings``
    holds the manifest's as JSON; detectors, sample rate and start stand beside the strain.

    Args:
        folder: the shards.
        path: the file; it appears whole or not at all.
        progress: called with the events that are written and all events.
    """
    h5py = require("h5py", extra="gw")
    reader = ShardReader(folder)
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    record = reader.manifest.record
    settings = reader.manifest.settings
    observation = settings["observation"]
    try:
        with h5py.File(partial, "w") as file:
            file.attrs["settings"] = json.dumps({**settings, "names": reader.manifest.names})
            for column, name in enumerate(reader.manifest.names):
                file[f"parameters/{name}"] = reader.theta[:, column]
            file["psd_index"] = reader.psd_index
            file["optimal_snr"] = reader.optimal_snr
            data = file.create_dataset(
                settings["content"], shape=(len(reader), *record.shape), dtype=record.dtype
            )
            data.attrs["whitened"] = True
            data.attrs["detectors"] = json.dumps(observation["detectors"])
            data.attrs["sample_rate_hz"] = observation["sample_rate_hz"]
            data.attrs["duration_s"] = observation["duration_s"]
            buffer = np.empty((_EVENTS_AT_ONCE, *record.shape), dtype=record.dtype)
            for begin in range(0, len(reader), _EVENTS_AT_ONCE):
                events = np.arange(begin, min(begin + _EVENTS_AT_ONCE, len(reader)))
                part = buffer[: len(events)]
                reader.read_into(events, as_bytes(part))
                data.write_direct(part, dest_sel=np.s_[begin : begin + len(events)])
                progress(begin + len(events), len(reader))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
