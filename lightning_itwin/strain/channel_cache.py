"""Channels read once from their files, and kept as a float32 memory map on one clock."""

# C channels, T samples, S segments

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.alignment import common_clock, fill_row
from lightning_itwin.strain.channel_audit import Finding, RowAudit, audit_heads, refuse
from lightning_itwin.strain.channel_list import ListedChannel
from lightning_itwin.strain.channel_pieces import ChannelError, ChannelSeries
from lightning_itwin.strain.segments import intersection
from lightning_itwin.strain.sources import find_channels, find_files

_FORMAT = 1  # goes up when the same files give other samples
_VALUES, _ABOUT = "channels.f32", "about.json"


class ChannelCache:
    """A folder of memory maps, one for each set of files, channels and rate.

    A map is made once, by the first process that asks for it; others that ask at the same time wait. It
    appears whole or not at all. Files that have changed give another map.

    Args:
        folder: of the maps; made when the first is.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def open(
        self,
        paths: str | Path | Iterable[str | Path],
        channels: Sequence[ListedChannel],
        sample_rate_hz: float,
        leave_out: bool = False,
    ) -> AlignedChannels:
        """Open the map of some channels; make it if it is not there.

        Args:
            paths: files, patterns or folders, see :func:`lightning_itwin.strain.sources.find_files`.
            channels: the strain first, then at least one witness.
            sample_rate_hz: of the map.
            leave_out: leaves out witnesses that cannot be used, with a word, where they would be refused.

        Raises:
            FileNotFoundError: a file is not there.
            ChannelError: channels cannot be used; the message names every fault that was found.
        """
        files = find_files(paths)
        made = self.folder / _key(files, channels, sample_rate_hz, leave_out)
        if not (made / _ABOUT).is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            with _alone(self.folder):
                if not (made / _ABOUT).is_file():
                    self._make(made, files, channels, sample_rate_hz, leave_out)
        return _opened(made)

    def _make(
        self,
        made: Path,
        files: Sequence[Path],
        channels: Sequence[ListedChannel],
        sample_rate_hz: float,
        leave_out: bool,
    ) -> None:
        for left in self.folder.glob(f".{made.name}.*.partial"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial = self.folder / f".{made.name}.{secrets.token_hex(4)}.partial"
        partial.mkdir()
        try:
            about = _Reading(channels, sample_rate_hz, leave_out).write(files, partial / _VALUES)
            (partial / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
            try:
                os.rename(partial, made)
            except OSError:
                if not (made / _ABOUT).is_file():  # no other process was faster
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


class _Reading:
    """Reads channels, and writes the rows that can be used."""

    def __init__(self, channels: Sequence[ListedChannel], sample_rate_hz: float, leave_out: bool) -> None:
        self._listed = {channel.name: channel for channel in channels}
        self._names = [channel.name for channel in channels]
        self._rate_hz = sample_rate_hz
        self._leave_out = leave_out
        self._findings: list[Finding] = []

    def write(self, files: Sequence[Path], path: Path) -> dict[str, Any]:
        """Write the map and give what is to be known of it."""
        series = self._heads(files)
        clock, lost = common_clock(series, self._rate_hz)
        self._findings += lost
        audit = RowAudit()
        kept: list[ChannelSeries] = []
        runs: list[np.ndarray] = []
        row_bytes = 4 * clock.samples
        path.touch()
        for one in series:
            os.truncate(path, (len(kept) + 1) * row_bytes)
            row = np.memmap(
                path, dtype=np.float32, mode="r+", offset=len(kept) * row_bytes, shape=(clock.samples,)
            )
            is_strain = one is series[0]
            facts = fill_row(one, clock, row, is_strain=is_strain)
            row.flush()
            found = audit.look(one, facts, is_strain=is_strain)
            if self._take(found, is_strain):
                kept.append(one)
                runs.append(facts.runs)
        os.truncate(path, len(kept) * row_bytes)
        refuse(self._findings)
        if len(kept) < 2:
            refuse([Finding(channel="", text="There is no witness that can be used.", refused=True)])
        return {
            "format": _FORMAT,
            "names": [one.name for one in kept],
            "units": [one.unit for one in kept],
            "bandwidth_hz": [min(one.sample_rate_hz, self._rate_hz) / 2 for one in kept],
            "own_rate_hz": [one.sample_rate_hz for one in kept],
            "sample_rate_hz": self._rate_hz,
            "gps_start_s": clock.gps_start_s,
            "samples": clock.samples,
            "segments": reduce(intersection, runs).tolist(),
            "notes": [[finding.text, finding.loud] for finding in self._findings],
            "files": [str(file) for file in files],
        }

    def _heads(self, files: Sequence[Path]) -> list[ChannelSeries]:
        found, faults = find_channels(files, self._names)
        missing = [name for name in self._names if name not in found]
        told = [Finding(channel=name, text=fault, refused=True) for name, fault in zip(missing, faults)]
        refused = {finding.channel for finding in told}
        if self._names[0] in found:
            told += audit_heads(list(found.values()), self._rate_hz, self._listed)
        self._take(told, self._names[0] in missing)
        strain = self._names[0]
        if any(finding.refused and finding.channel == strain for finding in told) or not self._leave_out:
            refuse(told)
        refused |= {finding.channel for finding in told if finding.refused}
        return [one for name, one in found.items() if name not in refused]

    def _take(self, findings: Sequence[Finding], is_strain: bool) -> bool:
        """Note findings; say whether a channel can be used."""
        refused = False
        for finding in findings:
            refused |= finding.refused
            if finding.refused and self._leave_out and not is_strain:
                text = finding.text.replace(" Leave it out.", "").replace(" Leave one of them out.", "")
                finding = Finding(channel=finding.channel, text=f"{text} The channel is left out.")
            self._findings.append(finding)
        return not refused


def _opened(made: Path) -> AlignedChannels:
    about = json.loads((made / _ABOUT).read_text(encoding="utf-8"))
    shape = (len(about["names"]), about["samples"])
    size = (made / _VALUES).stat().st_size
    if about["format"] != _FORMAT or size != 4 * shape[0] * shape[1]:
        raise ChannelError(f"{made} is damaged: {size} bytes for {shape} samples. Remove the folder.")
    return AlignedChannels(
        names=tuple(about["names"]),
        values=np.memmap(made / _VALUES, dtype=np.float32, mode="r", shape=shape),
        sample_rate_hz=about["sample_rate_hz"],
        gps_start_s=about["gps_start_s"],
        bandwidth_hz=tuple(about["bandwidth_hz"]),
        own_rate_hz=tuple(about["own_rate_hz"]),
        units=tuple(about["units"]),
        segments=np.array(about["segments"], dtype=np.int64).reshape(-1, 2),
        notes=tuple(text for text, _ in about["notes"]),
        warnings=tuple(text for text, loud in about["notes"] if loud),
    )


def _key(
    files: Sequence[Path], channels: Sequence[ListedChannel], sample_rate_hz: float, leave_out: bool
) -> str:
    told: list[Any] = [_FORMAT, sample_rate_hz, leave_out]
    told.append([[one.name, one.sample_rate_hz, one.unit] for one in channels])
    for file in files:
        state = file.stat()
        told.append([str(file.resolve()), state.st_size, state.st_mtime_ns])
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time in; on a file system without locks, each of them."""
    with (folder / ".lock").open("a") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
