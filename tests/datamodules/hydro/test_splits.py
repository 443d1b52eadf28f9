from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightning_itwin.datamodules.hydro.day_axis import DayAxis, TimeAxisError
from lightning_itwin.datamodules.hydro.grid import Grid
from lightning_itwin.datamodules.hydro.splits import SplitError, SplitPeriods, split_cells, window_starts

AXIS = DayAxis(first=11323, size=730)  # 2001 and 2002


def spans(**periods: Any) -> dict[str, tuple[int, int]]:
    none = {"train": 0, "calibration": 0, "val": 0, "test": 0}
    return SplitPeriods(**{**none, **periods}).spans(AXIS)


def test_shares_follow_one_another() -> None:
    assert SplitPeriods().spans(AXIS) == {
        "train": (0, 438),
        "calibration": (438, 548),
        "val": (548, 620),
        "test": (620, 730),
    }


def test_dates_years_and_months_stand_for_all_their_days() -> None:
    found = spans(train=["2001", "2001"], val=["2002-01-01", "2002-02-10"], test=["2002-12", "2003-05"])
    assert found["train"] == (0, 365)
    assert found["val"] == (365, 406)
    assert found["test"] == (699, 730)


@pytest.mark.parametrize(
    ("periods", "told"),
    [
        ({"train": 0.5, "val": ["2001", "2002"]}, "all dates or all shares"),
        ({"train": 0.9, "val": 0.2}, "come to 1 at most"),
        (
            {"train": ["2001", "2001-07-10"], "test": ["2001-07-01", "2002"]},
            "share the days 2001-07-01 to 2001-07-10",
        ),
        ({"train": ["1990", "1999"]}, "no day of the data, which go from 2001-01-01 to 2002-12-31"),
        ({"train": ["2001"]}, "its first and its last date"),
    ],
)
def test_what_does_not_fit_is_named(periods: dict[str, Any], told: str) -> None:
    with pytest.raises(SplitError, match=told):
        spans(**periods)


def test_a_date_of_another_calendar_is_named() -> None:
    with pytest.raises(TimeAxisError, match="'2001-02-30' is no date"):
        spans(train=["2001-02-30", "2001"])
    axis = DayAxis(first=11160, size=720, calendar="360_day")
    assert axis.index("2001-02-30") == 59


def test_windows_count_inside_their_span_alone() -> None:
    first, end = window_starts((100, 200), seq_length=30, warmup=10, horizon=5)
    assert first + 10 == 100
    assert end - 1 + 29 + 5 == 199
    assert window_starts((4, 200), 30, 10, 5)[0] == 0


def test_strides_of_splits_never_meet() -> None:
    row, column = np.divmod(np.arange(20 * 30), 30)
    grid = Grid(
        lat=np.arange(20.0), lon=np.arange(30.0), row=row, column=column, realizations=1, axis=DayAxis(0, 10)
    )
    for step in (2, 3, 5):
        cells = [set(split_cells(grid, name, step, 0, 0)) for name in ("train", "calibration", "val", "test")]
        assert sum(len(one) for one in cells) == len(set().union(*cells))
        assert len(cells[0]) == -(-20 // step) * -(-30 // step)
    held = split_cells(grid, "val", 1, 5, 0)
    assert held.size == 150
    assert not np.array_equal(held, split_cells(grid, "val", 1, 5, 1))
    small = Grid(
        lat=np.arange(1.0),
        lon=np.arange(3.0),
        row=np.zeros(3, dtype=np.int64),
        column=np.arange(3),
        realizations=1,
        axis=DayAxis(0, 1),
    )
    with pytest.raises(SplitError, match="No cell is left for val"):
        split_cells(small, "val", 2, 0, 0)
