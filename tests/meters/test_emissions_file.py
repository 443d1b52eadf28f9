from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning_itwin.meters.emissions_file import EmissionsFile


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def row(node: str, energy: float | None = 1.0) -> dict[str, Any]:
    return {"run_id": node, "energy_consumed": energy, "cpu_model": 'AMD "EPYC", 64 cores'}


def test_the_row_is_replaced_not_appended(tmp_path: Path) -> None:
    file = EmissionsFile(tmp_path / "run", rank=0)
    file.write(row("a", 1.0))
    file.write(row("a", 2.0))
    assert file.path == tmp_path / "run" / "emissions.csv"
    assert rows_of(file.path) == [
        {"run_id": "a", "energy_consumed": "2.0", "cpu_model": 'AMD "EPYC", 64 cores'}
    ]
    assert [item.name for item in file.path.parent.iterdir()] == ["emissions.csv"]


def test_the_file_of_rank_0_bears_the_rows_of_the_other_nodes(tmp_path: Path) -> None:
    first, second = EmissionsFile(tmp_path, rank=0), EmissionsFile(tmp_path, rank=4)
    second.write(row("b", None))
    first.write(row("a"))
    first.write(row("a"))
    assert second.path.name == "emissions-rank-0004.csv"
    assert [each["run_id"] for each in rows_of(first.path)] == ["a", "b"]
    assert [each["energy_consumed"] for each in rows_of(first.path)] == ["1.0", ""]
    assert [each["run_id"] for each in rows_of(second.path)] == ["b"]
