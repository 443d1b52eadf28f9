"""Forecasts on their way into a file: records that any process writes in any order into a part of its own."""

# T days, N series, B records of a batch, W numbers of a record

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np


class ForecastParts:
    """A folder of parts; a record is one forecast of one series issued on one day.

    A part is a sparse file with a place for every record, and a file with a byte for every record that is
    there. Each process writes a part of its own, so nothing is locked and no two processes write to one page
    of a file; what a killed process has written stays.

    Args:
        folder: of the parts; made if needed.
        days: T.
        series: N.
        width: W.
        part: number of the part that this process writes.
    """

    def __init__(self, folder: Path, days: int, series: int, width: int, part: int) -> None:
        self.folder, self.days, self.series, self.width = folder, days, series, width
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / f"part-{part}"
        flags = os.O_RDWR | os.O_CREAT
        self._records: int | None = os.open(own.with_suffix(".records"), flags, 0o666)
        self._done = os.open(own.with_suffix(".done"), flags, 0o666)
        # what former runs have left; parts that others are writing now are of no concern before the end
        self._former = [os.open(path, os.O_RDONLY) for path in self._listed(".done") if path.stem != own.name]

    def done(self, series: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Say which records are there, bool (B,)."""
        place = day.astype(np.int64) * self.series + series
        found = np.zeros(len(place), dtype=bool)
        for descriptor in (self._done, *self._former):
            for span in _runs(place):
                told = np.frombuffer(os.pread(descriptor, len(span), int(place[span[0]])), dtype=np.uint8)
                found[span[: len(told)]] |= told.astype(bool)
        return found

    def add(self, series: np.ndarray, day: np.ndarray, values: np.ndarray) -> None:
        """Write records, (B, W) float32.

        Raises:
            OSError: the disk is full, or has gone.
            ValueError: the part is closed.
        """
        if self._records is None:
            raise ValueError("The forecast file is closed.")
        place = day.astype(np.int64) * self.series + series
        values = np.ascontiguousarray(values, dtype="<f4")
        for span in _runs(place):
            start = int(place[span[0]])
            _write(self._records, values[span].tobytes(), start * 4 * self.width)
            _write(self._done, b"\x01" * len(span), start)

    def close(self) -> None:
        """See the part onto the disk."""
        if self._records is None:
            return
        for descriptor in (self._records, self._done):
            os.fsync(descriptor)
        for descriptor in (self._records, self._done, *self._former):
            os.close(descriptor)
        self._records = None

    def days_with_records(self) -> np.ndarray:
        """Give the days on which any part has a record, rising, int64."""
        found = np.zeros(self.days, dtype=bool)
        for path in self._listed(".done"):
            with path.open("rb") as file:
                for day in range(self.days):
                    row = file.read(self.series)
                    if not row:
                        break
                    found[day] |= b"\x01" in row
        return np.flatnonzero(found)

    def day(self, day: int) -> np.ndarray:
        """Give the records of a day, (N, W) float32; NaN where there is none."""
        found = np.full((self.series, self.width), np.nan, dtype=np.float32)
        for path in self._listed(".done"):
            with path.open("rb") as file:
                file.seek(day * self.series)
                there = np.flatnonzero(np.frombuffer(file.read(self.series), dtype=np.uint8))
            if not there.size:
                continue
            first, count = int(there[0]), int(there[-1] - there[0] + 1)
            with path.with_suffix(".records").open("rb") as file:
                file.seek((day * self.series + first) * 4 * self.width)
                content = file.read(count * 4 * self.width)
            rows = np.frombuffer(content, dtype="<f4").reshape(-1, self.width)
            found[there] = rows[there - first]
        return found

    def _listed(self, suffix: str) -> list[Path]:
        return sorted(self.folder.glob(f"part-*{suffix}"))

    def __del__(self) -> None:
        if getattr(self, "_records", None) is not None:
            with contextlib.suppress(OSError):
                self.close()


def _runs(place: np.ndarray) -> list[np.ndarray]:
    """Give the indices of records whose places follow one another, run by run."""
    if not len(place):
        return []
    order = np.argsort(place, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(place[order]) != 1) + 1)


def _write(descriptor: int, content: bytes, offset: int) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], offset + written)
