"""A time axis of days, in any calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lightning_itwin.optional import require

_EPOCH = "days since 1970-01-01"
_STANDARD = ("standard", "gregorian", "proleptic_gregorian")


class TimeAxisError(ValueError):
    """Times are not one a day, in order, each once; the message names the days and what to do."""


@dataclass(frozen=True)
class DayAxis:
    """Days without a gap.

    Args:
        first: the first day, in days since 1970-01-01 of the calendar.
        size: number of days.
        calendar: as CF names it.

    >>> axis = DayAxis(first=0, size=366, calendar="proleptic_gregorian")
    >>> axis.text(365), axis.index("1970-02-01"), round(float(axis.year_fraction()[73]), 6)
    ('1971-01-01', 31, 0.2)
    """

    first: int
    size: int
    calendar: str = "proleptic_gregorian"

    @property
    def end(self) -> int:
        """The day after the last one."""
        return self.first + self.size

    @cached_property
    def times(self) -> np.ndarray:
        """The days as ``datetime64[D]``, or as cftime objects where the calendar asks for it, (size,)."""
        return self._dates(self.first, self.size)

    def year_fraction(self, beyond: int = 0) -> np.ndarray:
        """Give (day of year - 1) / days in that year, of the axis and of days beyond its end, float32."""
        dates = self._dates(self.first, self.size + beyond)
        if self.calendar in _STANDARD:
            years = dates.astype("datetime64[Y]")
            begins = years.astype("datetime64[D]")
            length = ((years + 1).astype("datetime64[D]") - begins).astype(np.int64)
            return ((dates - begins).astype(np.int64) / length).astype(np.float32)
        cftime = require("cftime", extra="drought")
        years = np.array([date.year for date in dates], dtype=np.int64)
        span = range(int(years[0]), int(years[-1]) + 2)
        january = [cftime.datetime(year, 1, 1, calendar=self.calendar) for year in span]
        begins_on = np.asarray(cftime.date2num(january, _EPOCH, self.calendar), dtype=np.int64)
        length = np.diff(begins_on)[years - years[0]]
        days = self.first + np.arange(self.size + beyond)
        return ((days - begins_on[years - years[0]]) / length).astype(np.float32)

    def text(self, index: int) -> str:
        """Write a day as YYYY-MM-DD."""
        date = self._dates(self.first + index, 1)[0]
        return str(date) if isinstance(date, np.datetime64) else date.strftime("%Y-%m-%d")

    def index(self, date: str) -> int:
        """Find a day, which may lie outside the axis.

        Args:
            date: YYYY-MM-DD in the axis' calendar; YYYY-MM or YYYY stand for their first day.

        Raises:
            TimeAxisError: this is no date of the calendar.
        """
        try:
            numbers = [int(part) for part in str(date).strip().split("T")[0].split("-")]
            year, month, day = [*numbers, 1, 1][:3] if len(numbers) < 3 else numbers
            if self.calendar in _STANDARD:
                return (
                    int(np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D").astype(np.int64)) - self.first
                )
            cftime = require("cftime", extra="drought")
            given = cftime.datetime(year, month, day, calendar=self.calendar)
            return int(cftime.date2num(given, _EPOCH, self.calendar)) - self.first
        except ValueError as error:
            raise TimeAxisError(f"{date!r} is no date YYYY-MM-DD of calendar {self.calendar}.") from error

    def _dates(self, first: int, size: int) -> np.ndarray:
        days = first + np.arange(size)
        if self.calendar in _STANDARD:
            return days.astype("datetime64[D]")
        cftime = require("cftime", extra="drought")
        return np.asarray(cftime.num2date(days, _EPOCH, self.calendar))


def day_numbers(times: np.ndarray) -> tuple[np.ndarray, str]:
    """Give days since 1970-01-01 and the calendar of decoded times; the hour is left out.

    Args:
        times: ``datetime64`` or cftime objects, (T,).

    Raises:
        TimeAxisError: these are no times, or one of them is missing.
    """
    times = np.asarray(times)
    if times.dtype.kind == "M":
        if np.isnat(times).any():
            raise TimeAxisError("The time coordinate has missing values; leave those steps out of the file.")
        return times.astype("datetime64[D]").astype(np.int64), "proleptic_gregorian"
    if times.dtype.kind != "O" or not times.size or not hasattr(times[0], "calendar"):
        raise TimeAxisError(
            f"The time coordinate holds {times.dtype} and no dates; give it units such as 'days since "
            f"2000-01-01' and a calendar."
        )
    calendar = str(times[0].calendar)
    cftime = require("cftime", extra="drought")
    numbers = np.floor(np.asarray(cftime.date2num(list(times), _EPOCH, calendar), dtype=np.float64) + 1e-6)
    if calendar in _STANDARD:
        # the Julian part of the standard calendar, before 1582, is not daily weather
        calendar = "proleptic_gregorian"
    return numbers.astype(np.int64), calendar


def check_days(days: np.ndarray, calendar: str, repair: bool, what: str) -> None:
    """Refuse days out of order, double or missing, unless they are to be repaired.

    Args:
        days: days since 1970-01-01, (T,).
        calendar: of the days.
        repair: whether the caller sorts, drops the later of two, and fills with missing values.
        what: the variable, for the message.

    Raises:
        TimeAxisError: with the days in question; always, where the steps are not daily at all.
    """
    if days.size < 2:
        return
    distinct = np.unique(days)
    steps = np.diff(distinct)
    if distinct.size * 2 <= days.size:
        raise TimeAxisError(
            f"{what} has {days.size} times on {distinct.size} days. Series are daily here: make daily sums "
            f"or "
            f"means first, such as with xarray's resample(time='1D')."
        )
    if steps.size and np.median(steps) > 1:
        raise TimeAxisError(
            f"{what} has a value every {np.median(steps):g} days. Series are daily here; interpolate or "
            f"choose "
            f"daily files."
        )
    if repair:
        return
    axis = DayAxis(0, 0, calendar)
    faults: list[str] = []
    if (np.diff(days) < 0).any():
        back = days[1:][np.diff(days) < 0]
        faults.append(f"not in order: {_list(axis, back)} follow a later day")
    if distinct.size < days.size:
        values, count = np.unique(days, return_counts=True)
        faults.append(f"double: {_list(axis, values[count > 1])}")
    if (steps > 1).any():
        missing = np.setdiff1d(np.arange(distinct[0], distinct[-1] + 1), distinct)
        faults.append(f"missing: {_list(axis, missing)}")
    if faults:
        raise TimeAxisError(
            f"Days of {what} are {'; '.join(faults)}. Mend the file, or set times: repair, which sorts, "
            f"keeps the "
            f"first of two and takes missing days as gaps."
        )


def _list(axis: DayAxis, days: Sequence[Any] | np.ndarray) -> str:
    told = ", ".join(axis.text(int(day)) for day in days[:3])
    return told + (f" and {len(days) - 3} more" if len(days) > 3 else "")
