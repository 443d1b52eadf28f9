"""The results as files: ``results.json``, ``results.csv`` and ``summary.json``."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import json
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

from lightning_itwin import __version__
from lightning_itwin.reports.cells import COLUMNS, Cell, ResultRow
from lightning_itwin.reports.comparability import batch_rule
from lightning_itwin.reports.forecast_rows import FORECAST_COLUMNS, Forecast
from lightning_itwin.reports.recommendation import Recommendation
from lightning_itwin.reports.run_values import RunValues
from lightning_itwin.reports.scalability import Scalability


def results_json(rows: Sequence[ResultRow]) -> str:
    """Give the rows as a JSON list of objects, null for what was not measured."""
    return json.dumps(_plain(rows), indent=1, allow_nan=False) + "\n"


def results_csv(rows: Sequence[ResultRow]) -> str:
    """Give the rows as CSV, an empty field for what was not measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow("" if value is None else value for value in dataclasses.astuple(row))
    return text.getvalue()


def forecast_json(found: Forecast) -> str:
    """Give the rows of a forecast as a JSON list of objects, null for what was not measured."""
    return json.dumps(_plain(found.rows), indent=1, allow_nan=False) + "\n"


def summary(
    study: Scalability, recommendations: Iterable[Recommendation], forecast: Forecast | None = None
) -> dict[str, Any]:
    """Give everything that does not stand in the rows, ready for JSON.

    Args:
        study: what was measured.
        recommendations: what was recommended.
        forecast: what unmeasured numbers of workers will give.
    """
    return {
        "lightning_itwin": __version__,
        "made_unix_s": time.time(),
        "scaling": study.scaling,
        "batch": batch_rule(study.counted),
        "recommendation": [
            {"goal": found.goal, "choice": found.choice, "line": found.line, **_plain(found)}
            for found in recommendations
        ],
        "forecast": _forecast(forecast or Forecast()),
        "warnings": list(study.warnings),
        "left_out": [{"folder": folder, "reason": reason} for folder, reason in study.left_out],
        "failures": [
            {
                name: getattr(run, name)
                for name in ("name", "strategy", "workers", "repeat", "reason", "log", "log_tail")
            }
            for run in study.runs
            if not run.ok
        ],
        "environment": environment(study.runs),
        "cells": [_cell(cell) for cell in study.cells],
        "runs": [_run(run) for run in study.runs],
    }


def environment(runs: Iterable[RunValues]) -> dict[str, list[Any]]:
    """Give every value that the manifests have for each fact about machine and software."""
    facts: dict[str, list[Any]] = {}
    for run in runs:
        if run.manifest is None:
            continue
        told = _plain(run.manifest)
        versions = told.pop("versions")
        shown = {
            name: told[name]
            for name in (
                "workload",
                "accelerator",
                "device_name",
                "cpu_name",
                "cpu_cores",
                "memory_gib",
                "nodes",
                "threads_per_worker",
                "precision",
                "batch_size",
                "accumulate_grad_batches",
                "dataset_samples",
                "parameters",
                "seed",
                "git_commit",
            )
        }
        shown |= {f"version of {name}": text for name, text in versions.items()}
        models = collections.Counter((gpu.name, gpu.node) for gpu in run.gpus)
        shown |= {f"GPUs of {node}": f"{count} x {name}" for (name, node), count in models.items()}
        for name, value in shown.items():
            if value is not None and value not in facts.setdefault(name, []):
                facts[name].append(value)
    return {name: values for name, values in facts.items() if values}


def _forecast(found: Forecast) -> dict[str, Any]:
    return {
        "columns": list(FORECAST_COLUMNS),
        "cells": [
            {
                **_plain(cell.row),
                "efficiency_interval": _plain(cell.efficiency),
                "energy_kwh_interval": _plain(cell.energy_kwh),
                "worker_hours": _plain(cell.worker_hours),
                "cost": _plain(found.cost(cell)),
                "chance_of_being_fastest": cell.fastest,
            }
            for cell in found.cells
        ],
        "knees": [{**_plain(knee), "line": knee.line} for knee in found.knees],
        "winners": _plain(dict(found.winners)),
        "epochs": found.epochs,
        "worker_hour_price": found.worker_hour_price,
        "notes": list(found.notes),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    values = {
        field.name: getattr(cell, field.name)
        for field in dataclasses.fields(cell)
        if field.name not in ("row", "runs")
    }
    return {**_plain(cell.row), **_plain(values), "runs": [run.name for run in cell.runs]}


def _run(run: RunValues) -> dict[str, Any]:
    return {
        **_plain(run),
        "epoch_energy_kwh": run.per_epoch("energy_kwh"),
        "epoch_emissions_kg": run.per_epoch("emissions_kg"),
        "energy_kwh_per_1000_samples": run.per_1000_samples("energy_kwh"),
        "emissions_kg_per_1000_samples": run.per_1000_samples("emissions_kg"),
    }


def _plain(value: Any) -> Any:
    """Give a value as JSON has it: dataclasses as objects, what is no finite number as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
