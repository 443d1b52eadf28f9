"""JSON lines: one record a line, one file a rank.

A line is written with a single ``write`` to a file opened for appending, so that a killed process loses at most
the row that it was writing; the reader passes over a broken last line with a warning.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from lightning_itwin.records.schema import RECORD_TYPES, Record


class RecordWriter:
    """Appends records to one file.

    Args:
        path: the file; its folder is made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def write(self, record: Record) -> None:
        """Append one record as one line.

        A file that a killed process left without its last newline gets one first, so that the broken row
        stays alone on its line.
        """
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                os.write(self._descriptor, b"\n")
        os.write(self._descriptor, encode(record).encode() + b"\n")

    def close(self) -> None:
        """Close the file; a later ``write`` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


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
    if not isinstance(fields, dict) or fields.get("kind") not in RECORD_TYPES:
        raise ValueError(f"not a record of a known kind ({', '.join(RECORD_TYPES)}): {line[:80]!r}")
    record = RECORD_TYPES[fields["kind"]]
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
