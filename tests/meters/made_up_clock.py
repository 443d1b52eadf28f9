from __future__ import annotations

from lightning_itwin.meters.intervals import Intervals

_NS = 10**9


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 0

    def time_ns(self) -> int:
        return self.now_s * _NS

    def sleep(self, seconds: int) -> None:
        self.now_s += seconds


def seconds(spans: Intervals) -> list[list[float]]:
    return (spans / _NS).tolist()
