"""Where the records and scalars of one training go: one door for all callbacks of a Trainer."""

from __future__ import annotations

import dataclasses
import os
import platform
import secrets
import time
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_itwin.meters import host
from lightning_itwin.records import Record, RecordWriter, RunManifest
from lightning_itwin.records.run_folder import MANIFEST, rank_file
from lightning_itwin.records.tags import LAYOUT

_LONGEST = 1000  # characters of one hyperparameter


class RunRecords:
    """The records of one call of ``Trainer.fit``: a folder, this rank's file in it, and the loggers.

    All callbacks of a Trainer share one, which they get from :meth:`of`. The folder is
    ``<trainer.log_dir>/records/<run id>``, or the one that :meth:`place` named before the training.
    Nothing is written under ``fast_dev_run``. A folder that cannot be written is one warning, and the
    training goes on without records.

    Args:
        folder: the run's folder.
        rank: global rank of this process.
        facts: fields of the manifest that the caller knows better than the Trainer.
        keep: whether anything is written.
    """

    _open: ClassVar[weakref.WeakKeyDictionary[Trainer, RunRecords]] = weakref.WeakKeyDictionary()
    _placed: ClassVar[weakref.WeakKeyDictionary[Trainer, tuple[Path, Mapping[str, Any]]]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self, folder: Path, *, rank: int, facts: Mapping[str, Any], keep: bool = True) -> None:
        self.folder = folder
        self.rank = rank
        self.node = platform.node()
        self._facts = dict(facts)
        self._keep = keep
        self._writer = RecordWriter(rank_file(folder, rank))
        self._trainer: weakref.ref[Trainer] | None = None
        self._begun = False

    @classmethod
    def place(cls, trainer: Trainer, folder: Path, **facts: Any) -> None:
        """Say before the training where its records go, and what the Trainer cannot know of it.

        Args:
            trainer: the Trainer whose next trainings are meant.
            folder: the run's folder itself, the same on every rank.
            facts: fields of :class:`RunManifest`, such as ``workload`` or ``repeat``.
        """
        cls._placed[trainer] = (folder, facts)

    @classmethod
    def of(cls, trainer: Trainer) -> RunRecords:
        """Give the records of the training that ``trainer`` is in.

        The first call of a training is collective: every rank makes it in ``Callback.setup``.
        """
        if trainer not in cls._open:
            placed = cls._placed.get(trainer)
            run_id = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)
            run_id = trainer.strategy.broadcast(run_id)
            folder, facts = placed or (_log_folder(trainer) / "records" / run_id, {})
            run = cls(
                Path(folder),
                rank=trainer.global_rank,
                facts={"run_id": Path(folder).name, **facts},
                keep=not getattr(trainer, "fast_dev_run", False),
            )
            run._trainer = weakref.ref(trainer)
            cls._open[trainer] = run
        return cls._open[trainer]

    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the manifest, and the layout of the scalars to TensorBoard; rank 0 does, once."""
        if self._begun or not self._keep:
            return
        self._begun = True
        if self.rank == 0:
            manifest = describe(trainer, module)
            try:
                dataclasses.replace(manifest, **self._facts).write(self.folder / MANIFEST)
            except OSError as error:
                self._give_up(error)
            for logger in trainer.loggers:
                experiment = getattr(logger, "experiment", None)
                if experiment is not None and hasattr(experiment, "add_custom_scalars"):
                    experiment.add_custom_scalars(LAYOUT)

    @property
    def keeps(self) -> bool:
        """Whether anything is written: not under ``fast_dev_run``, nor where writing has failed."""
        return self._keep

    def write(self, record: Record) -> None:
        """Append one record to this rank's file; threads may call it."""
        if self._keep:
            try:
                self._writer.write(record)
            except OSError as error:
                self._give_up(error)

    @rank_zero_only
    def log(self, trainer: Trainer, scalars: Mapping[str, float | None], step: int | None = None) -> None:
        """Give scalars to every logger of the Trainer; what was not measured (None) is left out.

        Args:
            trainer: the Trainer in training.
            scalars: value by tag.
            step: position on the x axis (default: ``trainer.global_step``).
        """
        known = {tag: float(value) for tag, value in scalars.items() if value is not None}
        if known:
            for logger in trainer.loggers:
                logger.log_metrics(known, step=trainer.global_step if step is None else step)

    def close(self) -> None:
        """Close the file; the Trainer's next training gets records of its own."""
        self._writer.close()
        trainer = self._trainer() if self._trainer else None
        if trainer is not None and self._open.get(trainer) is self:
            del self._open[trainer]

    def _give_up(self, error: OSError) -> None:
        self._keep = False
        warnings.warn(
            f"records cannot be written to {self.folder}: {error}. The training goes on without them.",
            RuntimeWarning,
            stacklevel=3,
        )


def describe(trainer: Trainer, module: LightningModule) -> RunManifest:
    """Tell what a training is, as far as its Trainer knows.

    Args:
        trainer: a Trainer that is in ``fit``.
        module: the module that it trains.
    """
    loader = _first_loader(trainer.train_dataloader)
    dataset = getattr(loader, "dataset", None)
    datamodule = getattr(trainer, "datamodule", None)
    device = trainer.strategy.root_device
    cpu = host.cpu_name()
    seed = os.environ.get("PL_GLOBAL_SEED")
    return RunManifest(
        run_id="",
        started_unix_s=time.time(),
        workload=" | ".join(_class_path(part) for part in (module, datamodule) if part is not None),
        strategy=getattr(
            trainer.strategy,
            "strategy_name",
            type(trainer.strategy).__name__.removesuffix("Strategy").lower(),
        ),
        world_size=trainer.world_size,
        nodes=trainer.num_nodes,
        accelerator=device.type,
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        cpu_name=cpu,
        cpu_cores=host.cpu_cores(),
        memory_gib=host.memory_gib(),
        threads_per_worker=torch.get_num_threads(),
        precision=str(trainer.precision),
        batch_size=_batch_size(loader),
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        dataset_samples=_length(dataset),
        parameters=sum(_size(parameter) for parameter in module.parameters() if parameter.requires_grad),
        seed=int(seed) if seed else None,
        git_commit=host.git_commit(),
        versions=host.library_versions(),
        hyperparameters={str(name): str(value)[:_LONGEST] for name, value in module.hparams.items()},
    )


def _log_folder(trainer: Trainer) -> Path:
    log_dir = trainer.log_dir or trainer.default_root_dir
    return Path.cwd() if "://" in log_dir else Path(log_dir)  # rows are appended, which no object store does


def _first_loader(loaders: Any) -> Any:
    while isinstance(loaders, (list, tuple, dict)) and loaders:
        loaders = next(iter(loaders.values() if isinstance(loaders, dict) else loaders))
    return loaders


def _batch_size(loader: Any) -> int | None:
    for holder in (loader, getattr(loader, "batch_sampler", None)):
        size = getattr(holder, "batch_size", None)
        if isinstance(size, int):
            return size
    return None


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):  # what PyTorch's datasets raise where they have no length
        return None


def _size(parameter: torch.nn.Parameter) -> int:
    if torch.nn.parameter.is_lazy(parameter):  # its shape comes with the first batch
        return 0
    return getattr(parameter, "ds_numel", parameter.numel())  # ZeRO-3 leaves an empty shard in its place


def _class_path(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
