"""What a job asks a cluster's scheduler for, beside its processes; the same for every tool."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OURS = ("cpus_per_task", "error", "job_name", "nodes", "ntasks", "ntasks_per_node", "output", "requeue")


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What a job asks for.

    Args:
        partition: of the cluster; None for its default.
        account: that is charged; None for the user's default.
        time: limit of one job as SLURM writes it: minutes, or ``"2:00:00"``, or ``"1-00:00:00"``; None for
            the partition's default.
        gpus_per_node: GPUs that a job gets on each of its nodes; None for a job without.
        setup: shell lines before the workers start, such as ``module load cuda``, or a file that holds them.
        pending_s: how long a job may wait in the queue before it is withdrawn; None for any time.
        more: other options of sbatch by name, such as ``{"qos": "debug", "mem": "8GB"}``.

    Raises:
        ValueError: a value that is none of the allowed ones.
    """

    partition: str | None = None
    account: str | None = None
    time: int | str | None = None
    gpus_per_node: int | None = None
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
        if taken := sorted({key.replace("-", "_") for key in self.more} & set(_OURS)):
            raise ValueError(f"{', '.join(taken)}: workers, nodes and threads say that already; leave it out")
        if self.pending_s is not None and not self.pending_s > 0:
            raise ValueError(f"pending_s {self.pending_s!r}: it has to be a positive number of seconds")

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
    """Make the settings from keys of a YAML file or of a command line; what they do not know is sbatch's.

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
