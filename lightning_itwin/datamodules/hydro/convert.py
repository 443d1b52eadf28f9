"""Write series into the layout that trains fastest, with bounded memory; a stopped conversion goes on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from lightning_itwin.datamodules.hydro.cell_major import CellMajorFolder, is_converted
from lightning_itwin.datamodules.hydro.opened_files import find_files
from lightning_itwin.datamodules.hydro.source import CubeSource
from lightning_itwin.datamodules.hydro.variables import HydroVariables

_JOURNAL = "conversion.jsonl"
# A tile lies in memory as the file has it, decoded, and turned round.
_COPIES = 5


class ConversionError(ValueError):
    """A conversion cannot be written there; the message says why and what to do."""


def convert(
    source: CubeSource,
    out: str | Path,
    memory_mib: float = 1024.0,
    progress: Callable[[int, int], None] | None = None,
    made_from: dict[str, object] | None = None,
) -> Path:
    """Write a source into a folder; the folder appears whole or not at all.

    Until it is whole it is called ``OUT.partial``; a conversion that was stopped goes on with the next tile.

    Args:
        source: what to write.
        out: the folder, which must not be there.
        memory_mib: about how much memory to use.
        progress: told the values that are done, and of how many.
        made_from: what tells this conversion from others, see :func:`fingerprint`.

    Returns:
        The folder.

    Raises:
        ConversionError: there is something already, another conversion has begun there, or the disk is full.
    """
    out = Path(out)
    check_out(out)
    check_space(source, out)
    partial = out.with_name(out.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    tiles = list(source.tiles(int(memory_mib * 2**20 / _COPIES)))
    shape = (source.grid.series, source.grid.axis.size, source.columns.width)
    settings = {
        "shape": list(shape),
        "tiles": len(tiles),
        "columns": source.columns.names,
        **(made_from or {}),
    }
    with _alone(out):
        done = _resume(partial, settings)
        if done is None:
            if partial.exists():
                shutil.rmtree(partial)
            folder = CellMajorFolder.create(partial, source.columns, source.grid, source.statics)
            with (partial / _JOURNAL).open("w", encoding="utf-8") as file:
                file.write(json.dumps(settings) + "\n")
            done = set()
        else:
            chunk = min(shape[0], CellMajorFolder.chunk_series(*shape[1:]))
            folder = CellMajorFolder(partial, shape, chunk)
        with (partial / _JOURNAL).open("a", encoding="utf-8") as journal:
            for number, (series, first, end) in enumerate(tiles):
                if number not in done:
                    folder.write(series, first, end, source.read(series, first, end))
                    journal.write(f"\n{number}")
                    journal.flush()
                if progress is not None:
                    progress(number + 1, len(tiles))
        for written in folder.chunk_files:
            descriptor = os.open(written, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        (partial / _JOURNAL).unlink()
        os.rename(partial, out)
    return out


def check_out(out: Path) -> None:
    """Refuse a folder that is there.

    Raises:
        ConversionError: it is.
    """
    if out.exists():
        what = "is converted already" if is_converted(out) else "is there already"
        raise ConversionError(f"{out} {what}; choose another name, or delete it.")


def check_space(source: CubeSource, out: Path) -> None:
    """Refuse a disk that is too small.

    Raises:
        ConversionError: it is.
    """
    there = out.absolute().parent
    while not there.exists():
        there = there.parent
    partial = out.with_name(out.name + ".partial")
    written = sum(file.stat().st_blocks * 512 for file in partial.rglob("*") if file.is_file())
    needed, free = stored_bytes(source), shutil.disk_usage(there).free
    if needed - written > free:
        raise ConversionError(
            f"{out} takes {needed / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free there."
        )


def stored_bytes(source: CubeSource) -> int:
    """Give how many bytes a conversion takes."""
    return source.grid.series * source.grid.axis.size * source.columns.width * 4


def fingerprint(path: str | Sequence[str], variables: HydroVariables) -> dict[str, object]:
    """Give what tells one conversion from another: files, their sizes and times, names of variables."""
    files = [
        [str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns] for file in find_files(path)
    ]
    plain = json.loads(json.dumps(asdict(variables)))
    return {"files": files, "variables": plain}


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second conversion to the same folder out."""
    lock = out.with_name(out.name + ".lock")
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConversionError(f"Another process is converting to {out}; wait for it.") from error
        yield
        lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _resume(partial: Path, settings: dict[str, object]) -> set[int] | None:
    """Give the tiles that an earlier start has written, None where there is nothing to go on with."""
    journal = partial / _JOURNAL
    if not journal.is_file():
        return None
    lines = journal.read_text(encoding="utf-8").splitlines()
    try:
        before = json.loads(lines[0])
    except (IndexError, json.JSONDecodeError):
        return None
    if before != json.loads(json.dumps(settings)):
        raise ConversionError(
            f"{partial} holds the beginning of another conversion (files, variables or memory differ); "
            f"delete it to "
            f"begin anew."
        )
    return {int(line) for line in lines[1:] if line.strip().isdigit()}
