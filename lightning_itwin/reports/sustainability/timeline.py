"""Energy over time: bins that grow coarser as the time between the first and the last run grows."""

from __future__ import annotations

import math

# seconds; each divides the next: minute, 10 minutes, hour, 6 hours, day, week, 4 weeks
WIDTHS = (60, 600, 3600, 21_600, 86_400, 604_800, 2_419_200)
MOST_BINS = 120
_MOST_PARTS = 50


class EnergyTimeline:
    """Energy by bin of time and project, in one pass over the rows.

    >>> timeline = EnergyTimeline()
    >>> timeline.add("a", 0.0, 120.0, 2.0)
    >>> timeline.width_s, timeline.bins("a")
    (60, {0: 1.0, 60: 1.0})
    """

    def __init__(self) -> None:
        self._width = 0
        self._energy: dict[str, dict[int, float]] = {}
        self._first = math.inf
        self._last = -math.inf

    @property
    def width_s(self) -> int:
        """Width of a bin."""
        return WIDTHS[self._width]

    @property
    def projects(self) -> tuple[str, ...]:
        """The projects that drew something."""
        return tuple(self._energy)

    def bins(self, project: str) -> dict[int, float]:
        """Give a project's energy in kWh by the start of the bin, in seconds since 1970 UTC, in order."""
        return {
            number * self.width_s: kwh for number, kwh in sorted(self._energy.get(project, {}).items()) if kwh
        }

    def add(self, project: str, start_unix_s: float, end_unix_s: float, energy_kwh: float) -> None:
        """Add energy that was drawn evenly between two times.

        Args:
            project: that it belongs to.
            start_unix_s, end_unix_s: seconds since 1970; a start after the end counts as the end.
            energy_kwh: energy.
        """
        if energy_kwh <= 0:
            return
        start_unix_s = min(start_unix_s, end_unix_s)
        if start_unix_s < self._first or end_unix_s > self._last:
            self._first = min(self._first, start_unix_s)
            self._last = max(self._last, end_unix_s)
            while self._last - self._first > MOST_BINS * self.width_s and self._width < len(WIDTHS) - 1:
                self._coarsen()
        width = self.width_s
        bins = self._energy.setdefault(project, {})
        first, last = int(start_unix_s // width), int(end_unix_s // width)
        if first == last:
            bins[last] = bins.get(last, 0.0) + energy_kwh
            return
        length = end_unix_s - start_unix_s
        step = max(1, (last - first + 1) // _MOST_PARTS)
        for number in range(first, last + 1, step):
            left = max(start_unix_s, number * width)
            right = min(end_unix_s, (number + step) * width)
            bins[number] = bins.get(number, 0.0) + energy_kwh * (right - left) / length

    def _coarsen(self) -> None:
        ratio = WIDTHS[self._width + 1] // WIDTHS[self._width]
        self._width += 1
        for project, bins in self._energy.items():
            coarse: dict[int, float] = {}
            for number, kwh in bins.items():
                coarse[number // ratio] = coarse.get(number // ratio, 0.0) + kwh
            self._energy[project] = coarse
