"""Runs with known energy, written as CarbonTracker and codecarbon leave them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lightning_itwin.records import CarbonRecord, Record
from lightning_itwin.records.run_folder import MANIFEST
from tests.reports.synthetic import MANIFEST_OF_DDP, START_S, write_records

COLUMNS = (
    "timestamp",
    "project_name",
    "run_id",
    "duration",
    "emissions",
    "energy_consumed",
    "country_name",
    "country_iso_code",
    "region",
    "cloud_provider",
    "cloud_region",
)


def carbon(second: float, energy_kwh: float, begun_unix_s: float = START_S, **changes: Any) -> CarbonRecord:
    fields = {
        "time_unix_s": begun_unix_s + second,
        "rank": 0,
        "node": "node0",
        "epoch": None,
        "duration_s": second,
        "energy_kwh": energy_kwh,
        "cpu_energy_kwh": energy_kwh,
        "gpu_energy_kwh": None,
        "ram_energy_kwh": None,
        "measured_percent": 50.0,
        "emissions_kg": 0.3 * energy_kwh,
        "intensity_g_per_kwh": 300.0,
        "country_iso_code": "ITA",
        "samples": 1000,
        "cpu_source": "rapl",
        "grid_source": "user",
    }
    return CarbonRecord(**{**fields, **changes})


def write_run(
    folder: Path,
    energy_kwh: float = 2.0,
    *,
    begun_unix_s: float = START_S,
    records: list[Record] | None = None,
    **manifest: Any,
) -> Path:
    """Write a run of an hour that drew evenly; ``manifest`` are fields that differ."""
    facts = {"run_id": folder.name, "started_unix_s": begun_unix_s, "scaling": None, **manifest}
    dataclasses.replace(MANIFEST_OF_DDP, **facts).write(folder / MANIFEST)
    if records is None:
        records = [carbon(360.0 * row, energy_kwh * row / 10, begun_unix_s) for row in range(1, 11)]
    write_records(folder, records)
    return folder


def write_table(path: Path, *rows: dict[str, object]) -> Path:
    """Write an ``emissions.csv``."""
    standard = {
        "timestamp": "2026-01-10T12:00:00",
        "project_name": "other",
        "run_id": "run",
        "duration": 3600,
        "emissions": 0.06,
        "energy_consumed": 1.0,
        "country_name": "France",
        "country_iso_code": "FRA",
        "region": "ile-de-france",
    }
    lines = [",".join(COLUMNS)]
    lines += [",".join(str({**standard, **row}.get(name, "")) for name in COLUMNS) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
