"""The plan of a sweep: strategy x workers x repeat, in rounds, and what makes a resumed one the same one."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_itwin.records.manifest import from_json, write_json

PLAN = "plan.json"


class PlanError(ValueError):
    """A sweep cannot run as it was asked for; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every training of a sweep runs: everything here is the same for all of them.

    Args:
        name: the preset's name, or the config file's.
        config: path of the LightningCLI config.
        config_sha256: of the config's text.
        overrides: LightningCLI arguments after the config, such as ``--model.init_args.lr=0.1``.
        epochs: epochs of each training.
        scaling: ``"strong"``: an epoch is the data set, shared among the workers; ``"weak"``: every worker
            does the same number of steps, whatever the number of workers.
        batch_size_key: key of the config that is divided by the number of workers, so that the global batch
            stays; None leaves the batch of a worker as it is.
        accelerator: ``"cpu"`` or ``"gpu"``.
        threads_per_worker: intra-op threads of a worker, the same for every number of workers.
        country_iso_code: whose grid's carbon intensity counts; None to detect it.
        workers_per_node: most workers of a training on one machine; None for all of them.
    """

    name: str
    config: str
    config_sha256: str
    overrides: tuple[str, ...]
    epochs: int
    scaling: str
    batch_size_key: str | None
    accelerator: str
    threads_per_worker: int
    country_iso_code: str | None
    workers_per_node: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "overrides", tuple(self.overrides))  # JSON has lists

    def nodes(self, workers: int) -> int:
        """Give how many machines share the workers of a training.

        Args:
            workers: of the training.

        Raises:
            PlanError: they cannot share them evenly.
        """
        each = self.workers_per_node or workers
        nodes = -(-workers // each)
        if workers % nodes:
            raise PlanError(
                f"--workers {workers}: {nodes} nodes of at most {each} workers cannot share them evenly; "
                f"take multiples of {each}, or another --workers-per-node"
            )
        return nodes


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training of a sweep."""

    strategy: str
    workers: int
    repeat: int

    @property
    def name(self) -> str:
        """Name of its folders.

        >>> Cell(strategy="ddp", workers=2, repeat=0).name
        'ddp-w2-r0'
        """
        return f"{self.strategy}-w{self.workers}-r{self.repeat}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cells of a sweep over one workload."""

    workload: Workload
    strategies: tuple[str, ...]
    workers: tuple[int, ...]
    repeats: int

    def rounds(self) -> Iterator[list[Cell]]:
        """Yield the repeats one after another, each with all cells in an order of its own.

        A machine that slows down in the middle of a sweep then slows every strategy down alike.
        """
        for repeat in range(self.repeats):
            cells = [
                Cell(strategy=strategy, workers=workers, repeat=repeat)
                for workers in self.workers
                for strategy in self.strategies
            ]
            random.Random(repeat).shuffle(cells)
            yield cells

    def cells(self) -> list[Cell]:
        """Give all cells in the order in which they run."""
        return [cell for cells in self.rounds() for cell in cells]


def check_resumable(folder: Path, workload: Workload) -> None:
    """Refuse to add trainings of one workload to a sweep of another one.

    Raises:
        PlanError: the folder holds a sweep of another workload; the message names what differs.
    """
    if not (folder / PLAN).exists():
        return
    before: Workload = from_json(Workload, folder / PLAN)
    differing = [
        f"{field.name}: {getattr(before, field.name)!r} there, {getattr(workload, field.name)!r} now"
        for field in dataclasses.fields(Workload)
        if field.name not in ("config", "name")
        and getattr(before, field.name) != getattr(workload, field.name)
    ]
    if differing:
        raise PlanError(
            f"{folder} holds a sweep that cannot be gone on with: {'; '.join(differing)}. "
            "Give another --output, or --no-resume to begin this one anew."
        )


def write_workload(folder: Path, workload: Workload) -> None:
    """Write down what the sweep in ``folder`` runs."""
    write_json(folder / PLAN, dataclasses.asdict(workload))


@dataclass(frozen=True, kw_only=True)
class Config:
    """A LightningCLI config, read.

    Args:
        path: its file.
        sha256: of its text.
        values: its keys; those of the subcommand where the file keeps them below ``fit``.
        below_fit: whether it does.
    """

    path: Path
    sha256: str
    values: Mapping[str, Any]
    below_fit: bool

    def get(self, key: str) -> Any:
        """Give the value of a dotted key; None where there is none."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value


def read_config(path: Path) -> Config:
    """Read a LightningCLI config.

    Raises:
        PlanError: it is no YAML, or names no model.
    """
    text = path.read_text(encoding="utf-8")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PlanError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise PlanError(f"{path} is not a LightningCLI config: it holds no keys such as model, data, trainer")
    below_fit = isinstance(values.get("fit"), dict)
    values = values["fit"] if below_fit else values
    if "model" not in values:
        raise PlanError(
            f"{path} names no model; found: {', '.join(values)}. A workload is a LightningCLI config with "
            "`model: {class_path: ...}` and, unless the model brings its own data, `data: {class_path: ...}`"
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Config(path=path, sha256=digest, values=values, below_fit=below_fit)


def limit_train_batches(
    limit: int | float | None, *, scaling: str, workers: int, most_workers: int
) -> int | float | None:
    """Give the ``limit_train_batches`` of a training in a sweep.

    Strong scaling shares a fixed number of batches among the workers. Weak scaling gives every worker the
    steps that it has in the largest world, so that an epoch's work grows with the number of workers.

    Args:
        limit: the config's own, for one worker; None for the whole data set.
        scaling: ``"strong"`` or ``"weak"``.
        workers: workers of the training.
        most_workers: workers of the sweep's largest world.

    Raises:
        PlanError: a fixed number of batches is fewer than the workers that share it.

    >>> limit_train_batches(100, scaling="strong", workers=4, most_workers=4)
    25
    >>> limit_train_batches(None, scaling="weak", workers=1, most_workers=4)
    0.25
    >>> limit_train_batches(100, scaling="weak", workers=2, most_workers=4)
    100
    """
    if isinstance(limit, int) and not isinstance(limit, bool):
        if scaling == "weak":
            return limit
        if limit < workers:
            raise PlanError(
                f"limit_train_batches is {limit}, fewer than the {workers} workers that share the batches in "
                "strong scaling; raise it, use fewer workers or --scaling weak"
            )
        return limit // workers
    if scaling == "strong":
        return limit
    return (1.0 if limit is None else float(limit)) * workers / most_workers
