"""JSON lines: one record a line, one file a rank.

A line is written with a single ``write`` to a file opened for appending, so that a killed process loses at
most the row that it was writing; the reader passes over a broken line with a warning.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from lightning_itwin.records.schema import RECORD_TYPES, Record


class RecordWriter:
    """Appends records to one file; threads may share it.

    Args:
        path: the file; its folder is made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._lock = threading.Lock()  # samplers write from threads of their own

    def write(self, record: Record) -> None:
        """Append one record as one line.

        A file that a killed process left without its last newline gets one first, so that the broken row
        stays alone on its line.

        Raises:
            OSError: the file cannot be written.
        """
        line = encode(record).encode() + b"\n"
        with self._lock:
            if self._descriptor is None:
                self._descriptor = self._open()
            try:
                while line:  # a disk that fills up may cut a write short
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                self._close()  # opening it again will part the next row from this half one
                raise

    def close(self) -> None:
        """Close the file; a later ``write`` opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
        return descriptor


def encode(record: Record) -> str:
    """Give the line of JSON of one record; NaN and infinities, which JSON lacks, become null."""
    fields = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(record).items()
    }
    return json.dumps({"kind": record.kind, **fields}, allow_nan=False)


def decode(line: str) -> Record:
    """Give the record of one line of JSON; fields of a newer version are passed over.

    Raises:
        ValueError: the line is no JSON object, of no known kind, or lacks a field.
    """
    fields = json.loads(line)
    record = RECORD_TYPES.get(str(fields.get("kind"))) if isinstance(fields, dict) else None
    if record is None:
        raise ValueError(f"not a record of a known kind ({', '.join(RECORD_TYPES)}): {line[:80]!r}")
    known = {field.name for field in dataclasses.fields(record)}
    try:
        return record(**{name: value for name, value in fields.items() if name in known})
    except TypeError as error:
        raise ValueError(f"incomplete {fields['kind']} record: {error}") from None


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of one file; a broken line is passed over with a warning that names it."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield decode(line)
            except ValueError as error:
                warnings.warn(f"{path}:{number}: row passed over: {error}", stacklevel=2)
