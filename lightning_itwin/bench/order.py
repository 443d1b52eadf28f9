"""What the bench tells the processes of one training; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker has to do.

    Args:
        arguments: LightningCLI's command line.
        records: folder of the run's records.
        facts: fields of the run's manifest that the bench knows better than the Trainer.
        country_iso_code: for the carbon tracker.
        check: whether only to build everything and not to train.
        token: of this launch, in a world whose ranks find each other by themselves; empty in others.
        workers: of that world.
        meeting: file in which they find each other.
    """

    arguments: list[str]
    records: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    country_iso_code: str | None = None
    check: bool = False
    token: str = ""
    workers: int = 1
    meeting: str = ""
