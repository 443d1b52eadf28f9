"""What a job asks a cluster's scheduler for, beside its processes; the same for every tool."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OURS = (
    *("cpus_per_task", "dependency", "error", "job_name", "nodes", "ntasks", "ntasks_per_node", "output"),
    *("requeue", "executable", "log", "machine_count", "queue", "request_cpus", "request_gpus", "universe"),
)
_GPUS = ("gpus", "gpus_per_task", "gres")
_MEMORY = ("mem", "mem_per_cpu", "mem_per_gpu", "request_memory")
_LARGE = (*_GPUS, *_MEMORY, "exclusive")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What a job asks for.

    Args:
        partition: of SLURM's cluster; None for its default.
        account: that is charged, of HTCondor the accounting group; None for the user's default.
        time: limit of one job as SLURM writes it: minutes, or ``"2:00:00"``, or ``"1-00:00:00"``; None for
            the scheduler's default.
        gpus_per_node: GPUs that each node of a job has; it gets no more than one a worker. None for a job
            without.
        memory: of a job on each of its nodes, such as ``"16GB"``; None for the scheduler's default.
        setup: shell lines before the workers start, such as ``module load cuda``, or a file that holds them.
        pending_s: how long a job may wait in the queue before it is withdrawn; None for any time.
        more: other options of sbatch, or commands of HTCondor's submit description, by name, such as
            ``{"qos": "debug", "exclusive": True}``.

    Raises:
        ValueError: a value that is none of the allowed ones.
    """

    partition: str | None = None
    account: str | None = None
    time: int | str | None = None
    gpus_per_node: int | None = None
    memory: str | None = None
    setup: str | tuple[str, ...] = ()
    pending_s: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        gpus = self.gpus_per_node
        if gpus is not None and (not isinstance(gpus, int) or isinstance(gpus, bool) or gpus < 1):
            raise ValueError(f"gpus_per_node {gpus!r}: it has to be a whole number of at least 1")
        if isinstance(self.time, float):
            raise ValueError(
                f"time {self.time!r}: give whole minutes, or text such as '2:00:00' (in YAML with quotes)"
            )
        if self.time is not None and not _is_time(str(self.time)):
            raise ValueError(f"time {self.time!r}: give minutes, h:mm:ss, d-hh or d-hh:mm:ss")
        if taken := sorted({key.replace("-", "_") for key in self.more} & set(_OURS)):
            raise ValueError(f"{', '.join(taken)}: workers, nodes and threads say that already; leave it out")
        if _is_path(self.setup) and not Path(str(self.setup)).expanduser().is_file():
            raise ValueError(f"setup {self.setup!r}: there is no such file, and it is no shell line")
        if self.pending_s is not None and not self.pending_s > 0:
            raise ValueError(f"pending_s {self.pending_s!r}: it has to be a positive number of seconds")

    @property
    def asks_for_gpus(self) -> bool:
        """Whether each job gets GPUs."""
        return bool(self.gpus_per_node or set(self.more) & set(_GPUS))

    def accelerator(self, wanted: str) -> str:
        """Give what a job computes on; what this machine has says nothing about that.

        >>> JobSettings(gpus_per_node=4).accelerator("auto"), JobSettings().accelerator("auto")
        ('gpu', 'cpu')

        Args:
            wanted: ``"auto"``, ``"cpu"`` or ``"gpu"``.

        Raises:
            ValueError: GPUs are wanted, and none asked for.
        """
        if wanted == "gpu" and not self.asks_for_gpus:
            raise ValueError(
                "accelerator gpu: say how many GPUs a job gets on each node with --gpus-per-node"
            )
        return "gpu" if wanted == "gpu" or (wanted == "auto" and self.asks_for_gpus) else "cpu"

    @property
    def for_one_process(self) -> JobSettings:
        """The settings of a job of one process that measures nothing: no GPUs, little memory, shared nodes.

        >>> small = JobSettings(gpus_per_node=4, memory="400GB", more={"exclusive": True}).for_one_process
        >>> small.gpus_per_node, small.memory, small.more
        (None, '4GB', {})
        """
        names = {key: key.replace("-", "_") for key in self.more}
        kept = {key: value for key, value in self.more.items() if names[key] not in _LARGE}
        memory = "4GB" if self.memory or set(names.values()) & set(_MEMORY) else None
        return dataclasses.replace(self, gpus_per_node=None, memory=memory, pending_s=None, more=kept)

    @property
    def time_s(self) -> int | None:
        """The limit of one job in seconds.

        >>> [JobSettings(time=one).time_s for one in (90, "2:00:00", "1-12", "30:00")]
        [5400, 7200, 129600, 1800]
        """
        if self.time is None:
            return None
        days, separator, rest = str(self.time).rpartition("-")
        parts = [int(part) for part in rest.split(":")]
        units = "hms" if separator or len(parts) == 3 else "ms"
        return int(days or 0) * _SECONDS["d"] + sum(part * _SECONDS[unit] for part, unit in zip(parts, units))

    @property
    def setup_lines(self) -> list[str]:
        """The shell lines before the workers start.

        >>> JobSettings(setup="module load cuda").setup_lines
        ['module load cuda']
        """
        if not isinstance(self.setup, str):
            return list(self.setup)
        path = Path(self.setup).expanduser()
        one_line = "\n" not in self.setup
        return (path.read_text(encoding="utf-8") if one_line and path.is_file() else self.setup).splitlines()


def job_settings(values: Mapping[str, Any]) -> JobSettings:
    """Make the settings from keys of a YAML file or of a command line; what is left is the scheduler's own.

    >>> job_settings({"partition": "gpu", "qos": "debug"}).more
    {'qos': 'debug'}

    Args:
        values: the keys, with ``_`` or ``-``.

    Raises:
        ValueError: a value that is none of the allowed ones.
    """
    known = {item.name for item in dataclasses.fields(JobSettings)} - {"more"}
    given = {key.replace("-", "_"): value for key, value in values.items()}
    more = {**given.pop("more", {}), **{key: value for key, value in given.items() if key not in known}}
    mine = {key: value for key, value in given.items() if key in known and value is not None}
    if isinstance(setup := mine.get("setup"), list):
        mine["setup"] = tuple(map(str, setup))
    return JobSettings(**mine, more=more)


def _is_time(text: str) -> bool:
    return re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text) is not None


def _is_path(setup: str | tuple[str, ...]) -> bool:
    return isinstance(setup, str) and re.fullmatch(r"\S*/\S*|\S+\.sh", setup) is not None
