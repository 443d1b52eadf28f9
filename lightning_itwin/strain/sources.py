"""Channels by name, from whatever files hold them: GWF frames or HDF5, one file or many."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightning_itwin.strain.channel_pieces import ChannelError, ChannelPiece, ChannelSeries
from lightning_itwin.strain.gwf_channels import list_gwf_channels, read_gwf_pieces
from lightning_itwin.strain.hdf5_channels import list_channels, read_pieces

_GWF = (".gwf",)
_HDF5 = (".h5", ".hdf5", ".hdf")
_NAMES_TOLD = 12


def find_files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Give files by path, pattern or folder, in the order given; those of a pattern or folder by name.

    Args:
        paths: a file, a pattern such as ``"frames/V-*.gwf"``, or a folder (all GWF and HDF5 files in it); or
            several.

    Raises:
        FileNotFoundError: nothing is there.
    """
    found: list[Path] = []
    for given in [paths] if isinstance(paths, str | Path) else list(paths):
        path = Path(given)
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in _GWF + _HDF5)
            if not inside:
                raise FileNotFoundError(f"No file ending in {', '.join(_GWF + _HDF5)} in the folder {path}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            matching = sorted(Path(one) for one in glob.glob(str(given), recursive=True))
            if not matching:
                is_pattern = any(sign in str(given) for sign in "*?[")
                raise FileNotFoundError(f"No {'file matches' if is_pattern else 'such file:'} {given}")
            found += matching
    return list(dict.fromkeys(found))


def find_channels(
    paths: str | Path | Iterable[str | Path], names: Sequence[str]
) -> tuple[dict[str, ChannelSeries], list[str]]:
    """Find channels in files, without reading their samples.

    Args:
        paths: see :func:`find_files`; a channel may lie in one file, in several that follow each other, or
            in a file of its own.
        names: names of the channels.

    Returns:
        The channels found by name, in the order of ``names``; and one sentence for each that is missing or
        whose pieces do not fit.

    Raises:
        FileNotFoundError: nothing is there.
        ChannelError: a file cannot be read, or a channel in it tells no sample rate or GPS start.
        MissingExtraError: a package that reads the files is not installed.
    """
    files = find_files(paths)
    pieces: dict[str, list[ChannelPiece]] = {name: [] for name in names}
    for file in files:
        for piece in read_gwf_pieces(file, names) if _is_gwf(file) else read_pieces(file, names):
            if piece.samples:
                pieces[piece.name].append(piece)
    faults: list[str] = []
    found: dict[str, ChannelSeries] = {}
    missing = [name for name, there in pieces.items() if not there]
    held = sorted({name for file in files for name in names_in(file)}) if missing else []
    for name, there in pieces.items():
        if not there:
            faults.append(_missing(name, held, files))
            continue
        try:
            found[name] = ChannelSeries.of(there)
        except ChannelError as error:
            faults.append(str(error))
    return found, faults


def names_in(file: str | Path) -> list[str]:
    """List the channels of a file, GWF or HDF5, in alphabetical order.

    Args:
        file: the file.
    """
    return list_gwf_channels(file) if _is_gwf(Path(file)) else list_channels(file)


def _is_gwf(file: Path) -> bool:
    return file.suffix.lower() in _GWF


def _missing(name: str, held: list[str], files: Sequence[Path]) -> str:
    where = f"{files[0]}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    near = difflib.get_close_matches(name, held, n=3)
    if near:
        return f"{name}: not in {where}. Did you mean {' or '.join(near)}?"
    told = ", ".join(held[:_NAMES_TOLD]) + (
        f" and {len(held) - _NAMES_TOLD} more" if len(held) > _NAMES_TOLD else ""
    )
    return f"{name}: not in {where}. Channels there: {told or 'none with a sample rate'}."
