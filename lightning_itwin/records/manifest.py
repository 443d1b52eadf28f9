"""The manifest of a run: what it ran, on what, and how, so that only like is compared with like."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RunManifest:
    """What a run was.

    Args:
        run_id: name of the run, unique within its folder.
        started_unix_s: wall clock at its start.
        workload: what was trained: ``model class | datamodule class``, or a name that the user gave.
        strategy: strategy string, such as ``"ddp"``, ``"horovod"``.
        world_size: number of worker processes.
        nodes: number of nodes.
        accelerator: ``"cpu"`` or ``"cuda"`` and the like.
        device_name: model of the GPU, or of the CPU where no GPU is used.
        cpu_name: model of the CPU.
        cpu_cores: logical cores that the processes of the node may use.
        memory_gib: memory of the node.
        threads_per_worker: intra-op threads of one worker.
        precision: Lightning's precision string.
        batch_size: samples a batch on one worker; None where a batch has no size.
        accumulate_grad_batches: batches an optimizer step.
        dataset_samples: samples of the training set; None where it has no length.
        parameters: trainable parameters of the model.
        seed: the seed that was set, if one was.
        scaling: ``"strong"`` or ``"weak"`` in a sweep, else None.
        repeat: number of the repeat in a sweep, else None.
        git_commit: commit of the working folder, with ``+`` for uncommitted changes; None outside git.
        versions: versions of the libraries.
        hyperparameters: the module's own, as text.
    """

    run_id: str
    started_unix_s: float
    workload: str
    strategy: str
    world_size: int
    nodes: int
    accelerator: str
    device_name: str
    cpu_name: str
    cpu_cores: int
    memory_gib: float
    threads_per_worker: int
    precision: str
    batch_size: int | None
    accumulate_grad_batches: int
    dataset_samples: int | None
    parameters: int
    seed: int | None
    scaling: str | None = None
    repeat: int | None = None
    git_commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the manifest as JSON; readers see the old file or the new one, never half of one."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, path: Path) -> RunManifest:
        """Read a manifest; fields of a newer version are passed over.

        Raises:
            ValueError: the file is no manifest.
        """
        return from_json(cls, path)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, in one step as ``write_text`` does."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to a file beside ``path``, then move it there in one step; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def from_json(cls: type[Any], path: Path) -> Any:
    """Read a dataclass from a JSON file.

    Raises:
        ValueError: the file does not hold one; the message names the file and what it lacks.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {item.name for item in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
    except (TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a {cls.__name__}: {error}") from None
