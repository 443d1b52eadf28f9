"""How far a forecast may look."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lightning_itwin.reports.error import ReportError

FARTHEST = 4  # times the largest measured number of workers


def check_reach(workers: Iterable[int], largest: int) -> None:
    """Refuse numbers of workers that lie too far beyond what is measured.

    Args:
        workers: wanted numbers of workers.
        largest: largest number of workers that is measured.

    Raises:
        ReportError: one of them lies beyond four times ``largest``.
    """
    beyond = sorted(count for count in workers if count > FARTHEST * largest)
    if beyond:
        raise ReportError(
            f"no forecast for {', '.join(map(str, beyond))} workers: the largest measured number is "
            f"{largest}, and beyond {FARTHEST} times that ({FARTHEST * largest}) nothing measured tells how "
            f"it goes on. Measure {math.ceil(beyond[-1] / FARTHEST)} workers or more, or ask for fewer"
        )
