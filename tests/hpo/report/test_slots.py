from __future__ import annotations

from lightning_itwin.hpo.report.slots import busy_percent, work
from tests.hpo.report.synthetic import row, study


def test_rows_are_packed_into_as_few_slots_as_ran_at_once() -> None:
    found = work(
        study(
            row(0, {1: 1.0}, started_unix_s=100.0, ended_unix_s=110.0),
            row(1, {1: 1.0}, started_unix_s=100.0, ended_unix_s=104.0),
            row(2, {1: 1.0}, started_unix_s=104.0, ended_unix_s=109.0),
            row(3, {1: 1.0}, "running", started_unix_s=110.0, ended_unix_s=None),
            row(4, {}, "waiting", started_unix_s=None, ended_unix_s=None),
        ),
        now_unix_s=120.0,
    )
    assert [(one.row.number, one.slot, one.start_s, one.end_s) for one in found] == [
        (0, "1", 0.0, 10.0),
        (1, "2", 0.0, 4.0),
        (2, "2", 4.0, 9.0),
        (3, "1", 10.0, 20.0),
    ]
    assert busy_percent(found) == 72.5


def test_machines_have_slots_of_their_own() -> None:
    found = work(
        study(
            row(0, {1: 1.0}, driver="node01.a-1-2"),
            row(1, {1: 1.0}, driver="node02.b-1-2"),
            row(2, {1: 1.0}, driver="node01.a-3-4"),
        ),
        now_unix_s=0.0,
    )
    assert [(one.slot, one.place) for one in found] == [("node01 1", 0), ("node02 1", 2), ("node01 2", 1)]
