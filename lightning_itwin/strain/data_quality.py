"""Data-quality and injection flags in files of GWOSC: bit masks, one number a second."""

# S segments

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.hdf5_channels import open_hdf5, read_pieces
from lightning_itwin.strain.segments import NONE, runs_of, union

# group, mask and names of the bits
_MASKS = (
    ("quality/simple", "DQmask", "DQShortnames"),
    ("quality/injections", "Injmask", "InjShortnames"),
)


def list_flags(path: str | Path) -> list[str]:
    """List the flags of a file of GWOSC, such as ``CBC_CAT1`` and ``NO_CBC_HW_INJ``; none in other files.

    Args:
        path: HDF5 file.
    """
    return [name for names, _, _ in _masks(Path(path)) for name in names]


# There are data, and nothing is known that makes them useless for a search.
USUAL_FLAGS = ("DATA", "CBC_CAT1")


def read_flags(paths: Sequence[str | Path], flags: Sequence[str] | None = None) -> np.ndarray | None:
    """Give the time in which all of some flags are set.

    Args:
        paths: HDF5 files; those without flags are passed over.
        flags: names of flags, see :func:`list_flags`. ``DATA``: there are data; ``CBC_CAT1``: they pass the
            basic checks; ``NO_CBC_HW_INJ``: no signal was injected into the hardware. The first two, where
            they are there, if not given.

    Returns:
        GPS seconds, float64 (S, 2); None where no file has flags.

    Raises:
        ChannelError: a file with flags does not have one of those that are asked for.

    Reference:
        https://gwosc.org/yellow_box/ and https://gwosc.org/archive/dataset/O1/: meaning of the bits.
    """
    found, any_flags = [NONE], False
    for path in map(Path, paths):
        masks = _masks(path)
        if not masks:
            continue
        any_flags = True
        there = [name for names, _, _ in masks for name in names]
        wanted = [flag for flag in USUAL_FLAGS if flag in there] if flags is None else list(flags)
        good: np.ndarray | None = None
        times: tuple[float, float] | None = None
        for names, mask, (start_s, step_s) in masks:
            bits = [names.index(flag) for flag in wanted if flag in names]
            wanted = [flag for flag in wanted if flag not in names]
            told = np.all([(mask >> bit) & 1 for bit in bits], axis=0) if bits else np.ones(len(mask), bool)
            good = told if good is None else good[: len(told)] & told[: len(good)]
            times = (start_s, step_s)
        if wanted:
            raise ChannelError(
                f"{path} has no flag {', '.join(wanted)}; its flags are {', '.join(list_flags(path))}."
            )
        if good is not None and times is not None:
            found.append(times[0] + times[1] * runs_of(good))
    return union(*found) if any_flags else None


def _masks(path: Path) -> list[tuple[list[str], np.ndarray, tuple[float, float]]]:
    if path.suffix.lower() == ".gwf":
        return []
    found = []
    with open_hdf5(path) as h5:
        for group, mask, names in _MASKS:
            if f"{group}/{mask}" not in h5 or f"{group}/{names}" not in h5:
                continue
            listed = [one.decode() if isinstance(one, bytes) else str(one) for one in h5[f"{group}/{names}"]]
            values = h5[f"{group}/{mask}"][()].astype(np.int64)
            try:
                (piece,) = read_pieces(path, [f"{group}/{mask}"])
                when = (piece.gps_start_s, 1.0 / piece.sample_rate_hz)
            except ChannelError:  # older files say nothing beside the mask: one number a second
                when = (float(h5["meta/GPSstart"][()]), 1.0)
            found.append((listed, values, when))
    return found
