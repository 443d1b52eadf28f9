"""Energy of the trials by epoch, from what a CarbonTracker in the config leaves in their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.records.jsonl import decode
from lightning_itwin.records.run_folder import run_folders
from lightning_itwin.records.schema import CarbonRecord

RowEnergy = Mapping[int, Mapping[int, float]]


def read_energy(folder: Path) -> dict[int, dict[int, float]]:
    """Read the energy in kWh that each row had drawn itself by the end of each epoch, counted from 1.

    Args:
        folder: of the study.
    """
    found = {}
    for trial in sorted(folder.glob("trials/[0-9]*")):
        nodes: dict[int, dict[str, float]] = {}
        for run in run_folders(trial):
            for path in sorted(run.glob("rank-*.jsonl")):
                for record in _carbon(path):
                    if record.epoch is not None:
                        nodes.setdefault(record.epoch + 1, {})[record.node] = record.energy_kwh
        if nodes and trial.name.isdigit():
            found[int(trial.name)] = {
                epoch: sum(by_node.values()) for epoch, by_node in sorted(nodes.items())
            }
    return found


def energy_so_far(one: Configuration, rows: RowEnergy) -> dict[int, float]:
    """Give the energy in kWh that a configuration has cost by each epoch, its earlier segments included.

    What a lost row drew after its last checkpoint was spent for nothing, and counts.

    Args:
        one: the configuration.
        rows: of :func:`read_energy`.
    """
    found: dict[int, float] = {}
    before = 0.0
    for row in one.rows:
        own = rows.get(row.number, {})
        found |= {epoch: before + energy for epoch, energy in own.items()}
        before += max(own.values(), default=0.0)
    return found


def _carbon(path: Path) -> list[CarbonRecord]:
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"kind": "carbon"' not in line:
            continue
        try:
            record = decode(line)
        except ValueError:  # half a line of a killed process
            continue
        if isinstance(record, CarbonRecord):
            records.append(record)
    return records
