"""codecarbon's ``emissions.csv``, written by any tool that uses it: one row a run, or a node of one."""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lightning_itwin.reports.sustainability.run_energy import Place, RunEnergy

_NEEDED = frozenset({"timestamp", "project_name", "duration", "emissions", "energy_consumed"})
_TABLE = "as codecarbon computed it"

Warn = Callable[[str], None]


def is_emissions_file(path: Path) -> bool:
    """Tell whether a file is one of codecarbon's, by its first line."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            return frozenset(file.readline(10_000).strip().split(",")) >= _NEEDED
    except OSError:
        return False


def read_emissions_file(path: Path, warn: Warn) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a file that can be understood; the others are passed over with a warning.

    Args:
        path: the file.
        warn: takes a warning that names file and line.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = csv.DictReader(line.replace("\0", "") for line in file)
            while True:
                try:
                    row = next(rows, None)
                except csv.Error as error:
                    warn(f"{path}:{rows.line_num}: row passed over: {error}")
                    continue
                if row is None:
                    return
                if problem := _problem(row):
                    warn(f"{path}:{rows.line_num}: row passed over: {problem}")
                    continue
                yield row
    except OSError as error:
        warn(f"{path} was passed over: {error.strerror}")


def run_of(row: Mapping[str, str], name: str) -> RunEnergy:
    """Give the run of a row that :func:`read_emissions_file` gave.

    Args:
        row: value by column.
        name: of the run.
    """
    ended = _time(row["timestamp"])
    duration = _number(row["duration"]) or 0.0
    return RunEnergy(
        name=name,
        project=row.get("project_name") or "codecarbon",
        started_unix_s=ended - duration,
        ended_unix_s=ended,
        duration_s=duration,
        energy_kwh=_number(row["energy_consumed"]) or 0.0,
        emissions_kg=_number(row["emissions"]),
        place=place_of(row, _TABLE),
    )


def place_of(row: Mapping[str, str], grid_source: str) -> Place:
    """Give where a row says that its machine stands."""
    cloud = " ".join(
        part for part in (row.get("cloud_provider"), row.get("cloud_region")) if part and part != "nan"
    )
    return Place(
        country_iso_code=(row.get("country_iso_code") or "").upper(),
        country=row.get("country_name") or "",
        region=(row.get("region") or "").title(),
        cloud=cloud,
        grid_source=grid_source,
    )


def _problem(row: Mapping[str, str | None]) -> str:
    missing = [name for name in sorted(_NEEDED - {"emissions", "project_name"}) if not row.get(name)]
    if missing:
        return f"nothing in {', '.join(missing)}"
    for name in ("duration", "energy_consumed"):
        value = _number(row[name] or "")
        if value is None or value < 0:
            return f"{name} is {row[name]!r}"
    try:
        _time(row["timestamp"] or "")
    except (ValueError, OverflowError):
        return f"timestamp is {row['timestamp']!r}"
    return ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(text: str) -> float:
    """Give seconds since 1970; codecarbon writes the local time."""
    return datetime.datetime.fromisoformat(text).timestamp()
