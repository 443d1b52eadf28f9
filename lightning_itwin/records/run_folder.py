"""The folder of one run: its manifest, one file of rows a rank, and how it ended.

::

    <run>/manifest.json     what it was (RunManifest)
    <run>/rank-0000.jsonl   the rows of rank 0, and so on
    <run>/outcome.json      how the launcher saw it end (RunOutcome); only in sweeps
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lightning_itwin.records.jsonl import read_records
from lightning_itwin.records.manifest import RunManifest, from_json, write_json
from lightning_itwin.records.schema import Record

MANIFEST = "manifest.json"
OUTCOME = "outcome.json"

AnyRecord = TypeVar("AnyRecord", bound=Record)


def rank_file(folder: Path, rank: int) -> Path:
    """Give the file of the rows of one rank.

    >>> rank_file(Path("run"), 3).as_posix()
    'run/rank-0003.jsonl'
    """
    return folder / f"rank-{rank:04d}.jsonl"


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a launcher saw one run of a sweep end.

    Args:
        strategy: strategy string.
        workers: number of workers that was asked for.
        repeat: number of the repeat, from 0.
        status: ``"ok"``, ``"failed"`` or ``"timeout"``.
        wall_s: from the start of the processes to their end.
        reason: why it failed, one line; empty for ``"ok"``.
        log: path of the log, relative to the sweep's folder.
        log_tail: the log's last lines, for a run that failed.
        started_unix_s: wall clock at the start of its processes.
    """

    strategy: str
    workers: int
    repeat: int
    status: str
    wall_s: float
    reason: str = ""
    log: str = ""
    log_tail: str = ""
    started_unix_s: float | None = None

    def write(self, folder: Path) -> None:
        """Write it into the run's folder."""
        write_json(folder / OUTCOME, dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, read back: its folder, manifest, outcome and rows.

    Args:
        folder: where it lies.
        manifest: None where the run died before it wrote one.
        outcome: None outside sweeps.
        records: the rows of all ranks.
    """

    folder: Path
    manifest: RunManifest | None
    outcome: RunOutcome | None
    records: tuple[Record, ...]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read one run's folder.

        Raises:
            ValueError: its manifest or outcome cannot be read.
        """
        manifest, outcome = folder / MANIFEST, folder / OUTCOME
        return cls(
            folder=folder,
            manifest=RunManifest.read(manifest) if manifest.exists() else None,
            outcome=from_json(RunOutcome, outcome) if outcome.exists() else None,
            records=tuple(
                record for path in sorted(folder.glob("rank-*.jsonl")) for record in read_records(path)
            ),
        )

    def of(self, kind: type[AnyRecord]) -> tuple[AnyRecord, ...]:
        """Give the rows of one type."""
        return tuple(record for record in self.records if isinstance(record, kind))


def run_folders(folder: Path) -> list[Path]:
    """Give the folder of every run at or below ``folder``, in order of path."""
    return sorted({path.parent for name in (MANIFEST, OUTCOME) for path in folder.rglob(name)})


def find_runs(folder: Path) -> Iterator[Run]:
    """Yield every run at or below ``folder``, in order of path."""
    for run in run_folders(folder):
        yield Run.read(run)
