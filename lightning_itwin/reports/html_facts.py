"""The parts of the page that say how it was measured and what its words mean."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lightning_itwin.pages import facts as fact_list
from lightning_itwin.pages import glossary, section
from lightning_itwin.reports.goodput_page import PARTS, TERM
from lightning_itwin.reports.metrics import TERMS
from lightning_itwin.reports.scalability import Scalability

_FACTS = {
    "workload": "Workload",
    "device_name": "Device",
    "cpu_name": "Processor",
    "cpu_cores": "Logical cores",
    "memory_gib": "Memory (GiB)",
    "nodes": "Nodes",
    "accelerator": "Accelerator",
    "threads_per_worker": "Threads a worker",
    "precision": "Precision",
    "batch_size": "Samples a batch and worker",
    "accumulate_grad_batches": "Batches an optimizer step",
    "dataset_samples": "Samples of the data set",
    "parameters": "Trainable parameters",
    "seed": "Seed",
    "git_commit": "Commit",
}


def how_it_was_measured(
    study: Scalability, environment: Mapping[str, Sequence[Any]], sweep: Mapping[str, Any]
) -> str:
    """Tell hardware, versions, commits and the command.

    Args:
        study: what was measured.
        environment: values by name of a fact about machine and software.
        sweep: what the sweep says that it ran; empty outside sweeps.
    """
    facts = {label: environment[name] for name, label in _FACTS.items() if name in environment}
    facts |= {name: values for name, values in environment.items() if name.startswith("GPUs of ")}
    facts |= {
        name.removeprefix("version of "): values
        for name, values in environment.items()
        if name.startswith("version of ")
    }
    told = {label: ", ".join(_shown(value) for value in values) for label, values in facts.items()}
    command = _command(study, sweep)
    shown = f'<pre class="command">$ {escape(command)}</pre>' if command else ""
    return section("measured", "How it was measured", shown + fact_list(told))


def _command(study: Scalability, sweep: Mapping[str, Any]) -> str:
    """Give the command that runs the sweep again; empty where the runs are of no sweep."""
    repeats = [run.repeat for run in study.runs if run.repeat is not None]
    if "config" not in sweep or not repeats:
        return ""
    config = Path(str(sweep["config"]))
    preset = config.parts[-3:-1] == ("lightning_itwin", "presets")
    options = {
        "config": config.stem if preset else config,
        "strategies": ",".join(dict.fromkeys(run.strategy for run in study.runs)),
        "workers": ",".join(str(count) for count in sorted({run.workers for run in study.runs})),
        "repeats": max(repeats) + 1,
        "epochs": sweep.get("epochs"),
        "scaling": sweep.get("scaling"),
        "batch-size-key": sweep.get("batch_size_key"),
        "accelerator": sweep.get("accelerator"),
        "threads-per-worker": sweep.get("threads_per_worker"),
        "country": sweep.get("country_iso_code"),
    }
    words = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    words += [shlex.quote(str(override)) for override in sweep.get("overrides") or ()]
    return " ".join(("python -m lightning_itwin.bench", *words))


def what_the_words_mean() -> str:
    """Give the glossary."""
    return section("terms", "What the words mean", glossary((*TERMS, TERM, *PARTS)))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
