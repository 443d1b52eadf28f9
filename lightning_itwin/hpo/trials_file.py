"""``trials.csv``: one line a row of the study."""

from __future__ import annotations

import csv
import datetime
import io
from pathlib import Path
from typing import Any

from lightning_itwin.hpo.study_reading import StudyRecord, StudyRow
from lightning_itwin.records.manifest import write_text

TRIALS = "trials.csv"
_COLUMNS = (
    "number",
    "configuration",
    "baseline",
    "state",
    "value",
    "best_epoch",
    "improvement_percent",
    "from_epoch",
    "epochs",
    "until_epoch",
    "resume_from",
    "retry_of",
    "started",
    "ended",
    "wall_s",
    "driver",
    "reason",
)


def trials_csv(study: StudyRecord) -> str:
    """Give the rows as CSV: what each was, how it ended, then its hyperparameters."""
    keys = sorted({key for row in study.rows for key in row.params})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *keys])
    for row in study.rows:
        values = {**vars(row), **_derived(study, row)}
        cells = [values[column] for column in _COLUMNS] + [row.params.get(key) for key in keys]
        writer.writerow("" if cell is None else cell for cell in cells)
    return text.getvalue()


def write_trials(study: StudyRecord, folder: Path) -> Path:
    """Write ``trials.csv`` into the study's folder."""
    path = folder / TRIALS
    write_text(path, trials_csv(study))
    return path


def _derived(study: StudyRecord, row: StudyRow) -> dict[str, Any]:
    baseline = study.baseline
    gain = study.improvement_percent(row.value, baseline.value if baseline else None)
    return {
        "improvement_percent": None if gain is None else round(gain, 3),
        "started": _text(row.started_unix_s),
        "ended": _text(row.ended_unix_s),
    }


def _text(unix_s: float | None) -> str | None:
    return (
        None if unix_s is None else datetime.datetime.fromtimestamp(unix_s).isoformat(timespec="milliseconds")
    )
