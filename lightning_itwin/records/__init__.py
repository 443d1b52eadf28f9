"""Records: typed rows and their files. The seam of the house; the standard library alone."""

from lightning_itwin.records.jsonl import RecordWriter, read_records
from lightning_itwin.records.manifest import RunManifest
from lightning_itwin.records.run_folder import Run, RunOutcome, find_runs, run_folders
from lightning_itwin.records.schema import (
    CarbonRecord,
    CommunicationRecord,
    EpochRecord,
    GPURecord,
    Record,
    WallTimeRecord,
)

__all__ = [
    "CarbonRecord",
    "CommunicationRecord",
    "EpochRecord",
    "GPURecord",
    "Record",
    "RecordWriter",
    "Run",
    "RunManifest",
    "RunOutcome",
    "WallTimeRecord",
    "find_runs",
    "read_records",
    "run_folders",
]
